"""What people are told of a tree: status words and reasons. Pure: nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from supervisor_tree.core import gates
from supervisor_tree.core.events import By, Exit, WishWord
from supervisor_tree.core.node import Gate, Node, State
from supervisor_tree.core.spec import Level, Strategy

if TYPE_CHECKING:
    from supervisor_tree.core.tree import Tree

Status = Literal[
    "held", "waiting", "starting", "running", "stopping", "stopped", "backoff", "completed", "failed", "degraded"
]


class NodeView(Struct, kw_only=True):
    """One child as shown. Times are monotonic seconds; a worker is never `degraded`, a supervisor only
    `starting running degraded stopping stopped failed`."""

    path: str
    name: str
    type: Literal["worker", "supervisor"]
    status: Status
    reason: str | None
    incarnation: int
    pid: int | None
    restarts: int
    since: float
    ready: bool
    healthy: bool | None
    next_attempt: float | None
    last_exit: Exit | None
    last_exit_at: float | None
    wish: WishWord
    by: By | None
    waiting_for: str | None
    strategy: str | None
    dynamic: bool
    children: list[NodeView] = field(default_factory=list)


Shown = tuple[Status, str | None, float | None]
"""Status, reason, next attempt."""


def whole(tree: Tree) -> NodeView:
    """The tree, from the root down."""
    return _view(tree, tree.root)


def node(tree: Tree, path: str) -> NodeView:
    """What is at ``path``, and below it. Raises KeyError where nothing is."""
    return _view(tree, tree.nodes[path])


def children(tree: Tree, path: str) -> list[str]:
    """The paths of a supervisor's children in start order, declared ones that ended included."""
    return [child.path for child in tree.nodes[path].order]


def paths(tree: Tree) -> list[str]:
    """All paths, a supervisor before its children, these in start order."""
    found: list[str] = []

    def collect(one: Node) -> None:
        found.append(one.path)
        for child in one.order:
            collect(child)

    collect(tree.root)
    return found


def held(tree: Tree, path: str) -> bool:
    """Whether a start was answered with `held` and waits for `GateOpened`; an operator's hold is none."""
    one = tree.nodes[path]
    return one.gate is Gate.HELD and not gates.held(one)


def wishes(tree: Tree) -> dict[str, tuple[WishWord, By]]:
    """The wishes that are not plainly up: what `WishesRestored` wants in the tree's next life."""
    return {path: (one.wish, one.by or By()) for path, one in tree.nodes.items() if one.wish != "up"}


def _view(tree: Tree, one: Node) -> NodeView:
    below = [_view(tree, child) for child in one.order]
    status, reason, next_attempt = _supervisor(tree, one, below) if one.is_supervisor else _worker(tree, one)
    return NodeView(
        path=one.path,
        name=one.name,
        type="supervisor" if one.is_supervisor else "worker",
        status=status,
        reason=reason,
        incarnation=one.incarnation,
        pid=one.pid if one.alive else None,
        restarts=one.restarts,
        since=one.since,
        ready=one.ready if not one.is_supervisor else status == "running",
        healthy=one.healthy if one.alive else None,
        next_attempt=next_attempt,
        last_exit=one.exit,
        last_exit_at=one.exited_at,
        wish=one.wish,
        by=one.by,
        waiting_for=one.gate_for if one.gate is Gate.WAITING else None,
        strategy=one.supervisor.strategy.value if one.is_supervisor else None,
        dynamic=one.own_spec is not None,
        children=below,
    )


def _worker(tree: Tree, one: Node) -> Shown:
    match one.state:
        case State.STARTING:
            return "starting", None, None
        case State.UP if one.ready:
            return "running", None, None
        case State.UP:
            return "starting", "not ready yet", None
        case State.STOPPING:
            return "stopping", one.crash, None
        case State.RESTARTING:
            return "backoff", one.reason, _at(one, "restart")
    return _down(tree, one)


def _supervisor(tree: Tree, one: Node, below: list[NodeView]) -> Shown:
    match one.state:
        case State.STARTING:
            return "starting", None, None
        case State.STOPPING:
            return "stopping", one.crash or one.reason, None
        case State.RESTARTING:
            return "failed", one.reason, _at(one, "restart")
        case State.DOWN:
            status, reason, next_attempt = _down(tree, one)
            return ("failed" if status in ("failed", "backoff") else "stopped"), reason, next_attempt
        case State.UP:
            pass
    for child in below:
        if child.status in ("failed", "backoff", "degraded", "held") or child.healthy is False:
            return "degraded", f"{child.name} is {child.status if child.healthy is not False else 'unhealthy'}", None
    for child in below:
        if child.status in ("starting", "waiting"):
            return "starting", f"{child.name} is {child.status}", None
    return "running", None, None


def _down(tree: Tree, one: Node) -> Shown:
    if one.gate is Gate.FAILED:
        return "failed", one.gate_for, _at(one, "again")
    if one.wish == "down":
        return "stopped", _by("stopped", one), None
    if one.gate is Gate.HELD or (one.wish == "hold" and not one.completed):
        return "held", one.gate_for or _held_by(one), None
    if one.gate is Gate.WAITING:
        needed = tree.nodes.get(one.gate_for or "")
        return "waiting", f"waiting for {needed.name if needed is not None else one.gate_for}", None
    if one.failed:
        return "failed", one.reason, None
    if one.completed:
        return "completed", None, None
    return _down_with_others(one)


def _down_with_others(one: Node) -> Shown:
    """Down because of its supervisor: that is down itself, or a round is to start it."""
    sup = one.parent
    if sup is None:
        return "stopped", None, None
    if sup.state is State.RESTARTING:
        return "backoff", f"its supervisor {sup.name} is to be restarted", _at(sup, "restart")
    if not sup.alive:
        return "stopped", f"its supervisor {sup.name} {'failed' if sup.failed else 'is stopped'}", None
    if sup.state is State.STOPPING:
        return "stopped", f"its supervisor {sup.name} is stopping", None
    if one.listed and sup.walk is not None and (sup.walk.task == "stop" or one.rank > sup.walk.cursor):
        return "waiting", "its turn is to come", None
    if one.listed and sup.is_ordered:
        owner = _owner(sup, one)
        if owner is not None:
            return "backoff", f"restarts with {owner.name}", _at(owner, "restart")
    return "stopped", one.reason, None


def _owner(sup: Node, one: Node) -> Node | None:
    """The sibling whose delay the round waits for that is to start ``one``."""
    for sibling in sup.order:
        if sibling.rank > one.rank and sup.supervisor.strategy is Strategy.REST_FOR_ONE:
            break
        if sibling.state is State.RESTARTING:
            return sibling
    return None


def _held_by(one: Node) -> str | None:
    above: Node | None = one
    while above is not None:
        if above.wish == "hold":
            return _by("hold", above)
        above = above.parent
    return "hold" if gates.held(one) else None


def _by(word: str, one: Node) -> str:
    by = one.by
    text = f"{word} by {by.who}" if by is not None and by.who else word
    return f"{text}: {by.why}" if by is not None and by.why else text


def _at(one: Node, timer: str) -> float | None:
    return None if one.timers is None else one.timers.get(timer)


def unmet(tree: Tree, path: str, level: Level) -> str | None:
    """What a need of ``path`` at ``level`` still lacks: the path of a worker, or None."""
    return gates.unmet(tree, path, level)


def ends(tree: Tree) -> bool:
    """Whether the tree as a whole is stopping, asked or by itself, or has stopped."""
    return tree.ending or tree.ended or tree.root.state is State.STOPPING
