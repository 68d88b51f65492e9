"""Replay scenarios of the OTP oracle through the core and print the traces.

    python tests/otp/replay.py < scenarios.jsonl > traces.jsonl

One JSON scenario a line in, one JSON trace a line out. This program plays Erlang's runtime around the core:

* it owns the processes (which live, how they react to being stopped) and the time;
* it owns a mailbox for each supervisor. A supervisor handles one message at a time, so a message is
  delivered only while nothing that this supervisor waits for is unanswered. (The core itself never waits.)
* a process that is dead already when the core asks for its stop is the immediate answer to that: OTP
  would find its exit notice in the mailbox and swallow it;
* a timer that is due at once is OTP's message of the supervisor to itself: it goes to the end of its mailbox.
"""

from __future__ import annotations

import heapq
import json
import sys
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from supervisor_tree.core import effects as ef
from supervisor_tree.core import events as ev
from supervisor_tree.core import queries
from supervisor_tree.core.spec import AutoShutdown, ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec, WorkerSpec
from supervisor_tree.core.tree import Tree

Json = dict[str, Any]


class Process:
    """A worker that lives, lived, or a supervisor that was begun."""

    def __init__(self, path: str, incarnation: int, name: str, attempt: int, obeys: Any) -> None:
        self.path = path
        self.incarnation = incarnation
        self.name = name
        self.attempt = attempt
        self.obeys = obeys
        self.alive = True
        self.reason: Any = None
        self.dying: int | None = None
        """The scheduled death that counts."""

    @property
    def pid(self) -> str:
        return f"pid:{self.name}#{self.attempt}"


