"""What a supervisor does when something happened to one of its children: OTP's `supervisor`, rule by rule.

Each function answers one `Fact`; `REACTIONS` at the end is the list. The child's state is already what
the fact says. A supervisor that is itself ending reacts to nothing but the ends it waits for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from supervisor_tree.core import backoff, gates, operations, rounds, starting, stopping
from supervisor_tree.core.events import Exit
from supervisor_tree.core.facts import Fact
from supervisor_tree.core.node import Gate, Node, State
from supervisor_tree.core.spec import AutoShutdown, Restart, Strategy, SupervisorSpec

if TYPE_CHECKING:
    from supervisor_tree.core.tree import Tree


def started(tree: Tree, child: Node) -> None:
    if child.start_call is not None:
        tree.reply(child.start_call, ["ok", tree.identity(child)])
        child.start_call, child.adding = None, False
        tree.touch(child)
    _go_on(tree, child)


def ignored(tree: Tree, child: Node) -> None:
    """`ignore` keeps the specification, unless the child is temporary: then it is dropped."""
    adding = child.adding
    if child.start_call is not None:
        tree.reply(child.start_call, ["ok", "undefined"])
        child.start_call, child.adding = None, False
        tree.touch(child)
    if tree.watchers:
        operations.observe(tree, child)
    _go_on(tree, child)
    sup = child.parent
    if child.gate is None and sup is not None and (child.is_temporary or (adding and sup.is_simple)):
        stopping.delist(tree, child)


def failed(tree: Tree, child: Node, reason: Any) -> None:
    """A start failed. In `init` that fails the supervisor; anywhere else the start is tried again, counted."""
    operations.failed(tree, child, f"start failed: {plain(reason)}")
    tree.note("start_failed", child, {"incarnation": child.incarnation, "reason": plain(reason)})
    child.reason = plain(reason)
    sup = child.parent
    if child.start_call is not None:
        _refuse(tree, child, reason)
    elif sup is None:
        tree.end("failed_start")
    elif sup.state is State.STOPPING:
        _go_on(tree, child)
    elif sup.state is State.STARTING and _under_way(sup, child):
        sup.failure = ["shutdown", ["failed_to_start_child", child.name, reason]]
        sup.ending, sup.cause = "failed_start", child.path
        stopping.end(tree, sup)
    elif child.is_temporary:
        child.failed = True
        _go_on(tree, child)
        stopping.delist(tree, child)
    elif not gates.startable(tree, child):
        starting.start(tree, child)
    else:
        if _under_way(sup, child) and sup.is_ordered:
            sup.walk = None
            tree.touch(sup)
        # OTP's message to itself: whatever has happened by now is handled before the retry.
        tree.enter(child, State.RESTARTING)
        tree.arm(child, "retry", tree.now)


def _refuse(tree: Tree, child: Node, reason: Any) -> None:
    """A start asked for through the API failed: the child is as it was before the call."""
    call, adding = child.start_call, child.adding
    assert call is not None
    child.start_call, child.adding = None, False
    tree.touch(child)
    simple = child.parent is not None and child.parent.is_simple
    tree.reply(call, ["error", [reason, ["child", child.name]] if adding and not simple else reason])
    if adding:
        stopping.delist(tree, child)


def ended(tree: Tree, child: Node, how: Exit) -> None:
    """A child ended that nobody asked to: restart type and strategy say what follows."""
    if how is not child.exit:
        child.exit, child.exited_at = how, tree.now
    sup = child.parent
    operations.failed(tree, child, f"ended: {how.reason}")
    if sup is None:
        tree.end(child.ending or "killed", _first_cause(tree, child))
        return
    restart = child.spec.restart
    if sup.state is State.STOPPING or (sup.walk is not None and sup.walk.covers(child.rank)):
        # The pass would have stopped it: counted nowhere.
        _go_on(tree, child)
        if _leaves(child):
            _ended_for_good(child, how)
            stopping.delist(tree, child)
    elif restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and not how.normal):
        if gates.startable(tree, child):
            decide(tree, child)
        else:
            starting.start(tree, child)
    else:
        _ended_for_good(child, how)
        tree.moved(child)
        tree.note("completed" if how.normal else "failed", child, {"exit": how.reason})
        _go_on(tree, child)
        if _leaves(child):
            stopping.delist(tree, child)
        _auto_shutdown(tree, sup, child)


def _leaves(child: Node) -> bool:
    """Whether a child that ended for good leaves OTP's list of children."""
    return child.is_temporary or (child.parent is not None and child.parent.is_simple)


def _first_cause(tree: Tree, sup: Node) -> str | None:
    """The worker because of which a supervisor ended by itself, through however many supervisors."""
    cause = sup.cause
    while cause is not None and cause in tree.nodes and tree.nodes[cause].cause is not None:
        cause = tree.nodes[cause].cause
    return cause


