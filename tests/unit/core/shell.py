"""A world of make-believe processes around a `Tree`, for tests: it does the effects, and answers when told to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from supervisor_tree.core import effects as ef
from supervisor_tree.core import events as ev
from supervisor_tree.core import view
from supervisor_tree.core.node import ALIVE, Gate, Node
from supervisor_tree.core.spec import SupervisorSpec
from supervisor_tree.core.tree import Tree

CRASH = ev.Exit(code=1, reason="exit status 1")
DONE = ev.Exit(code=0, normal=True, reason="exit status 0")
TERM = ev.Exit(signal=15, reason="killed by SIGTERM")


class Shell:
    """Checks at every effect what must always hold (see `_check_…`); `answer…` lets the world go on."""

    def __init__(self, spec: SupervisorSpec, seed: int = 0) -> None:
        self.tree = Tree(spec, seed)
        self.now = 0.0
        self.spawning: dict[str, int] = {}
        self.living: dict[str, int] = {}
        self.stopping: dict[str, float | None] = {}
        self.incarnations: dict[str, int] = {}
        self.timers: dict[tuple[str, str], float] = {}
        self.asked: set[str] = set()
        self.replies: dict[str, Any] = {}
        self.notes: list[ef.Note] = []
        self.effects: list[ef.Effect] = []
        """Of the last event."""
        self.trail: list[str] = []
        """Every spawn and stop: ``+path`` and ``-path``."""
        self.ended: ef.EndTree | None = None
        self.wished_down: set[str] = set()
        self.store: dict[str, bytes] = {}
        self.pids = 100
        self.requests = 0
        self.save()

    # Events.

    def tell(self, event: ev.Event) -> list[ef.Effect]:
        self.effects = self.tree.handle(event, self.now)
        for effect in self.effects:
            self._do(effect)
        self._check_windows()
        # A wish is for a child of the tree: one that is taken out of it takes its wish along.
        self.wished_down &= self.tree.nodes.keys()
        return self.effects

    def start(self) -> Shell:
        self.tell(ev.TreeStarted())
        return self

    def request(self, kind: type, *paths: str, **more: Any) -> str:
        """An operator's request about full paths."""
        self.requests += 1
        request = f"r{self.requests}"
        self.asked.add(request)
        if kind is ev.StopRequested and not more.get("transient"):
            self.wished_down.update(paths)
        elif kind in (ev.StartRequested, ev.RestartRequested, ev.HoldRequested):
            self.wished_down.difference_update(paths)
        self.tell(kind(request=request, paths=paths, **more))
        return request

    def call(self, kind: type, supervisor: str, name: str) -> Any:
        self.requests += 1
        request = f"r{self.requests}"
        self.asked.add(request)
        self.tell(kind(request=request, supervisor=supervisor, name=name))
        return self.replies.get(request)

    def spawned(self, path: str) -> None:
        incarnation = self.spawning.pop(path)
        self.living[path] = incarnation
        self.pids += 1
        self.tell(ev.ChildSpawned(path, incarnation, self.pids))

    def spawn_failed(self, path: str, reason: str = "no such file") -> None:
        self.stopping.pop(path, None)
        self.tell(ev.SpawnFailed(path, self.spawning.pop(path), reason))

    def ignored(self, path: str, held: str | None = None) -> None:
        self.stopping.pop(path, None)
        self.tell(ev.StartIgnored(path, self.spawning.pop(path), held))

    def exited(self, path: str, how: ev.Exit = CRASH) -> None:
        self.stopping.pop(path, None)
        self.tell(ev.ChildExited(path, self.living.pop(path), how))

    def ready(self, path: str) -> None:
        self.tell(ev.ChildReady(path, self.living[path]))

    def fire(self, path: str, timer: str) -> None:
        self.now = max(self.now, self.timers.pop((path, timer)))
        self.tell(ev.TimerFired(path, timer))

    # The world goes on.

    def answer(self) -> None:
        """All spawns succeed and all stops are obeyed, until nothing is unanswered."""
        while self.spawning or self.stopping or self._at_once():
            for path in list(self.spawning):
                if path in self.spawning:
                    self.spawned(path)
            for path in list(self.stopping):
                if path in self.living and path in self.stopping:
                    self.exited(path, TERM)
            for path, timer in self._at_once():
                if (path, timer) in self.timers:
                    self.fire(path, timer)

    def settle(self) -> None:
        """`answer`, every child that is asked about says it is ready, and delays pass, until nothing happens."""
        for _ in range(1000):
            self.answer()
            unready = [path for path in self.living if not self.node(path).ready]
            for path in unready:
                if path in self.living:
                    self.ready(path)
            if not unready and not self.spawning and not self.stopping:
                restarts = [key for key in self.timers if key[1] in ("restart", "retry")]
                if not restarts:
                    return
                self.fire(*min(restarts, key=lambda key: self.timers[key]))
        raise AssertionError("does not settle")

    def advance(self, seconds: float) -> None:
        """Time passes; what is due fires."""
        until = self.now + seconds
        while due := [key for key, at in self.timers.items() if at <= until]:
            self.fire(*min(due, key=lambda key: self.timers[key]))
        self.now = until

    def _at_once(self) -> list[tuple[str, str]]:
        return [key for key, at in self.timers.items() if at <= self.now]

    # What is.

    def node(self, path: str) -> Node:
        return self.tree.nodes[path]

    def status(self, path: str) -> str:
        return view.node(self.tree, path).status

    def statuses(self, *paths: str) -> list[str]:
        return [self.status(path) for path in paths]

    def reason(self, path: str) -> str | None:
        return view.node(self.tree, path).reason

    def noted(self, kind: str) -> list[ef.Note]:
        return [note for note in self.notes if note.kind == kind]

    # Effects.

    def _do(self, effect: ef.Effect) -> None:
        match effect:
            case ef.SpawnChild(path, incarnation):
                assert path not in self.spawning, f"{path} spawned twice"
                assert path not in self.living, f"{path} spawned while it lives"
                assert incarnation > self.incarnations.get(path, 0), f"incarnation of {path} used twice"
                assert not [one for one in self.wished_down if under(path, one)], f"{path} started against a stop"
                self.incarnations[path] = self.spawning[path] = incarnation
                self.trail.append(f"+{path}")
            case ef.StopChild(path, incarnation, grace):
                present = self.living.get(path, self.spawning.get(path))
                assert incarnation == present, f"stop of {path}#{incarnation}, which is not there"
                self._check_order(path)
                self.stopping[path] = grace
                self.trail.append(f"-{path}")
            case ef.ArmTimer(path, timer, at):
                self.timers[path, timer] = at
            case ef.CancelTimer(path, timer):
                self.timers.pop((path, timer), None)
            case ef.Reply(request, result):
                assert request not in self.replies, f"{request} answered twice"
                self.replies[request] = result
            case ef.Note():
                self.notes.append(effect)
            case ef.EndTree():
                assert self.ended is None
                assert not self.living, "the tree has ended, but not all of it"
                self.ended = effect

    def _check_order(self, path: str) -> None:
        """A supervisor that ends stops a child when all later ones are gone."""
        node = self.node(path)
        while node.parent is not None:
            sup = node.parent
            walk = sup.walk
            if walk is not None and walk.end and walk.cursor == node.rank and not sup.killed and not sup.is_simple:
                later = [one.path for one in sup.order if one.rank > node.rank and self._lives(one.path)]
                assert not later, f"{path} is stopped before {later}"
            node = sup

    def _lives(self, path: str) -> bool:
        return any(under(one, path) for one in (*self.living, *self.spawning))

    def _check_windows(self) -> None:
        for node in self.tree.nodes.values():
            if node.window is not None and node.is_supervisor and node.supervisor.intensity is not None:
                many = node.window.size > node.supervisor.intensity
                assert not many or node.ending or not node.alive, f"{node.path}: intensity exceeded unanswered"

    # Writing down.

    def save(self) -> None:
        for key, value in self.tree.take_changes():
            if value is None:
                self.store.pop(key, None)
            else:
                self.store[key] = value

    def take_over(self) -> None:
        """A new process takes over from what was written down; it must be the same tree."""
        self.save()
        old, new = self.tree, Tree.load(self.store.items())
        was, now = everything(old), everything(new)
        assert was == now, {key: (was.get(key), now.get(key)) for key in was | now if was.get(key) != now.get(key)}
        for was_one, now_one in zip(derived(old), derived(new), strict=True):
            assert was_one == now_one
        self.tree = new
        resumed = new.resume(self.now)
        workers = {one.path for one in new.nodes.values() if not one.is_supervisor}
        spawns = {one.path: one.incarnation for one in resumed if isinstance(one, ef.SpawnChild)}
        stops = {one.path for one in resumed if isinstance(one, ef.StopChild)}
        assert spawns == {path: n for path, n in self.spawning.items() if path not in self.stopping and path in workers}
        assert stops == set(self.stopping)
        armed = {(one.path, one.timer): one.at for one in resumed if isinstance(one, ef.ArmTimer)}
        assert armed == self.timers


