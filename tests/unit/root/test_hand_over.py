"""The hand-over, by property: cut the root off before or after any commit, and the tree behaves as if it had not been.

The real shell and the real core against a model of the keeper that keeps its promises: it acts only on
whole commits, each effect once, and keeps state and events until they are acknowledged. Clients ask again with the
same request id, as real ones do.
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import msgspec
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from supervisor_tree import config
from supervisor_tree.core import events as ev
from supervisor_tree.core import view
from supervisor_tree.core.tree import Tree
from supervisor_tree.ipc.link import unpack_items
from supervisor_tree.root.boot import resume
from supervisor_tree.root.control import Control
from supervisor_tree.root.keeper_link import KeeperLink
from supervisor_tree.root.shell import Shell

TREE = """
[tree]
state_dir = "state"
[defaults]
shutdown = "5s"
backoff = { first = "0s", initial = "1s", factor = 2.0, max = "8s", jitter = 0.1, reset = "1m" }
[supervisors.chain]
strategy = "rest_for_one"
children = ["first", "second", "third"]
[supervisors.group]
strategy = "one_for_all"
intensity = 2
period = "1m"
children = ["left", "right"]
[workers.alone]
command = "sleep 1000"
[workers.once]
command = "sleep 1000"
restart = "temporary"
[workers.first]
command = "sleep 1000"
[workers.second]
command = "sleep 1000"
[workers.third]
command = "sleep 1000"
[workers.left]
command = "sleep 1000"
[workers.right]
command = "sleep 1000"
"""
WORKERS = ["alone", "once", "first", "second", "third", "left", "right"]
NAMES = [*WORKERS, "chain", "group"]


class CutOff(BaseException):
    """The root is gone. Not an `Exception`: the shell must not be able to catch it."""


class VirtualLoop(asyncio.SelectorEventLoop):
    now = 1000.0

    def time(self) -> float:
        return self.now


class Timers:
    """The shell's timers, fired by hand."""

    def __init__(self) -> None:
        self.armed: dict[tuple[str, str], float] = {}

    def arm(self, path: str, timer: str, at: float) -> None:
        self.armed[path, timer] = at

    def cancel(self, path: str, timer: str) -> None:
        self.armed.pop((path, timer), None)

    def due(self, now: float) -> tuple[str, str] | None:
        ready = sorted((at, key) for key, at in self.armed.items() if at <= now)
        return ready[0][1] if ready else None


class NoFile:
    """In place of `wishes.json`, which is for the tree's next life, and of incident files, which are for people."""

    def changed(self) -> None:
        pass

    def on_note(self, effect: object) -> None:
        pass


class ModelKeeper:
    """Stands in for the link too: what the shell sends is applied at once, whole, or not at all."""

    wants_write = False

    def __init__(self, cuts: set[int], *, before: bool) -> None:
        self.cuts = cuts
        self.before = before
        self.commits = 0
        self.sequence = 0
        self.state: dict[str, bytes] = {}
        self.alive: dict[str, int] = {}
        self.done: set[tuple[str, int]] = set()
        self.events: list[dict[str, Any]] = []
        self.count = 0
        self.trace: dict[str, list[str]] = {name: [] for name in WORKERS}
        self.ended: int | None = None

    def send(self, head: dict[str, Any]) -> None:
        pass

    def send_bytes(self, data: bytes) -> None:
        self.commits += 1
        cut = self.commits in self.cuts
        if cut and self.before:
            raise CutOff
        total, size = struct.unpack_from(">II", data)
        assert total + 4 == len(data)
        head = json.loads(data[8 : 8 + size])
        self._apply(head, data[8 + size :])
        if cut:
            raise CutOff

    def _apply(self, head: dict[str, Any], blob: bytes) -> None:
        self.sequence = head["seq"]
        items, _ = unpack_items(head["state"], blob)
        for key, value in items:
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.events = [event for event in self.events if event["n"] > head["ack"]]
        for effect in head["effects"]:
            getattr(self, f"_{effect['op']}", lambda _effect: None)(effect)

    def _spawn(self, effect: dict[str, Any]) -> None:
        name, incarnation = effect["name"], effect["inc"]
        if (name, incarnation) in self.done:
            return
        assert name not in self.alive, f"{name} would run twice"
        self.done.add((name, incarnation))
        self.alive[name] = incarnation
        self.trace[name].append("spawn")
        self._tell("spawned", name=name, inc=incarnation, pid=1000 + len(self.done), start=1)

    def _stop(self, effect: dict[str, Any]) -> None:
        if self.alive.get(effect["name"]) == effect["inc"]:
            self.trace[effect["name"]].append("stop")
            self._end(effect["name"], signal=15)

    def _exit(self, effect: dict[str, Any]) -> None:
        self.ended = effect["status"]

    def crash(self, name: str, code: int) -> None:
        if name in self.alive:
            self.trace[name].append(f"exit {code}")
            self._end(name, code=code)

    def _end(self, name: str, code: int | None = None, signal: int | None = None) -> None:
        self._tell("exited", name=name, inc=self.alive.pop(name), pid=1, code=code, signal=signal)

    def _tell(self, kind: str, **fields: Any) -> None:
        self.count += 1
        self.events.append({"t": "event", "n": self.count, "kind": kind, "at": 0.0, **fields})