def _ended_for_good(child: Node, how: Exit) -> None:
    child.completed, child.failed = how.normal, not how.normal
    if child.is_supervisor and child.ending == "gave_up":
        child.completed, child.failed = False, True


def stopped(tree: Tree, child: Node, again: bool) -> None:
    """A child that was asked to stop is down. A temporary one leaves the list, and says why where a round took it."""
    sup = child.parent
    if sup is None:
        if tree.ending:
            tree.end("shutdown")
        elif again:
            starting.start(tree, child)
        return
    if again and sup.state is not State.STOPPING and not (sup.walk is not None and sup.walk.covers(child.rank)):
        starting.start(tree, child)
    passed_over = None if again else _not_again(tree, sup, child)
    _go_on(tree, child)
    if child.state is not State.DOWN or again:
        return
    if _leaves(child):
        child.reason = passed_over
        stopping.delist(tree, child)
    elif child.wish == "hold":
        # Hands off since the stop was asked for: what is down is held now, until `release`.
        gates.close(tree, child, Gate.HELD, None)


def _not_again(tree: Tree, sup: Node, child: Node) -> str | None:
    """Why the round under way, if one is, stopped a child and does not start it again."""
    if child.gate is Gate.FAILED:
        return child.gate_for
    walk = sup.walk
    owner = tree.nodes.get(walk.owner) if walk is not None and walk.owner is not None else None
    if walk is None or owner is None or not walk.covers(child.rank):
        return None
    return f"stopped because {owner.name} is restarted; temporary, so it is not started again"


def removed(tree: Tree, child: Node) -> None:
    """A child that was to be taken out of the tree is down: it goes; its successor, if any, takes its place."""
    sup = child.parent
    assert sup is not None
    _go_on(tree, child)
    tree.remove(child)
    if child.successor is not None:
        heir = tree.add(sup, child.successor, child.rank)
        heir.wish, heir.by = child.wish, child.by
        if may_start(heir):
            starting.start(tree, heir)


def overtaken(sup: Node, child: Node) -> bool:
    """Whether a pass is about to stop the child, or to start it in its turn: no restart of its own, then."""
    if sup.state is State.STOPPING:
        return True
    walk = sup.walk
    return walk is not None and sup.is_ordered and (walk.covers(child.rank) or child.rank > walk.cursor)


def retry(tree: Tree, child: Node) -> None:
    """The message to itself is served: the failed start is tried again, which counts."""
    assert child.parent is not None
    if gates.startable(tree, child) and not overtaken(child.parent, child):
        decide(tree, child)
    else:
        due(tree, child)


def due(tree: Tree, child: Node) -> None:
    """The delay of a child that is `State.RESTARTING` is over: it is started, and what is tied to it."""
    sup = child.parent
    if sup is not None and overtaken(sup, child):
        tree.enter(child, State.DOWN)
    elif sup is None or not sup.is_ordered:
        starting.start(tree, child)
    else:
        rounds.begin(tree, child, 0.0)


def decide(tree: Tree, child: Node) -> None:
    """A restart: counted against the intensity, delayed by the ladder, done as the strategy says."""
    sup = child.parent
    assert sup is not None
    spec = sup.supervisor
    child.restarts += 1
    tree.touch(child)
    if spec.intensity is not None:
        assert sup.window is not None
        count = sup.window.add(tree.now, child.name, spec.period)
        tree.touch_window(sup)
        if count > spec.intensity:
            give_up(tree, sup, child)
            return
    delay = climb(tree, child)
    if overtaken(sup, child):
        tree.enter(child, State.DOWN)
    elif sup.is_ordered:
        rounds.begin(tree, child, delay)
    elif delay > 0:
        rounds.wait(tree, child, delay)
    else:
        tree.note("restart_scheduled", child, {"delay": 0.0, "attempt": child.attempt, "at": tree.now})
        starting.start(tree, child)


def climb(tree: Tree, child: Node) -> float:
    """The next rung of the child's ladder, in seconds."""
    ladder = child.spec.backoff
    if backoff.outlived(ladder, child.ready_at, tree.now):
        child.attempt = 0
        child.tried = False
    child.ready_at = None
    child.attempt += 1
    delay = max(backoff.delay(ladder, child.attempt, child.path, tree.seed), child.owed)
    child.owed = 0.0
    return delay


def give_up(tree: Tree, sup: Node, child: Node) -> None:
    """One restart too many: the supervisor ends, or (`on_give_up`, for the root) lives on without the child."""
    spec = sup.supervisor
    tree.note("gave_up", sup, {"child": child.path, "intensity": spec.intensity, "period": spec.period})
    if spec.on_give_up != "exit":
        _hold_failed(tree, sup, child)
        return
    if child.state is State.RESTARTING:
        tree.enter(child, State.DOWN)
    sup.ending, sup.cause = "gave_up", child.path
    sup.reason = f"gave up because of {child.name}: {too_many(spec)}"
    sup.owed = climb(tree, child)
    if sup.parent is not None:
        tree.note("escalated", sup.parent, {"child": sup.path})
    stopping.end(tree, sup)