def everything(tree: Tree) -> dict[str, bytes | None]:
    """All that would be written down of a tree, whether or not it is known to have changed."""
    from supervisor_tree.core import snapshot

    keys = {"tree", "spec", *(f"node/{path}" for path in tree.nodes), *(f"operation/{one}" for one in tree.operations)}
    for path, node in tree.nodes.items():
        if node.window is not None:
            first = node.window.first
            keys.update(f"window/{number}/{path}" for number in range(first, first + len(node.window.chunks)))
    return {key: snapshot.dump(tree, key) for key in sorted(keys)}


def derived(tree: Tree) -> Any:
    """What is not written down and must follow from what is."""
    return (
        {path: set(waiters) for path, waiters in tree.waiters.items()},
        {path: set(watchers) for path, watchers in tree.watchers.items()},
        tree.leaving,
        {path: (node.live, [child.path for child in node.order], node.spec) for path, node in tree.nodes.items()},
        {path: sum(child.state in ALIVE for child in node.order) for path, node in tree.nodes.items()},
        {path for path, node in tree.nodes.items() if node.gate is Gate.WAITING},
    )


def under(path: str, above: str) -> bool:
    return path == above or path.startswith(above + "/")


def oks(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Operators' results, short: True, or the reason."""
    return {one["name"]: True if one["ok"] else one["reason"] for one in results}


def waits(shell: Shell, request: str) -> bool:
    """Whether an operation rightly waits on, when nothing happens any more: for a need that is alive but
    has not come as far as needed (it is to complete, or to become healthy)."""
    operation = shell.tree.operations[request]
    waiting = [node for node in shell.tree.nodes.values() if node.gate is Gate.WAITING]
    return all(
        any(under(node.path, path) and _ends_alive(shell, node) for node in waiting)
        for path, item in operation.items.items()
        if item.ok is None
    )


def _ends_alive(shell: Shell, node: Node) -> bool:
    while node.gate is Gate.WAITING and node.gate_for in shell.tree.nodes:
        node = shell.node(node.gate_for)
    return node.alive
