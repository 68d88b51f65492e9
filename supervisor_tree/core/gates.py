"""Gates: what keeps a child from being started now.

A start that meets a closed gate is answered with OTP's `ignore`: siblings go on, and once the gate opens
the child gets one uncounted start that touches nobody else. The gates, asked in this order:

* the operator's wish: down (`stopped`) or hands off (`held`, also by a hold of a supervisor above it);
* a give-up of the root that holds (`on_give_up`): `failed` until an operator's start;
* `require`, which only the shell can ask: it answers `StartIgnored` with the reason, later `GateOpened`;
* `needs`: something earlier in the tree must be started, ready, healthy or completed;
* under `one_for_all` and `rest_for_one` the sibling before it, as if it were needed `ready`. One that
  the operator stopped or holds is passed over, and the sibling before that one is asked: who takes a
  child down on purpose does not want its successors to wait for it;
* the name: a child of the same name that is being removed elsewhere must be gone.

Gates are asked at starts only. Nobody is stopped because a gate closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_tree.core.node import Gate, Node, State, position
from supervisor_tree.core.spec import Level

if TYPE_CHECKING:
    from supervisor_tree.core.tree import Tree


def obstacle(tree: Tree, node: Node) -> tuple[Gate, str | None] | None:
    """The first closed gate before ``node`` and, of a `waiting` one, the path that it waits for."""
    wished = taken_down(tree, node)
    if wished is not None:
        return wished, None
    if node.gate is Gate.FAILED:
        return Gate.FAILED, node.gate_for
    if tree.leaving and (old := tree.leaving.get(node.name)) is not None and old != node.path:
        return Gate.WAITING, old
    if not node.is_supervisor:
        for need in node.worker.needs:
            if (missing := unmet(tree, need.path, need.level)) is not None:
                return Gate.WAITING, missing
    if node.parent is not None and node.parent.is_ordered:
        before = _one_before(node)
        if before is not None and (late := _not_ready(before)) is not None:
            return Gate.WAITING, late.path
    return None


def taken_down(tree: Tree, node: Node) -> Gate | None:
    """What the operator wishes of this child, or of a supervisor above it: stopped, held, or None."""
    found = Gate.STOPPED if tree.ending else None
    above: Node | None = node
    while above is not None and found is not Gate.STOPPED:
        if above.wish != "up":
            found = Gate.STOPPED if above.wish == "down" else Gate.HELD
        above = above.parent
    return found


def held(node: Node) -> bool:
    """Whether the operator holds this child or a supervisor above it."""
    above: Node | None = node
    while above is not None:
        if above.wish == "hold":
            return True
        above = above.parent
    return False


def startable(tree: Tree, node: Node) -> bool:
    """Whether nothing but a need keeps ``node`` down: a delay before its start makes sense."""
    return node.gate is not Gate.FAILED and taken_down(tree, node) is None


def close(tree: Tree, node: Node, gate: Gate, waits_for: str | None) -> None:
    """Note that ``node`` stands before a closed gate; `Tree` asks again when ``waits_for`` changes."""
    if node.gate is gate and node.gate_for == waits_for:
        return
    forget(tree, node)
    node.gate, node.gate_for, node.since = gate, waits_for, tree.now
    if gate is Gate.WAITING and waits_for is not None:
        tree.waiters.setdefault(waits_for, {})[node.path] = None
    tree.touch(node)
    if gate is Gate.WAITING:
        tree.note("waiting", node, {"for": waits_for})
    else:
        tree.note(gate.value, node, {"reason": waits_for, "by": node.by.who if node.by else None})


def forget(tree: Tree, node: Node) -> None:
    """No gate holds ``node`` any more."""
    if node.gate is Gate.WAITING and node.gate_for is not None:
        waiters = tree.waiters.get(node.gate_for)
        if waiters is not None:
            waiters.pop(node.path, None)
            if not waiters:
                del tree.waiters[node.gate_for]
    if node.gate is not None:
        node.gate = node.gate_for = None
        tree.touch(node)


def satisfied(node: Node, level: Level) -> bool:
    """Whether a worker has come as far as ``level``. To have completed satisfies every level."""
    if node.completed and node.state is State.DOWN:
        return True
    if node.state is not State.UP or level is Level.COMPLETED:
        return False
    if level is Level.STARTED:
        return True
    return node.ready and (level is Level.READY or node.healthy is not False)


def unmet(tree: Tree, path: str, level: Level) -> str | None:
    """The path of what a need still lacks: the worker, or the first such child of a supervisor."""
    node = tree.nodes.get(path)
    return None if node is None else _lacking(node, level)


def _lacking(node: Node, level: Level) -> str | None:
    if not node.is_supervisor:
        return None if satisfied(node, level) else node.path
    if node.state is not State.UP:
        return node.path
    for child in node.order:
        if (missing := _lacking(child, level)) is not None:
            return missing
    return None


def _one_before(node: Node) -> Node | None:
    """The nearest earlier sibling that was not taken down on purpose."""
    assert node.parent is not None
    siblings = node.parent.order
    for index in range(position(node.parent, node.rank) - 1, -1, -1):
        before = siblings[index]
        if before.listed and (before.wish == "up" or before.state is State.UP):
            return before
    return None


def _not_ready(node: Node) -> Node | None:
    """``node``, or the child of it, that is on its way to ready; None: nothing is to be waited for.

    What is plainly down (ended, ignored as OTP ignores, terminated through the API) is not waited for.
    """
    if node.state is State.DOWN:
        return node if node.gate in (Gate.WAITING, Gate.HELD) and node.wish == "up" else None
    if node.state is State.RESTARTING:
        # A retry is a message on its way, not a delay: OTP's calls go by it.
        return node if "restart" in (node.timers or ()) else None
    if node.state is not State.UP:
        return node
    if not node.is_supervisor:
        return None if node.ready else node
    for child in node.order:
        if child.wish == "up" and (late := _not_ready(child)) is not None:
            return late
    return None