class World:
    """One scenario: Erlang's runtime, the recorder and the outside."""

    def __init__(self, scenario: Json) -> None:
        self.scenario = scenario
        self.tree = Tree(supervisor_spec(scenario["root"], root=True))
        self.now = 0.0
        self.serial = count(1)
        self.due: list[tuple[float, int, Process | ev.TimerFired, Any]] = []
        self.mailboxes: dict[str, deque[Any]] = {}
        self.answers: deque[ev.Event] = deque()
        self.attempts: dict[str, int] = {}
        self.by_pid: dict[int, Process] = {}
        self.by_name: dict[str, Process] = {}
        """The latest process of each id …"""
        self.by_path: dict[str, Process] = {}
        """… and of each path: a `simple_one_for_one` may have several children of one id."""
        self.dynamic: dict[str, Json] = {}
        """What `start_child` made, by path."""
        self.paths: dict[str, str] = {}
        self.learn(scenario["root"], scenario["root"]["id"])
        self.events: list[Json] = []
        self.results: dict[str, Any] = {}

    # What the scenario says.

    def learn(self, spec: Json, path: str) -> None:
        """Where the ids of ``spec`` are to be found."""
        self.paths[spec["id"]] = path
        for child in spec.get("children", []):
            self.learn(child, f"{path}/{child['id']}")

    def spec(self, path: str) -> Json:
        """What the child at ``path`` is started from: what `start_child` said, or the list of its supervisor."""
        node = self.tree.nodes[path]
        if node.own_spec is not None:
            return self.dynamic[path]
        if node.parent is None:
            root: Json = self.scenario["root"]
            return root
        return next(child for child in self.spec(node.parent.path)["children"] if child["id"] == node.name)

    def running(self, name: str) -> bool:
        process = self.by_name.get(name)
        return process is not None and process.alive

    # The recorder.

    def record(self, kind: str, process: Process, **more: Any) -> None:
        self.events.append({"ev": kind, "id": process.name, "n": process.attempt, **more})

    def died(self, process: Process, reason: Any) -> None:
        """The process ends now, whoever hears of it when."""
        if process.alive:
            process.alive = False
            process.reason = reason
            process.dying = None
            self.record("stop", process, reason=reason)
            for message in self.mailboxes.pop(process.path, ()):
                if isinstance(message, tuple):
                    self.results[message[1]] = "noproc"

    # The core's effects.

    def tell(self, event: ev.Event) -> None:
        for effect in self.tree.handle(event, self.now):
            match effect:
                case ef.SpawnChild():
                    self.spawn(effect)
                case ef.StopChild():
                    self.stop(effect)
                case ef.ArmTimer(path, timer, at):
                    fired = ev.TimerFired(path, timer)
                    if at > self.now:
                        heapq.heappush(self.due, (at, next(self.serial), fired, None))
                    else:
                        self.mail(path.rpartition("/")[0], fired)
                case ef.Reply(request, result):
                    self.results[request] = self.with_pids(result)
                case ef.Note(kind, path, fields):
                    self.noted(kind, path, fields)

    def spawn(self, effect: ef.SpawnChild) -> None:
        path, incarnation = effect.path, effect.incarnation
        spec = self.spec(path)
        name = spec["id"]
        attempt = self.attempts[name] = self.attempts.get(name, 0) + 1
        starts = spec.get("starts", [])
        outcome = starts[attempt - 1] if attempt <= len(starts) else "ok"
        process = Process(path, incarnation, name, attempt, spec.get("on_shutdown", "exit"))
        if isinstance(outcome, dict):
            for call in outcome.get("calls", []):
                self.queue_call(call)
            outcome = outcome["outcome"]
        if outcome == "ok":
            pid = next(self.serial)
            self.by_pid[pid] = self.by_name[name] = self.by_path[path] = process
            self.record("start", process)
            self.answers.append(ev.ChildSpawned(path, incarnation, pid))
        elif outcome == "ignore":
            self.record("start_ignore", process)
            self.answers.append(ev.StartIgnored(path, incarnation))
        else:
            self.record("start_error", process)
            self.answers.append(ev.SpawnFailed(path, incarnation, "init_error"))

    def stop(self, effect: ef.StopChild) -> None:
        process = self.by_path[effect.path]
        if not process.alive:
            self.exited(process)
            return
        killed_after = None if effect.grace is None else effect.grace
        obeys = process.obeys
        ends_after = 0.0
        reason: Any = "shutdown"
        if obeys == "ignore":
            ends_after = float("inf")
        elif isinstance(obeys, dict) and "delay" in obeys:
            ends_after = obeys["delay"] / 1000
        elif isinstance(obeys, dict):
            reason = obeys["exit"]
        if killed_after == 0 or (killed_after is not None and killed_after < ends_after):
            ends_after, reason = killed_after, "killed"
        if ends_after == 0:
            self.died(process, reason)
            self.exited(process)
        elif ends_after != float("inf"):
            process.dying = next(self.serial)
            heapq.heappush(self.due, (self.now + ends_after, process.dying, process, reason))

    def exited(self, process: Process) -> None:
        self.answers.append(ev.ChildExited(process.path, process.incarnation, exit_of(process.reason)))

    def noted(self, kind: str, path: str, fields: Json) -> None:
        process = self.by_path.get(path)
        if process is None or not process.alive:
            return
        if kind == "supervisor_started":
            self.record("up", process)
        elif kind == "gave_up":
            self.record("give_up", process, child=self.called(fields["child"].rpartition("/")[2]))
        elif kind == "supervisor_ended":
            self.died(process, fields["reason"])
        elif kind == "killed":
            self.died(process, "killed")

    def with_pids(self, result: Any) -> Any:
        """A result of the core, as the recorder shows it."""
        if isinstance(result, list):
            return [self.with_pids(item) for item in result]
        if isinstance(result, int) and not isinstance(result, bool) and result in self.by_pid:
            return self.by_pid[result].pid
        return result

    # Mailboxes.

    def mail(self, supervisor: str, message: Any) -> None:
        self.mailboxes.setdefault(supervisor, deque()).append(message)

    def queue_call(self, call: Json) -> str:
        request = f"call {next(self.serial)}"
        self.results[request] = None
        self.queued.append((call["op"], request))
        self.mail(self.paths.get(call["sup"], ""), (call, request, self.by_name.get(call.get("id", ""))))
        return request

    def serve(self, call: Json, request: str, meant: Process | None) -> None:
        """A supervisor takes a call out of its mailbox. ``meant``: what its id stood for when it was sent."""
        sup = self.paths.get(call["sup"], "")
        if not self.running(call["sup"]):
            self.results[request] = "noproc"
            return
        match call["op"]:
            case "which_children":
                self.results[request] = self.which_children(sup)
            case "count_children":
                self.results[request] = queries.count_children(self.tree, sup)
            case "start_child":
                self.start_child(call, request, sup)
            case "terminate_child":
                self.terminate_child(call, request, sup, meant)
            case "restart_child":
                self.tell(ev.RestartChildCalled(request, sup, call["id"]))
            case "delete_child":
                self.tell(ev.DeleteChildCalled(request, sup, call["id"]))

    def start_child(self, call: Json, request: str, sup: str) -> None:
        if "child" in call:
            path = f"{sup}/{call['child']['id']}"
            node = self.tree.nodes.get(path)
            if node is None or not node.listed:
                self.learn(call["child"], path)
                self.dynamic[path] = call["child"]
            self.tell(ev.StartChildCalled(request, sup, child_spec(call["child"])))
            return
        instance = f"{call['id']}~{next(self.serial)}"
        template = self.spec(sup)["children"][0]
        overrides: Json = {key: call[key] for key in ("starts", "on_shutdown") if key in call}
        path = f"{sup}/{instance}"
        self.dynamic[path] = {**template, "starts": [], "id": call["id"], **overrides}
        self.learn(self.dynamic[path], path)
        self.tell(ev.StartChildCalled(request, sup, instance=instance))

    def terminate_child(self, call: Json, request: str, sup: str, meant: Process | None) -> None:
        """In a `simple_one_for_one` it is a pid that is terminated: an id that has none is refused."""
        name = str(call["id"])
        if self.tree.nodes[sup].is_simple:
            if meant is None or call.get("by") == "id":
                self.results[request] = ["error", "simple_one_for_one"]
                return
            above, _, name = meant.path.rpartition("/")
            if above != sup or meant.path not in self.tree.nodes or self.by_path[meant.path] is not meant:
                self.results[request] = ["error", "not_found"] if meant.alive else "ok"
                return
        self.tell(ev.TerminateChildCalled(request, sup, name))

    def which_children(self, sup: str) -> Any:
        rows = queries.which_children(self.tree, sup)
        if isinstance(rows, str):
            return rows
        if self.tree.nodes[sup].is_simple:
            # By id, and children of one id in the order of their starts.
            rows = sorted(rows, key=lambda row: (self.called(row[0]), row[1] if isinstance(row[1], int) else 0))
            return [[self.called(name) or None, self.with_pids(pid), kind] for name, pid, kind in rows]
        return [[name, self.with_pids(pid), kind] for name, pid, kind in rows]

    @staticmethod
    def called(instance: str | None) -> str:
        return (instance or "").partition("~")[0]

    # The scheduler.

    def run(self) -> None:
        """Until nothing more happens."""
        while True:
            if self.answers:
                self.tell(self.answers.popleft())
            elif self.deliver():
                pass
            elif self.pending():
                self.pass_time()
            else:
                return

    def deliver(self) -> bool:
        """One message to a supervisor that waits for nothing."""
        for supervisor, box in list(self.mailboxes.items()):
            if box and not self.tree.busy(supervisor):
                message = box.popleft()
                if isinstance(message, tuple):
                    self.serve(*message)
                else:
                    self.tell(message)
                return True
        return False

    def pending(self) -> bool:
        """Whether somebody still waits for time to pass; what nobody waits for any more passes none."""
        while self.due and not self.awaited(*self.due[0][:3]):
            heapq.heappop(self.due)
        return bool(self.due)

    def awaited(self, at: float, serial: int, one: Process | ev.TimerFired) -> bool:
        if isinstance(one, Process):
            return one.alive and one.dying == serial
        node = self.tree.nodes.get(one.path)
        return node is not None and node.timers is not None and node.timers.get(one.timer) == at

    def pass_time(self) -> None:
        at, _, one, reason = heapq.heappop(self.due)
        self.now = max(self.now, at)
        if isinstance(one, ev.TimerFired):
            self.tell(one)
        else:
            self.died(one, reason)
            self.exited(one)

    # Steps.

    def trace(self) -> Json:
        steps = [{"op": "start"}, *self.scenario["steps"], {"op": "shutdown"}]
        return {"steps": [self.step(step) for step in steps]}

    def step(self, step: Json) -> Json:
        self.events = []
        self.queued: list[tuple[str, str]] = []
        result = self.do(step)
        out = {"op": step["op"], "result": result, "events": self.events, "tree": self.shape()}
        if self.queued:
            out["replies"] = [{"op": op, "result": self.results[request]} for op, request in self.queued]
        return out

    def do(self, step: Json) -> Any:
        match step["op"]:
            case "start":
                self.tell(ev.TreeStarted())
                self.run()
                root = self.by_name.get(self.scenario["root"]["id"])
                if root is not None and root.alive:
                    return ["ok", root.pid]
                return ["error", root.reason if root is not None else "init_error"]
            case "shutdown":
                if not self.running(self.scenario["root"]["id"]):
                    return "noproc"
                self.tell(ev.ShutdownRequested())
                self.run()
                return "ok"
            case "advance":
                self.now += step["ms"] / 1000
                return "ok"
            case "exit":
                result = self.exit(step)
                self.run()
                return result
            case "burst":
                if not self.running(step["sup"]):
                    return "noproc"
                results = [self.exit(one) if one["op"] == "exit" else self.queue(one) for one in step["items"]]
                self.run()
                return results
        request = self.queue_call(step)
        self.queued.pop(0)
        self.run()
        return self.results[request]

    def queue(self, call: Json) -> str:
        self.queue_call(call)
        return "queued"

    def exit(self, step: Json) -> str:
        """A process ends by itself; its supervisor gets a notice."""
        process = self.by_name.get(step["id"])
        if process is None or not process.alive:
            return "not_running"
        reason = "killed" if step["reason"] == "kill" else step["reason"]
        self.died(process, reason)
        for child in self.by_path.values():
            if child.path.startswith(process.path + "/"):
                self.died(child, "killed")
        notice: ev.Event
        if self.tree.nodes[process.path].is_supervisor:
            notice = ev.KillRequested(process.path, process.incarnation, "killed")
        else:
            notice = ev.ChildExited(process.path, process.incarnation, exit_of(reason))
        supervisor = process.path.rpartition("/")[0]
        if supervisor:
            self.mail(supervisor, notice)
        else:
            self.tell(notice)
        return "ok"

    def shape(self) -> Json:
        """Every running supervisor with its children."""
        out: Json = {}
        for path, node in self.tree.nodes.items():
            if node.is_supervisor:
                rows = self.which_children(path)
                if rows != "noproc":
                    out[self.called(node.name)] = [row[:2] for row in rows]
        return out