class World:
    """One tree with its keeper, and as many roots as it takes."""

    def __init__(self, plan: config.Plan, cuts: set[int], *, before: bool, loop: VirtualLoop) -> None:
        self.plan = plan
        self.loop = loop
        self.keeper = ModelKeeper(cuts, before=before)
        self.roots = 0
        self.shell: Shell
        self.timers: Timers
        self.until_it_holds(self._first)

    def hello(self) -> dict[str, Any]:
        table = [[name, incarnation, 1, 1] for name, incarnation in self.keeper.alive.items()]
        return {
            "id": "x",
            "keeper": 1,
            "keeper_start": 1,
            "table": table,
            "events": list(self.keeper.events),
            "lost": None,
        }

    def _make(self, tree: Tree) -> None:
        self.roots += 1
        link = KeeperLink(self.keeper, committed=self.keeper.sequence)  # type: ignore[arg-type]
        self.shell = Shell(keeper=link, tree=tree, plan=self.plan, hello=self.hello(), run_dir="/nowhere")
        self.timers = Timers()
        self.shell.timers = self.timers  # type: ignore[assignment]
        self.shell.control = Control(self.shell)
        self.shell.internal_error = self._bug  # type: ignore[method-assign]
        self.shell.wishes_file = NoFile()  # type: ignore[assignment]
        self.shell.incidents = NoFile()  # type: ignore[assignment]

    @staticmethod
    def _bug(where: str, error: BaseException) -> None:
        raise AssertionError(where) from error

    def _first(self) -> None:
        if self.keeper.state:
            return
        self._make(Tree(self.plan.root))
        self.shell.state("plan", msgspec.json.encode(self.plan))
        self.shell.tell(ev.TreeStarted())
        self.shell.flush()

    def _take_over(self) -> None:
        if not self.keeper.state:
            return
        state = dict(self.keeper.state)
        self._make(Tree.load([(key[5:], value) for key, value in state.items() if key.startswith("core/")]))
        resume(self.shell, state, [], self.hello())
        self.shell.flush()

    def until_it_holds(self, action: Any) -> None:
        """Do something with a root, then let everything settle; over the death of any number of roots."""
        pending = [action, self._settle]
        while pending:
            try:
                pending[0]()
                pending.pop(0)
            except CutOff:
                while True:
                    try:
                        self._take_over()
                        break
                    except CutOff:
                        continue

    def _settle(self) -> None:
        for _ in range(1000):
            waiting = [event for event in self.keeper.events if event["n"] > self.shell.keeper.acknowledged]
            if waiting:
                for event in waiting:
                    self.shell.on_event_frame(event)
                self.shell.flush()
                continue
            due = self.timers.due(self.loop.now)
            if due is None:
                return
            del self.timers.armed[due]
            self.shell.tell(ev.TimerFired(*due))
            self.shell.flush()
        raise AssertionError("it never settles")

    def ask(self, number: int, command: str, name: str) -> None:
        request = json.dumps(
            {"v": 1, "id": f"{number:032x}", "command": command, "args": {"names": [name]}, "by": "somebody"}
        )

        def send() -> None:
            assert self.shell.control is not None
            self.shell.control.on_request(b"client", [request.encode()])

        self.until_it_holds(send)

    def result(self) -> dict[str, Any]:
        nodes = {
            node.name: (node.status, node.incarnation, node.restarts, node.wish)
            for path in view.paths(self.shell.tree)
            for node in [view.node(self.shell.tree, path)]
        }
        operations = {id_: (op.state, op.results) for id_, op in sorted(self.shell.operations.all.items())}
        return {
            "trace": self.keeper.trace,
            "alive": sorted(self.keeper.alive),
            "nodes": nodes,
            "operations": operations,
        }


steps = st.one_of(
    st.tuples(st.just("crash"), st.sampled_from(WORKERS), st.sampled_from([0, 1])),
    st.tuples(st.just("advance"), st.sampled_from([0.5, 1.2, 9.0, 70.0]), st.just(0)),
    st.tuples(st.sampled_from(["stop", "start", "restart", "hold", "release"]), st.sampled_from(NAMES), st.just(0)),
)


def play(
    plan: config.Plan, script: list[tuple[str, Any, int]], cuts: set[int], *, before: bool
) -> tuple[dict[str, Any], int]:
    loop = VirtualLoop()
    try:

        async def life() -> tuple[dict[str, Any], int]:
            world = World(plan, cuts, before=before, loop=loop)
            for number, (kind, what, code) in enumerate(script):
                if kind == "crash":
                    world.keeper.crash(what, code)
                    world.until_it_holds(lambda: None)
                elif kind == "advance":
                    loop.now += what
                    world.until_it_holds(lambda: None)
                else:
                    world.ask(number, kind, what)
            return world.result(), world.roots

        return loop.run_until_complete(life())
    finally:
        loop.close()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    script=st.lists(steps, max_size=20), cuts=st.sets(st.integers(1, 40), min_size=1, max_size=6), before=st.booleans()
)
def test_a_root_cut_off_at_any_commit_changes_nothing(
    tmp_path_factory: Any, script: list[tuple[str, Any, int]], cuts: set[int], before: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "hand-over"
    folder.mkdir(exist_ok=True)
    file = folder / "tree.toml"
    if not file.exists():
        file.write_text(TREE)
    plan = config.load([str(file)], {"PATH": "/usr/bin:/bin"})
    whole, _ = play(plan, script, set(), before=before)
    cut, roots = play(plan, script, cuts, before=before)
    note(f"{roots} roots")
    event("cut" if roots > 1 else "the script was over before the cut")
    assert cut == whole
