"""Stops: of a worker, by the shell; of a supervisor, by stopping its children in reverse start order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_tree.core import gates
from supervisor_tree.core.effects import StopChild
from supervisor_tree.core.events import Exit
from supervisor_tree.core.facts import Fact
from supervisor_tree.core.node import Node, State, Then, end_walk, position
from supervisor_tree.core.spec import Shutdown

if TYPE_CHECKING:
    from supervisor_tree.core.tree import Tree


def stop(tree: Tree, node: Node, then: Then) -> None:
    """Ask a child that is up or starting to stop; ``then`` follows. At once, whatever else is under way."""
    node.then = then
    if node.start_call is not None:
        tree.reply(node.start_call, ["error", "shutdown"])
        node.start_call, node.adding = None, False
    grace = seconds(node.spec.shutdown)
    if not node.is_supervisor or unanswered(node):
        tree.disarm(node, "ready")
        node.deadline = None if grace is None else tree.now + grace
        tree.enter(node, State.STOPPING)
        tree.do(StopChild(node.path, node.incarnation, grace))
        return
    if grace == 0:
        kill(tree, node)
        return
    if grace is not None:
        tree.arm(node, "shutdown", tree.now + grace)
    end(tree, node)


def join(tree: Tree, node: Node, then: Then) -> None:
    """A child that is stopping already is asked to stop, for another reason: that one counts from now on."""
    if node.then is Then.REMOVE:
        return
    bounded = node.then is not None
    node.then = then
    tree.touch(node)
    if node.is_supervisor and not bounded and not node.killed:
        grace = seconds(node.spec.shutdown)
        if grace == 0:
            kill(tree, node)
        elif grace is not None:
            tree.arm(node, "shutdown", tree.now + grace)


def unanswered(node: Node) -> bool:
    """A supervisor whose begin was asked of the shell, which has not answered."""
    return node.is_supervisor and node.supervisor.asked and node.state is State.STARTING and node.pid is None


def end(tree: Tree, sup: Node) -> None:
    """A supervisor begins to end: all children in reverse start order, each waited for; simple: all at once."""
    if sup.walk is not None and sup.walk.end:
        return
    tree.enter(sup, State.STOPPING)
    sup.walk = end_walk()
    tree.tell(Fact.WALK, sup)


def kill(tree: Tree, sup: Node) -> None:
    """A supervisor is killed: whatever lives below it is killed at once."""
    if sup.killed:
        return
    sup.killed = True
    tree.disarm(sup, "shutdown")
    tree.enter(sup, State.STOPPING)
    sup.walk = end_walk()
    tree.note("killed", sup)
    for child in reversed(sup.order):
        if child.state is State.RESTARTING:
            tree.enter(child, State.DOWN)
        if not child.alive:
            continue
        if child.then is not Then.REMOVE:
            child.then = Then.STAY
            tree.touch(child)
        if child.is_supervisor and not unanswered(child):
            kill(tree, child)
        else:
            child.deadline = tree.now
            tree.disarm(child, "ready")
            tree.enter(child, State.STOPPING)
            tree.do(StopChild(child.path, child.incarnation, 0.0))
    tree.tell(Fact.WALK, sup)


def finish(tree: Tree, sup: Node) -> None:
    """Nothing is left below a supervisor that was ending: it has ended."""
    for child in list(sup.order):
        tree.abandon(child, f"its supervisor {sup.name} ended")
        tree.disarm(child, "again")
        if child.own_spec is not None:
            tree.remove(child)
    killed, began = sup.killed, sup.begun
    sup.walk, sup.killed, sup.begun = None, False, False
    tree.disarm(sup, "shutdown")
    tree.forget_window(sup)
    reason = sup.failure if sup.failure is not None else "killed" if killed else "shutdown"
    tree.note("supervisor_ended", sup, {"incarnation": sup.incarnation, "reason": reason, "why": sup.ending})
    how = Exit(normal=not killed, reason="killed" if killed else sup.ending or "shutdown")
    if sup.then is None and not began:
        tree.enter(sup, State.DOWN)
        tree.tell(Fact.FAILED, sup, reason)
    elif sup.then is None:
        sup.exit, sup.exited_at = how, tree.now
        tree.enter(sup, State.DOWN)
        tree.tell(Fact.ENDED, sup, how)
    else:
        gone(tree, sup, how)


def next_ones(tree: Tree, path: str, most: int) -> list[StopChild]:
    """Whom an ending supervisor stops after the child at ``path``, one after the other, whatever happens meanwhile.

    For whoever carries effects out: when the one is gone the next may be stopped before this core has heard of it."""
    node = tree.nodes[path]
    sup = node.parent
    if sup is None or sup.walk is None or not sup.walk.end or sup.killed or sup.is_simple:
        return []
    found: list[StopChild] = []
    for index in range(position(sup, node.rank) - 1, -1, -1):
        child = sup.order[index]
        if child.state in (State.DOWN, State.RESTARTING):
            continue
        if child.is_supervisor or child.state is not State.UP or len(found) == most:
            break
        found.append(StopChild(child.path, child.incarnation, seconds(child.spec.shutdown)))
    return found


def gone(tree: Tree, node: Node, how: Exit) -> None:
    """Nothing is left of a child that was asked to stop: what was to follow, follows."""
    then, node.then, node.deadline, node.pid = node.then, None, None, None
    node.exit, node.exited_at = how, tree.now
    tree.enter(node, State.DOWN)
    calls, node.stop_calls = node.stop_calls, None
    for call in calls or ():
        tree.reply(call, "ok")
    if then is Then.CRASH:
        tree.tell(Fact.ENDED, node, how)
    elif then is Then.REMOVE:
        tree.tell(Fact.REMOVED, node)
    else:
        tree.note("stopped", node, {"incarnation": node.incarnation, "exit": how.reason})
        tree.tell(Fact.STOPPED, node, then is Then.RESTART)


def delist(tree: Tree, node: Node) -> None:
    """A child leaves OTP's list of children; one that the specification declares keeps its place for `start`."""
    gates.forget(tree, node)
    if node.own_spec is not None:
        tree.remove(node)
    else:
        node.listed = False
        tree.moved(node)


def seconds(shutdown: Shutdown) -> float | None:
    """`StopChild.grace` for a `shutdown`."""
    if shutdown == "brutal_kill":
        return 0.0
    if shutdown == "infinity":
        return None
    return float(shutdown)
