"""Passes over a supervisor's children: its first start, its end, and the rounds of its strategy.

A pass (`Walk`) has one child under way at a time, as in OTP, but nothing waits for the pass: exits and
requests are handled while it is under way, and what they mean for it is told here.

* A round is a stop of the set in reverse order, the delay of the child that failed, and a start of the
  set in order. `one_for_all` takes every child, `rest_for_one` those from the failed one on.
* A child of the set that ends by itself before the pass has come to it is counted nowhere: the pass
  would have stopped it (OTP: its exit notice is swallowed).
* A failure outside the set, or of one already started again, begins a new round that takes in what the
  old one had left to do. So an earlier child's exit widens the round.
* A start that fails ends the pass; what is left is started by the retry of the child that failed.
* A running child that the operator holds is passed over, but for the end of the supervisor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_tree.core import gates, starting, stopping
from supervisor_tree.core.node import LAST, Node, State, Then, Walk, position
from supervisor_tree.core.spec import Strategy

if TYPE_CHECKING:
    from supervisor_tree.core.tree import Tree


def begin(tree: Tree, owner: Node, delay: float, *, keep: bool = False) -> None:
    """A round, because of ``owner``: stop what its strategy ties to it, wait ``delay`` seconds, start all of it."""
    sup = owner.parent
    assert sup is not None
    first = owner.rank if sup.supervisor.strategy is Strategy.REST_FOR_ONE else 0
    if sup.walk is not None and sup.walk.task == "stop":
        first = min(first, sup.walk.first)
        delay = max(delay, sup.walk.delay)
    sup.walk = Walk(task="stop", first=first, cursor=LAST, owner=owner.path, delay=delay, keep=keep)
    tied = [child.path for child in sup.order if child.rank >= first]
    tree.note("round_began", sup, {"strategy": sup.supervisor.strategy.value, "child": owner.path, "paths": tied})
    step(tree, sup)


def step(tree: Tree, sup: Node) -> None:
    """Go on with the supervisor's pass as far as nothing has to be waited for."""
    walk = sup.walk
    tree.touch(sup)
    if walk is None:
        return
    if walk.end and (sup.killed or sup.is_simple):
        _stop_all(tree, sup)
    elif walk.task == "stop":
        _step_stop(tree, sup, walk)
    else:
        _step_start(tree, sup, walk)


def _stop_all(tree: Tree, sup: Node) -> None:
    """The end of a `simple_one_for_one`, or of a killed supervisor: nobody waits for a sibling."""
    for child in list(sup.order):
        if child.state is State.RESTARTING:
            tree.enter(child, State.DOWN)
        elif child.state is State.STOPPING:
            if child.then is not Then.STAY:
                stopping.join(tree, child, Then.STAY)
        elif child.alive:
            stopping.stop(tree, child, Then.STAY)
    if not sup.live:
        stopping.finish(tree, sup)


def _step_stop(tree: Tree, sup: Node, walk: Walk) -> None:
    index = position(sup, walk.cursor + 1) - 1
    while index >= 0:
        child = sup.order[index]
        index -= 1
        if child.rank < walk.first:
            break
        if child.state is State.RESTARTING:
            tree.enter(child, State.DOWN)
        left_alone = not walk.end and child.state is not State.STOPPING and gates.held(child)
        if child.state is State.DOWN or left_alone:
            continue
        walk.cursor = child.rank
        then = Then.RESTART if walk.keep else Then.STAY
        if child.state is not State.STOPPING:
            stopping.stop(tree, child, then)
        elif child.then is not Then.STAY:
            stopping.join(tree, child, then)
        return
    if walk.end:
        stopping.finish(tree, sup)
    else:
        _stopped(tree, sup, walk)


def _stopped(tree: Tree, sup: Node, walk: Walk) -> None:
    """The set is stopped: the delay, or the start."""
    owner = tree.nodes.get(walk.owner) if walk.owner is not None else None
    if walk.delay > 0 and owner is not None and owner.state is State.DOWN and gates.startable(tree, owner):
        sup.walk = None
        wait(tree, owner, walk.delay)
        return
    walk.task, walk.cursor, walk.delay = "start", walk.first - 1, 0.0
    _step_start(tree, sup, walk)


def wait(tree: Tree, child: Node, delay: float) -> None:
    """``child`` is to be started, with what is tied to it, in ``delay`` seconds."""
    at = tree.now + delay
    tree.enter(child, State.RESTARTING)
    tree.arm(child, "restart", at)
    tree.note("restart_scheduled", child, {"delay": delay, "attempt": child.attempt, "at": at})


def _step_start(tree: Tree, sup: Node, walk: Walk) -> None:
    while sup.walk is walk:
        index = position(sup, walk.cursor)
        if index < len(sup.order) and sup.order[index].rank == walk.cursor:
            if sup.order[index].state is State.STARTING:
                return
            index += 1
        if index == len(sup.order):
            sup.walk = None
            if sup.state is State.STARTING:
                starting.up(tree, sup)
            return
        child = sup.order[index]
        walk.cursor = child.rank
        if child.listed and child.state is State.DOWN:
            starting.start(tree, child)
            if child.alive:
                return
