"""What operators ask of a child: stop, start, restart, hold, release.

A wish belongs to the path and outlives everything: rounds, the supervisor's instances, the tree. Only the
operator ends it. Each function answers a request for one child in one state (see the table in
`child.py`); `handle` opens the operation and goes over the paths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_tree.core import gates, operations, rounds, starting, stopping
from supervisor_tree.core.events import (
    By,
    HoldRequested,
    ReleaseRequested,
    RestartRequested,
    StartRequested,
    StopRequested,
    WishWord,
)
from supervisor_tree.core.node import Gate, Node, State, Then
from supervisor_tree.core.supervising import due, may_start, tied_to, tied_words

if TYPE_CHECKING:
    from supervisor_tree.core.operations import Operation
    from supervisor_tree.core.tree import Tree

Request = StopRequested | StartRequested | RestartRequested | HoldRequested | ReleaseRequested


def subjects(tree: Tree, request: Request, operation: Operation) -> list[Node]:
    """The children that a request is about, in the order in which they are to be taken."""
    found: dict[str, Node] = {}
    for path in request.paths:
        node = tree.nodes.get(path)
        if node is None:
            operations.settle(tree, operation, path, "no such name")
        elif isinstance(request, HoldRequested | ReleaseRequested) or not request.tied:
            found[path] = node
        else:
            # A tied restart leaves down what the operator took down.
            again = isinstance(request, RestartRequested)
            found.update((one.path, one) for one in tied_to(node) if one is node or one.wish == "up" or not again)
    nodes = list(found.values())
    # A supervisor before what is below it, however they were named: its children start under it.
    return nodes[::-1] if isinstance(request, StopRequested) else sorted(nodes, key=lambda node: node.path.count("/"))


def express(tree: Tree, nodes: list[Node], request: Request) -> None:
    """Set the wish of all children of a request before anything is done about the first of them."""
    match request:
        case StopRequested(transient=True):
            return
        case StopRequested():
            word: WishWord = "down"
        case HoldRequested():
            word = "hold"
        case _:
            word = "up"
    for node in nodes:
        if isinstance(request, ReleaseRequested) and node.wish != "hold":
            continue
        if word == "hold" and node.wish == "down" and node.state is State.DOWN and node.gate is None:
            gates.close(tree, node, Gate.HELD, None)
        if node.wish != word:
            by = request.by
            tree.note("wish_changed", node, {"wish": word, "before": node.wish, "by": by.who, "why": by.why})
        node.wish = word
        node.by = None if word == "up" else request.by
        tree.moved(node)


# Stop. A stop always wins: over a start, a delay, a crash being handled, a restart being waited for.


def stop_down(tree: Tree, node: Node, request: StopRequested) -> None:
    operations.superseded(tree, node, request.request)
    if node.gate is not Gate.FAILED:
        gates.forget(tree, node)


def stop_alive(tree: Tree, node: Node, request: StopRequested) -> None:
    operations.superseded(tree, node, request.request)
    stopping.stop(tree, node, Then.STAY)


def stop_stopping(tree: Tree, node: Node, request: StopRequested) -> None:
    operations.superseded(tree, node, request.request)
    stopping.join(tree, node, Then.STAY)


def stop_restarting(tree: Tree, node: Node, request: StopRequested) -> None:
    operations.superseded(tree, node, request.request)
    _leave_the_round(tree, node)


def _leave_the_round(tree: Tree, node: Node) -> None:
    """The child whose delay a round waits for is not to be started: the others of the round are, now."""
    tree.enter(node, State.DOWN)
    sup = node.parent
    if sup is not None and sup.is_ordered and sup.state in (State.UP, State.STARTING) and node.wish != "up":
        rounds.begin(tree, node, 0.0)


# Start, and restart: a stop, then a start. Counted in no intensity.


def start_down(tree: Tree, node: Node, request: StartRequested | RestartRequested) -> None:
    _forgive(tree, node, request)
    gates.forget(tree, node)
    sup = node.parent
    if sup is not None and not (sup.state is State.UP or sup.state is State.STARTING):
        word = "restarting" if sup.state is State.RESTARTING else "stopping" if sup.alive else "stopped"
        operations.failed(tree, node, f"its supervisor {sup.name} is {word}")
        _refuse(tree, node, request, f"its supervisor {sup.name} is {word}")
    elif tree.ending:
        _refuse(tree, node, request, "the tree is shutting down")
    elif may_start(node):
        tied = [one for one in tied_to(node) if one.gate is Gate.FAILED and one.gate_for == tied_words(node)]
        starting.start(tree, node)
        for one in tied:
            gates.forget(tree, one)
            starting.start(tree, one)
    else:
        node.listed = True
        tree.touch(node)


def start_alive(tree: Tree, node: Node, request: StartRequested) -> None:
    _forgive(tree, node, request)


def start_stopping(tree: Tree, node: Node, request: StartRequested | RestartRequested) -> None:
    """It is started once it is down: by the round that stops it, else at once."""
    _forgive(tree, node, request)
    sup = node.parent
    if node.then is Then.REMOVE:
        _refuse(tree, node, request, "it is being removed")
    elif tree.ending or (sup is not None and sup.state is State.STOPPING):
        _refuse(tree, node, request, "its supervisor is stopping")
    elif sup is None or sup.walk is None or not sup.walk.covers(node.rank):
        stopping.join(tree, node, Then.RESTART)


def start_restarting(tree: Tree, node: Node, request: StartRequested | RestartRequested) -> None:
    """Without waiting for the rest of the delay."""
    _forgive(tree, node, request)
    if node.parent is not None and node.parent.state is State.STOPPING:
        _refuse(tree, node, request, "its supervisor is stopping")
    due(tree, node)


def restart_alive(tree: Tree, node: Node, request: RestartRequested) -> None:
    _forgive(tree, node, request)
    sup = node.parent
    if tree.ending or (sup is not None and sup.state is State.STOPPING):
        _refuse(tree, node, request, "its supervisor is stopping")
    elif gates.taken_down(tree, node) is not None:
        _refuse(tree, node, request, "a supervisor above it is held")
    elif request.tied and sup is not None and sup.is_ordered:
        rounds.begin(tree, node, 0.0, keep=True)
    else:
        stopping.stop(tree, node, Then.RESTART)


def _forgive(tree: Tree, node: Node, request: StartRequested | RestartRequested) -> None:
    """A start clears what was held against the child: its backoff, and its restarts in the window."""
    if isinstance(request, StartRequested):
        node.attempt = 0
        node.owed = 0.0
        node.tried = False
        tree.disarm(node, "again")
        if node.parent is not None and node.parent.window is not None:
            node.parent.window.forgive(node.name)
            tree.touch_window(node.parent)


def _refuse(tree: Tree, node: Node, request: StartRequested | RestartRequested, reason: str) -> None:
    operation = tree.operations.get(request.request)
    if operation is not None:
        operations.settle(tree, operation, node.path, reason)


# Hold: hands off. A running child is left alone, one that ends is not started again until `release`.


def hold_down(tree: Tree, node: Node, request: HoldRequested) -> None:
    """One that was to be started, sooner or later, is held; one that ended for good is not."""
    if node.gate is not None and node.gate is not Gate.FAILED:
        gates.close(tree, node, Gate.HELD, None)


def hold_alive(tree: Tree, node: Node, request: HoldRequested) -> None:
    """Its wish is all there is to it."""


def hold_restarting(tree: Tree, node: Node, request: HoldRequested) -> None:
    _leave_the_round(tree, node)
    if node.state is State.DOWN:
        gates.close(tree, node, Gate.HELD, None)


def hold_and_stop(tree: Tree, node: Node, by: By) -> None:
    """The shell finds that a child that lives must not go on, nor be started again before somebody has looked."""
    tree.note("wish_changed", node, {"wish": "hold", "before": node.wish, "by": by.who, "why": by.why})
    node.wish, node.by = "hold", by
    stopping.stop(tree, node, Then.STAY)


def release(tree: Tree, node: Node, request: ReleaseRequested) -> None:
    _release_held(tree, node)


def _release_held(tree: Tree, node: Node) -> None:
    if node.state is State.DOWN and node.gate is Gate.HELD and may_start(node):
        gates.forget(tree, node)
        starting.start(tree, node)
    for child in list(node.order):
        _release_held(tree, child)