def exit_of(reason: Any) -> ev.Exit:
    normal = reason in ("normal", "shutdown") or (isinstance(reason, list) and reason[0] == "shutdown")
    return ev.Exit(normal=normal, reason=str(reason))


def child_spec(spec: Json) -> ChildSpec:
    if spec.get("type", "worker") == "supervisor":
        return supervisor_spec(spec)
    return WorkerSpec(
        name=spec["id"],
        restart=Restart(spec.get("restart", "permanent")),
        significant=spec.get("significant", False),
        shutdown=shutdown(spec.get("shutdown", 5000)),
    )


def supervisor_spec(spec: Json, *, root: bool = False) -> SupervisorSpec:
    return SupervisorSpec(
        name=spec["id"],
        strategy=Strategy(spec.get("strategy", "one_for_one")),
        intensity=spec.get("intensity", 1),
        period=spec.get("period", 5),
        auto_shutdown=AutoShutdown(spec.get("auto_shutdown", "never")),
        children=tuple(child_spec(child) for child in spec.get("children", [])),
        restart=Restart(spec.get("restart", "permanent")),
        significant=spec.get("significant", False),
        shutdown="infinity" if root else shutdown(spec.get("shutdown", "infinity")),
        asked=True,
    )


def shutdown(value: Any) -> Shutdown:
    return value if isinstance(value, str) else value / 1000  # type: ignore[return-value]


def main() -> None:
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(World(json.loads(line)).trace()), flush=True)


if __name__ == "__main__":
    main()