def _hold_failed(tree: Tree, sup: Node, child: Node) -> None:
    """Stop the child and what the strategy ties to it; they are `failed` until started, its restarts forgiven."""
    spec = sup.supervisor
    assert sup.window is not None
    sup.window.forgive(child.name)
    tree.touch_window(sup)
    reason = too_many(spec)
    tied = tied_to(child)
    for one in tied:
        one.failed = True
        if one.state is State.RESTARTING:
            tree.enter(one, State.DOWN)
        gates.close(tree, one, Gate.FAILED, reason if one is child else tied_words(child))
        operations.failed(tree, one, reason)
        tree.moved(one)
    if sup.is_ordered:
        rounds.begin(tree, child, 0.0)
    if not isinstance(spec.on_give_up, str) and not child.tried:
        child.tried = True
        tree.arm(child, "again", tree.now + spec.on_give_up)


def too_many(spec: SupervisorSpec) -> str:
    return f"more than {spec.intensity} restarts in {spec.period:g} s"


def tied_words(child: Node) -> str:
    return f"tied to {child.name}"


def tied_to(child: Node) -> list[Node]:
    """The child and the siblings that its supervisor's strategy restarts with it, in start order."""
    sup = child.parent
    if sup is None or not sup.is_ordered:
        return [child]
    first = child.rank if sup.supervisor.strategy is Strategy.REST_FOR_ONE else 0
    return [sibling for sibling in sup.order if sibling.rank >= first]


def _auto_shutdown(tree: Tree, sup: Node, child: Node) -> None:
    """A significant child ended by itself: so does its supervisor, if that was the last it waits for."""
    mode = sup.supervisor.auto_shutdown
    if mode is AutoShutdown.NEVER or not child.spec.significant:
        return
    if mode is AutoShutdown.ALL_SIGNIFICANT and any(
        other.spec.significant and other is not child and _present(other) for other in sup.order
    ):
        return
    sup.ending, sup.cause = "auto_shutdown", child.path
    sup.reason = f"ended with {child.name}"
    tree.note("auto_shutdown", sup, {"child": child.path})
    stopping.end(tree, sup)


def _present(child: Node) -> bool:
    """Not OTP's `undefined`; one that stands before a gate is still to come."""
    return child.listed and (child.state is not State.DOWN or child.gate in (Gate.WAITING, Gate.HELD))


def _under_way(sup: Node, child: Node) -> bool:
    """Whether the supervisor's pass waits for this child."""
    return sup.walk is not None and sup.walk.cursor == child.rank


def _go_on(tree: Tree, child: Node) -> None:
    sup = child.parent
    if sup is None or sup.walk is None:
        return
    if _under_way(sup, child) or (sup.walk.end and not sup.live):
        tree.tell(Fact.WALK, sup)


def walk(tree: Tree, sup: Node) -> None:
    rounds.step(tree, sup)


def gate(tree: Tree, node: Node) -> None:
    """Those who wait for ``node`` ask their gates again."""
    for path in list(tree.waiters.get(node.path, ())):
        waiter = tree.nodes[path]
        obstacle = gates.obstacle(tree, waiter)
        if obstacle is not None:
            gates.close(tree, waiter, *obstacle)
            operations.observe(tree, waiter)
        elif may_start(waiter):
            starting.start(tree, waiter)
        else:
            # A pass is about to stop or start it, or it was stopped with its supervisor.
            gates.forget(tree, waiter)


def may_start(child: Node) -> bool:
    """Whether its supervisor runs, and no pass is about to stop or start it."""
    sup = child.parent
    if child.state is not State.DOWN:
        return False
    if sup is None:
        return True
    if sup.state not in (State.UP, State.STARTING):
        return False
    return sup.walk is None or not (
        sup.walk.covers(child.rank) or (sup.walk.task == "start" and child.rank > sup.walk.cursor)
    )


def plain(reason: Any) -> str:
    """A reason in words."""
    match reason:
        case ["shutdown", ["failed_to_start_child", name, inner]]:
            return f"{name} failed to start: {plain(inner)}"
        case ["start_spec", ["duplicate_child_name", name]]:
            return f"two children are called {name}"
        case ["start_spec", ["bad_combination", [[one, of_one], [other, of_other]]]]:
            return f"{one} = {of_one!r} and {other} = {of_other!r} exclude one another".replace("True", "true")
        case _:
            return str(reason)


REACTIONS: dict[Fact, Callable[..., None]] = {
    Fact.STARTED: started,
    Fact.IGNORED: ignored,
    Fact.FAILED: failed,
    Fact.ENDED: ended,
    Fact.STOPPED: stopped,
    Fact.REMOVED: removed,
    Fact.WALK: walk,
    Fact.GATE: gate,
}
