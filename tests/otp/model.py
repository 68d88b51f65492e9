"""A second opinion: OTP's supervisor as a process that blocks, straight from its rules.

The core never waits, and is a table of states and events; this is the opposite, small and sequential, as
a supervisor written by hand would be. Both must give the recorded traces, and the same trace for any other
scenario (`test_model.py`). Scenarios and traces: see the oracle's README.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
RESTARTING = "restarting"


class Ending(Exception):
    """The supervisor at work ends: it gave up, or shuts down by itself."""


class Process:
    """A worker, or a supervisor."""

    def __init__(self, runtime: Runtime, spec: Json, attempt: int, parent: Supervisor | None) -> None:
        self.runtime = runtime
        self.spec = spec
        self.name: str = spec["id"]
        self.attempt = attempt
        self.parent = parent
        self.alive = True
        self.reason: Any = None

    @property
    def pid(self) -> str:
        return f"pid:{self.name}#{self.attempt}"

    def die(self, reason: Any) -> None:
        if self.alive:
            self.alive = False
            self.reason = reason
            self.runtime.record("stop", self.name, self.attempt, reason=reason)


class Child:
    """An entry of a supervisor's list: a process, None (OTP's `undefined`) or `RESTARTING`."""

    def __init__(self, spec: Json, process: Process | None = None) -> None:
        self.spec = spec
        self.process: Process | str | None = process

    @property
    def name(self) -> str:
        return str(self.spec["id"])

    @property
    def temporary(self) -> bool:
        return bool(self.spec.get("restart") == "temporary")

    @property
    def significant(self) -> bool:
        return bool(self.spec.get("significant"))

    @property
    def shutdown(self) -> float | None:
        """Seconds; 0: brutal kill; None: infinity."""
        default = "infinity" if self.spec.get("type") == "supervisor" else 5000
        value = self.spec.get("shutdown", default)
        return 0.0 if value == "brutal_kill" else None if value == "infinity" else value / 1000


class Supervisor(Process):
    def __init__(self, runtime: Runtime, spec: Json, attempt: int, parent: Supervisor | None) -> None:
        super().__init__(runtime, spec, attempt, parent)
        self.strategy = spec.get("strategy", "one_for_one")
        self.simple = self.strategy == "simple_one_for_one"
        self.children = [] if self.simple else [Child(child) for child in spec.get("children", [])]
        self.restarts: list[float] = []
        self.mailbox: list[tuple[str, Any, Any]] = []

    def die(self, reason: Any) -> None:
        if not self.alive:
            return
        super().die(reason)
        for kind, _, answer in self.mailbox:
            if kind == "call":
                answer.append("noproc")
        self.mailbox.clear()
        if reason == "killed":
            for child in self.children:
                if isinstance(child.process, Process):
                    child.process.die("killed")

    # Messages.

    def handle(self, kind: str, about: Any, more: Any) -> None:
        if kind == "exit":
            child = next((child for child in self.children if child.process is about), None)
            if child is not None:
                self.child_ended(child, more)
        elif kind == "retry":
            child = about if self.simple else self.find(about.name)
            if child in self.children and child.process is RESTARTING:
                self.restart(child)
        else:
            more.append(self.call(*about))

    def child_ended(self, child: Child, reason: Any) -> None:
        kind = child.spec.get("restart", "permanent")
        if kind == "permanent" or (kind == "transient" and not normal(reason)):
            self.restart(child)
            return
        self.drop(child)
        mode = self.spec.get("auto_shutdown", "never")
        others = any(other.significant and other.process is not None for other in self.children)
        if child.significant and (mode == "any_significant" or (mode == "all_significant" and not others)):
            raise Ending

    def drop(self, child: Child) -> None:
        """A child that is down: a temporary one leaves the list."""
        if self.simple or child.temporary:
            self.children.remove(child)
        else:
            child.process = None

    def restart(self, child: Child) -> None:
        now, period = self.runtime.now, self.spec.get("period", 5)
        self.restarts = [*(at for at in self.restarts if now - at <= period), now]
        if len(self.restarts) > self.spec.get("intensity", 1):
            self.runtime.record("give_up", self.name, self.attempt, child=child.name)
            self.drop(child)
            raise Ending
        if self.strategy in ("one_for_all", "rest_for_one"):
            failed = self.restart_all(self.children.index(child) if self.strategy == "rest_for_one" else 0)
        else:
            failed = self.start_one(child)
        if failed is not None:
            failed.process = RESTARTING
            self.mailbox.append(("retry", failed, None))

    def restart_all(self, first: int) -> Child | None:
        """Stop all children from ``first`` on, and start them; the one whose start failed, if any."""
        self.stop_children(first)
        for child in self.children[first:]:
            if self.start_one(child) is not None:
                return child
        return None

    def start_one(self, child: Child) -> Child | None:
        started, reason = self.runtime.start(child.spec, self)
        if reason is not None:
            return child
        child.process = started
        if started is None and child.temporary:
            self.children.remove(child)
        return None

    def stop_children(self, first: int = 0, deadline: float | None = None) -> bool:
        """In reverse order, each waited for. False: the deadline came before the end."""
        for child in reversed(self.children[first:]):
            if isinstance(child.process, Process):
                if deadline is not None and child.process.alive and self.runtime.end_of(child)[0] >= deadline:
                    self.runtime.now = deadline
                    return False
                self.runtime.stop(child)
            if child.temporary:
                self.children.remove(child)
            else:
                child.process = None
        return True

    def stop_at_once(self, deadline: float | None = None) -> bool:
        """The children of a `simple_one_for_one`, all at the same time."""
        for child in self.children:
            if isinstance(child.process, Supervisor):
                self.runtime.stop(child)
        running = [child for child in self.children if isinstance(child.process, Process) and child.process.alive]
        for child, (at, reason) in sorted(
            ((child, self.runtime.end_of(child)) for child in running), key=lambda pair: (pair[1][0], pair[0].name)
        ):
            if deadline is not None and at >= deadline:
                self.runtime.now = deadline
                return False
            self.runtime.now = at
            assert isinstance(child.process, Process)
            child.process.die(reason)
        self.children.clear()
        return True

    def end(self, deadline: float | None = None) -> None:
        done = self.stop_at_once(deadline) if self.simple else self.stop_children(0, deadline)
        self.die("shutdown" if done else "killed")

    # Calls.

    def find(self, name: str) -> Child | None:
        return next((child for child in self.children if child.name == name), None)

    def call(self, call: Json, meant: Process | None) -> Any:
        """Serve a call; ``meant`` is what its id stood for when it was sent: the pid of a dynamic child."""
        match call["op"]:
            case "which_children":
                return self.which_children()
            case "count_children":
                supervisors = sum(child.spec.get("type") == "supervisor" for child in self.children)
                return {
                    "specs": 1 if self.simple else len(self.children),
                    "active": sum(isinstance(child.process, Process) for child in self.children),
                    "supervisors": supervisors,
                    "workers": len(self.children) - supervisors,
                }
            case "start_child":
                return self.start_instance(call) if self.simple else self.start_child(call["child"])
        if self.simple:
            return self.terminate_instance(call, meant)
        child = self.find(call["id"])
        if child is None:
            return ["error", "not_found"]
        if call["op"] == "terminate_child":
            if isinstance(child.process, Process):
                self.runtime.stop(child)
            self.drop(child)
            return "ok"
        if child.process is not None:
            return ["error", "restarting" if child.process is RESTARTING else "running"]
        if call["op"] == "delete_child":
            self.children.remove(child)
            return "ok"
        started, reason = self.runtime.start(child.spec, self)
        if reason is not None:
            return ["error", reason]
        child.process = started
        return ["ok", shown(started)]

    def which_children(self) -> list[list[Any]]:
        if self.simple:
            kind = self.spec["children"][0].get("type", "worker")
            rows = [[None if c.process is RESTARTING else c.name, shown(c.process), kind] for c in self.children]
            return sorted(rows, key=lambda row: (row[0] or "", len(row[1]), row[1]))
        return [[c.name, shown(c.process), c.spec.get("type", "worker")] for c in reversed(self.children)]

    def start_child(self, spec: Json) -> Any:
        bad = bad_child(self.spec, spec)
        if bad is not None:
            return ["error", bad]
        present = self.find(spec["id"])
        if present is not None:
            running = isinstance(present.process, Process)
            return ["error", ["already_started", shown(present.process)] if running else "already_present"]
        started, reason = self.runtime.start(spec, self)
        if reason is not None:
            return ["error", [reason, ["child", spec["id"]]]]
        if started is not None or spec.get("restart") != "temporary":
            self.children.append(Child(spec, started))
        return ["ok", shown(started)]

    def start_instance(self, call: Json) -> Any:
        changes = {key: call[key] for key in ("id", "on_shutdown") if key in call}
        spec = {**self.spec["children"][0], "starts": call.get("starts", []), **changes}
        started, reason = self.runtime.start(spec, self)
        if reason is not None:
            return ["error", reason]
        if started is not None:
            self.children.append(Child(spec, started))
        return ["ok", shown(started)]

    def terminate_instance(self, call: Json, meant: Process | None) -> Any:
        if call["op"] != "terminate_child" or call.get("by") == "id" or meant is None:
            return ["error", "simple_one_for_one"]
        child = next((child for child in self.children if child.process is meant), None)
        if child is None:
            return ["error", "not_found"] if meant.alive else "ok"
        self.runtime.stop(child)
        self.children.remove(child)
        return "ok"


class Runtime:
    """Processes, time and the recorder."""

    def __init__(self, scenario: Json) -> None:
        self.scenario = scenario
        self.now = 0.0
        self.attempts: dict[str, int] = {}
        self.latest: dict[str, Process] = {}
        self.supervisors: list[Supervisor] = []
        self.events: list[Json] = []
        self.queued: list[tuple[str, list[Any]]] = []

    def record(self, kind: str, name: str, attempt: int, **more: Any) -> None:
        self.events.append({"ev": kind, "id": name, "n": attempt, **more})

    def start(self, spec: Json, parent: Supervisor | None) -> tuple[Process | None, Any]:
        """The process (None: ignored), or the reason of the failure."""
        name = spec["id"]
        attempt = self.attempts[name] = self.attempts.get(name, 0) + 1
        starts = spec.get("starts", [])
        outcome = starts[attempt - 1] if attempt <= len(starts) else "ok"
        if isinstance(outcome, dict):
            for call in outcome.get("calls", []):
                self.queue(call)
            outcome = outcome["outcome"]
        if outcome == "error":
            self.record("start_error", name, attempt)
            return None, "init_error"
        if outcome == "ignore":
            self.record("start_ignore", name, attempt)
            return None, None
        if spec.get("type") != "supervisor":
            process = self.latest[name] = Process(self, spec, attempt, parent)
            self.record("start", name, attempt)
            return process, None
        sup = Supervisor(self, spec, attempt, parent)
        self.latest[name] = sup
        self.supervisors.append(sup)
        self.record("start", name, attempt)
        bad = bad_children(spec)
        if bad is not None:
            sup.die(["start_spec", bad])
            return None, sup.reason
        for child in list(sup.children):
            process_, reason = self.start(child.spec, sup)
            if reason is not None:
                sup.stop_children()
                sup.die(["shutdown", ["failed_to_start_child", child.name, reason]])
                return None, sup.reason
            child.process = process_
            if process_ is None and child.temporary:
                sup.children.remove(child)
        self.record("up", name, attempt)
        return sup, None

    def end_of(self, child: Child) -> tuple[float, Any]:
        """When, and how, a worker ends that is asked to stop now."""
        limit = child.shutdown
        obeys = child.spec.get("on_shutdown", "exit")
        if limit == 0:
            return self.now, "killed"
        if isinstance(obeys, dict) and "exit" in obeys:
            return self.now, obeys["exit"]
        needs = 0.0 if obeys == "exit" else float("inf") if obeys == "ignore" else obeys["delay"] / 1000
        if limit is not None and needs > limit:
            return self.now + limit, "killed"
        return self.now + needs, "shutdown"

    def stop(self, child: Child) -> None:
        """A supervisor stops a child, and waits; an exit notice that is there already is swallowed."""
        process = child.process
        assert isinstance(process, Process)
        if process.alive and isinstance(process, Supervisor):
            if child.shutdown == 0:
                process.die("killed")
            else:
                process.end(None if child.shutdown is None else self.now + child.shutdown)
        elif process.alive:
            self.now, reason = self.end_of(child)
            process.die(reason)
        if process.parent is not None:
            box = process.parent.mailbox
            box[:] = [message for message in box if not (message[0] == "exit" and message[1] is process)]

    def queue(self, call: Json) -> list[Any]:
        answer: list[Any] = []
        self.queued.append((call["op"], answer))
        sup = self.latest.get(call["sup"])
        if isinstance(sup, Supervisor) and sup.alive:
            sup.mailbox.append(("call", (call, self.latest.get(call.get("id", ""))), answer))
        else:
            answer.append("noproc")
        return answer

    def run(self) -> None:
        """Until all mailboxes are empty."""
        while ready := next((sup for sup in self.supervisors if sup.alive and sup.mailbox), None):
            try:
                ready.handle(*ready.mailbox.pop(0))
            except Ending:
                ready.end()
                if ready.parent is not None:
                    ready.parent.mailbox.append(("exit", ready, "shutdown"))
        self.supervisors = [sup for sup in self.supervisors if sup.alive]

    # Steps.

    def trace(self) -> Json:
        steps = [{"op": "start"}, *self.scenario["steps"], {"op": "shutdown"}]
        return {"steps": [self.step(step) for step in steps]}

    def step(self, step: Json) -> Json:
        self.events, self.queued = [], []
        result = self.do(step)
        tree = {sup.name: [row[:2] for row in sup.which_children()] for sup in self.supervisors if sup.alive}
        out = {"op": step["op"], "result": result, "events": self.events, "tree": tree}
        if self.queued:
            out["replies"] = [{"op": op, "result": answer[0]} for op, answer in self.queued]
        return out

    def do(self, step: Json) -> Any:
        root = self.latest.get(self.scenario["root"]["id"])
        match step["op"]:
            case "start":
                started, reason = self.start({**self.scenario["root"], "type": "supervisor"}, None)
                self.run()
                return ["ok", started.pid] if started is not None else ["error", reason]
            case "shutdown":
                if not isinstance(root, Supervisor) or not root.alive:
                    return "noproc"
                root.end()
                self.run()
                return "ok"
            case "advance":
                self.now += step["ms"] / 1000
                return "ok"
            case "exit":
                result: Any = self.exit(step)
                self.run()
                return result
            case "burst":
                sup = self.latest.get(step["sup"])
                if sup is None or not sup.alive:
                    return "noproc"
                result = [self.exit(item) if item["op"] == "exit" else self.later(item) for item in step["items"]]
                self.run()
                return result
        answer = self.queue(step)
        self.queued.pop(0)
        self.run()
        return answer[0]

    def later(self, call: Json) -> str:
        self.queue(call)
        return "queued"

    def exit(self, step: Json) -> str:
        process = self.latest.get(step["id"])
        if process is None or not process.alive:
            return "not_running"
        process.die("killed" if step["reason"] == "kill" else step["reason"])
        if process.parent is not None and process.parent.alive:
            process.parent.mailbox.append(("exit", process, process.reason))
        return "ok"


def shown(process: Process | str | None) -> str:
    return process.pid if isinstance(process, Process) else process or "undefined"


def normal(reason: Any) -> bool:
    return reason in ("normal", "shutdown") or (isinstance(reason, list) and reason[0] == "shutdown")


def bad_child(sup: Json, child: Json) -> Any:
    if child.get("significant") and sup.get("auto_shutdown", "never") == "never":
        return ["bad_combination", [["auto_shutdown", "never"], ["significant", True]]]
    if child.get("significant") and child.get("restart", "permanent") == "permanent":
        return ["bad_combination", [["restart", "permanent"], ["significant", True]]]
    return None


def bad_children(sup: Json) -> Any:
    names: set[str] = set()
    for child in sup.get("children", []):
        bad = bad_child(sup, child)
        if bad is not None:
            return bad
        if child["id"] in names:
            return ["duplicate_child_name", child["id"]]
        names.add(child["id"])
    return None
