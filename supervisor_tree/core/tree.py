"""A whole supervision tree as a state machine: events and the time in, effects out.

`Tree.handle` changes the tree in place and returns what is to be done, in the order in which it was
decided. It knows no clock, no randomness and no process: the same events at the same times give the same
effects for ever. Who looks for the rules finds them in `child.py` (who answers which event),
`supervising.py` (OTP's supervisor) and `rounds.py` (strategies).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from supervisor_tree.core import child, gates, operations, snapshot, stopping
from supervisor_tree.core.effects import (
    ArmTimer,
    CancelTimer,
    Effect,
    EndTree,
    Note,
    Reply,
    SpawnChild,
    StopChild,
)
from supervisor_tree.core.events import Event
from supervisor_tree.core.facts import Fact
from supervisor_tree.core.node import ALIVE, Node, State, position
from supervisor_tree.core.operations import Operation
from supervisor_tree.core.spec import ChildSpec, SupervisorSpec
from supervisor_tree.core.supervising import REACTIONS


class Tree:
    """The state of one tree. Public: `handle`, `take_changes`, `load`, `resume`, `busy`, `pending_requests`."""

    def __init__(self, root: SupervisorSpec, seed: int = 0) -> None:
        """Nothing runs yet; ``seed`` makes the jitter of this tree's backoff its own."""
        self._blank(root, seed)
        self.root = self._plant(None, root, 0, own=False)
        self._touched.update(("tree", "spec"))

    def _blank(self, spec: SupervisorSpec, seed: int) -> None:
        self.spec = spec
        self.seed = seed
        self.floor = 0
        """No child that was removed had a higher incarnation: a new child of its name must not repeat one."""
        self.ending: bool = False
        self.ended: bool = False
        self.shutdown_request: str | None = None
        self.nodes: dict[str, Node] = {}
        self.operations: dict[str, Operation] = {}
        # What follows from the nodes and is not written down:
        self.watchers: dict[str, dict[str, None]] = {}
        """Path → the operations that wait for something there."""
        self.stirred: set[tuple[str, str]] = set()
        """The starts to be reviewed when the event has been handled: request and path."""
        self.late: dict[tuple[str, str], str] = {}
        """Of each: whom it was seen to wait for last."""
        self.waiters: dict[str, dict[str, None]] = {}
        """Path → those whose gate waits for it."""
        self.leaving: dict[str, str] = {}
        """Name → path of children that are being removed."""
        # Of the event being handled:
        self.now = 0.0
        self._effects: list[Effect] = []
        self._agenda: deque[tuple[Fact, Node, tuple[Any, ...]]] = deque()
        # Since the last `take_changes`:
        self._touched: set[str] = set()

    # The interface.

    def handle(self, event: Event, now: float) -> list[Effect]:
        """What is to be done because of ``event``, in this order. ``now``: monotonic seconds, never falling."""
        self.now = now
        effects = self._effects = []
        child.handle(self, event)
        self.settle()
        return effects

    def take_changes(self) -> list[tuple[str, bytes | None]]:
        """What must be written down since the last call: (key, value), None to delete the key."""
        touched, self._touched = self._touched, set()
        return [(key, snapshot.dump(self, key)) for key in sorted(touched)]

    @classmethod
    def load(cls, items: Iterable[tuple[str, bytes]]) -> Tree:
        """The tree that was written down as ``items``: of each key its last value, deleted ones left out."""
        tree = cls.__new__(cls)
        snapshot.load(tree, dict(items))
        return tree

    def resume(self, now: float) -> list[Effect]:
        """All effects whose answers are still to come, for whoever takes over. Doing them twice does no harm."""
        effects: list[Effect] = []
        for node in self.nodes.values():
            asks = not node.is_supervisor or stopping.unanswered(node)
            if node.state is State.STARTING and asks:
                effects.append(SpawnChild(node.path, node.incarnation))
            elif node.state is State.STOPPING and not node.is_supervisor:
                grace = None if node.deadline is None else max(0.0, node.deadline - now)
                effects.append(StopChild(node.path, node.incarnation, grace))
            for timer, at in (node.timers or {}).items():
                effects.append(ArmTimer(node.path, timer, at))
        return effects

    def busy(self, path: str) -> bool:
        """Whether something at ``path`` or below it waits for an answer of the shell."""
        node = self.nodes.get(path)
        if node is None:
            return False
        if node.state in (State.STARTING, State.STOPPING):
            return True
        return any(self.busy(one.path) for one in node.order if one.alive)

    def pending_requests(self) -> list[str]:
        """The requests that have had no `Reply` yet."""
        pending = list(self.operations)
        if self.shutdown_request is not None:
            pending.append(self.shutdown_request)
        for node in self.nodes.values():
            pending += [node.start_call] if node.start_call else []
            pending += node.stop_calls or []
        return pending

    # For the rooms of the core: decide.

    def tell(self, fact: Fact, node: Node, *details: Any) -> None:
        """Have ``fact`` answered when the present step is through."""
        self._agenda.append((fact, node, details))

    def settle(self) -> None:
        """Answer facts until there are none."""
        agenda = self._agenda
        while agenda:
            fact, node, details = agenda.popleft()
            if fact is Fact.GATE or self.nodes.get(node.path) is node:
                REACTIONS[fact](self, node, *details)
        if self.stirred:
            operations.review(self)

    def do(self, effect: Effect) -> None:
        self._effects.append(effect)

    def note(self, kind: str, node: Node, fields: dict[str, Any] | None = None) -> None:
        self._effects.append(Note(kind, node.path, fields or {}))

    def reply(self, request: str, result: Any) -> None:
        self._effects.append(Reply(request, result))

    def enter(self, node: Node, state: State) -> None:
        """``node`` is now in ``state``."""
        old = node.state
        if old is state:
            self.touch(node)
            return
        node.state = state
        node.since = self.now
        if node.parent is not None:
            node.parent.live += (state in ALIVE) - (old in ALIVE)
        if old is State.RESTARTING:
            self.disarm(node, "restart")
            self.disarm(node, "retry")
        elif old is State.UP:
            node.ready = False
        self.moved(node)

    def moved(self, node: Node) -> None:
        """Something about ``node`` changed that others may wait for."""
        self._touched.add("node/" + node.path)
        if node.path in self.waiters:
            self._agenda.append((Fact.GATE, node, ()))
        if self.watchers:
            operations.observe(self, node)

    def arm(self, node: Node, timer: str, at: float) -> None:
        if node.timers is None:
            node.timers = {}
        node.timers[timer] = at
        self.touch(node)
        self.do(ArmTimer(node.path, timer, at))

    def disarm(self, node: Node, timer: str) -> None:
        if node.timers is not None and timer in node.timers:
            del node.timers[timer]
            node.timers = node.timers or None
            self.touch(node)
            self.do(CancelTimer(node.path, timer))

    def end(self, why: str, cause: str | None = None) -> None:
        """The root has ended."""
        self.ended = True
        self._touched.add("tree")
        operations.close_all(self, "the tree has ended")
        if self.shutdown_request is not None:
            self.reply(self.shutdown_request, [])
            self.shutdown_request = None
        self.do(EndTree(why, cause))

    @staticmethod
    def identity(node: Node) -> Any:
        """What OTP's results call a child's pid: the process id; of a supervisor, which has none, the path."""
        return node.path if node.pid is None else node.pid

    # For the rooms of the core: the shape of the tree.

    def add(self, sup: Node, spec: ChildSpec, rank: int, *, own: bool = False) -> Node:
        """A new child, down, with what is declared below it. ``own``: its supervisor's list does not name it."""
        return self._plant(sup, spec, rank, own=own)

    def _plant(self, sup: Node | None, spec: ChildSpec, rank: int, *, own: bool) -> Node:
        path = spec.name if sup is None else f"{sup.path}/{spec.name}"
        node = Node(path=path, spec=spec, rank=rank, own_spec=spec if own else None)
        node.since = self.now
        self.attach(node, sup)
        self.touch(node)
        if isinstance(spec, SupervisorSpec) and not node.is_simple:
            for place, child_spec in enumerate(spec.children):
                if f"{path}/{child_spec.name}" not in self.nodes:
                    self._plant(node, child_spec, place, own=False)
        return node

    def attach(self, node: Node, sup: Node | None) -> None:
        self.nodes[node.path] = node
        node.parent = sup
        if sup is not None:
            sup.order.insert(position(sup, node.rank + 1), node)
            sup.live += node.alive

    def remove(self, node: Node) -> None:
        """Take ``node``, which is down, and what is below it out of the tree."""
        for below in list(node.order):
            self.remove(below)
        gates.forget(self, node)
        self.abandon(node, "removed")
        operations.removed(self, node)
        self.floor = max(self.floor, node.incarnation)
        self._touched.add("tree")
        if node.parent is not None:
            del node.parent.order[position(node.parent, node.rank)]
            node.parent.live -= node.alive
        for timer in list(node.timers or ()):
            self.disarm(node, timer)
        self.forget_window(node)
        del self.nodes[node.path]
        if self.leaving.get(node.name) == node.path:
            del self.leaving[node.name]
        self._touched.add("node/" + node.path)
        if node.path in self.waiters:
            self.tell(Fact.GATE, node)

    def declare(self, sup: Node) -> None:
        """The children that the specification names, in its order; what was made or deleted at run time is undone."""
        for one in list(sup.order):
            if one.own_spec is not None:
                self.remove(one)
        if sup.is_simple:
            return
        present = {one.name: one for one in sup.order}
        sup.order.clear()
        for place, spec in enumerate(sup.supervisor.children):
            node = present.get(spec.name)
            if node is None:
                self._plant(sup, spec, place, own=False)
            else:
                node.rank, node.listed = place, True
                gates.forget(self, node)
                sup.order.append(node)
                self.touch(node)

    def abandon(self, node: Node, why: str) -> None:
        """Nothing more comes of ``node``: whoever waits for its start is answered."""
        operations.failed(self, node, why)
        if node.start_call is not None:
            self.reply(node.start_call, "noproc")
            node.start_call, node.adding = None, False
            self.touch(node)
        calls, node.stop_calls = node.stop_calls, None
        for call in calls or ():
            self.reply(call, "ok")

    # For the rooms of the core: what has changed.

    def touch(self, node: Node) -> None:
        self._touched.add("node/" + node.path)

    def touch_key(self, key: str) -> None:
        self._touched.add(key)

    def touch_window(self, sup: Node) -> None:
        if sup.window is not None and sup.window.changed:
            self._touched.update(f"window/{number}/{sup.path}" for number in sup.window.changed)
            sup.window.changed.clear()

    def forget_window(self, sup: Node) -> None:
        if sup.window is not None:
            sup.window.replace([])
            self.touch_window(sup)
            sup.window = None
