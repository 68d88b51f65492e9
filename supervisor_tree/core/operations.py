"""Operators' requests: what each still waits for, and its one `Reply`.

A stop of a child ends when nothing of it is left; a start or restart when the child is started and,
where that is told, ready, or has failed to, or stands before a gate that will not open by itself, or was
superseded by a later stop. A supervisor counts as started when all that it starts is. The reply is given
when the last path has come to its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from supervisor_tree.core.effects import Reply
from supervisor_tree.core.node import Gate, Node, State

if TYPE_CHECKING:
    from supervisor_tree.core.tree import Tree

Kind = Literal["stop", "start", "reload"]


class Item(Struct, omit_defaults=True):
    """How far an operation has come at one path."""

    goal: Kind
    after: int = -1
    """A start is one of a later incarnation than this."""
    ok: bool | None = None
    reason: str | None = None


class Operation(Struct, omit_defaults=True):
    request: str
    items: dict[str, Item] = {}
    open: int = 1
    """How many items have not come to their end; one more while the operation is being made up."""


def begin(tree: Tree, request: str) -> Operation:
    """A new operation, without items. A request that is under way already is answered where it began."""
    operation = tree.operations[request] = Operation(request)
    tree.touch_key(f"operation/{request}")
    return operation


def expect(tree: Tree, operation: Operation, path: str, goal: Kind, after: int = -1) -> None:
    """The operation ends no sooner than ``goal`` is reached at ``path``."""
    if path in operation.items:
        return
    operation.items[path] = Item(goal, after)
    operation.open += 1
    tree.watchers.setdefault(path, {})[operation.request] = None


def settle(tree: Tree, operation: Operation, path: str, reason: str | None = None) -> None:
    """The operation has come to its end at ``path``: well, or for ``reason`` not."""
    item = operation.items.get(path)
    if item is None:
        item = operation.items[path] = Item("stop")
        operation.open += 1
    if item.ok is not None:
        return
    item.ok, item.reason = reason is None, reason
    operation.open -= 1
    _unwatch(tree, operation, path)
    tree.touch_key(f"operation/{operation.request}")


def conclude(tree: Tree, operation: Operation) -> None:
    """The operation is made up: look at each item once, and reply if nothing is left to wait for."""
    for path, item in list(operation.items.items()):
        if item.ok is None:
            _look(tree, operation, path)
    operation.open -= 1
    tree.touch_key(f"operation/{operation.request}")
    reply_if_done(tree, operation)


def reply_if_done(tree: Tree, operation: Operation) -> None:
    if operation.open == 0 and tree.operations.pop(operation.request, None) is not None:
        tree.touch_key(f"operation/{operation.request}")
        for path in operation.items:
            tree.late.pop((operation.request, path), None)
        tree.do(Reply(operation.request, results(operation)))


def results(operation: Operation) -> list[dict[str, object]]:
    return [{"name": path, "ok": bool(item.ok), "reason": item.reason} for path, item in operation.items.items()]


def observe(tree: Tree, node: Node) -> None:
    """``node`` changed: so may what operations wait for, at its path or above."""
    place: Node | None = node
    while place is not None:
        for request in list(tree.watchers.get(place.path, ())):
            operation = tree.operations[request]
            if operation.items[place.path].goal == "start":
                tree.stirred.add((request, place.path))
            else:
                _look(tree, operation, place.path)
                reply_if_done(tree, operation)
        place = place.parent


def review(tree: Tree) -> None:
    """An event has been handled: what has become of the starts that it concerned, and of those before a gate."""
    stirred, tree.stirred = tree.stirred, set()
    for request, path in sorted(stirred):
        operation = tree.operations.get(request)
        if operation is not None and path in operation.items:
            _look(tree, operation, path)
            reply_if_done(tree, operation)


def failed(tree: Tree, node: Node, reason: str) -> None:
    """A start of ``node`` failed: so have the starts that wait for it, its own and its supervisors'."""
    if not tree.watchers:
        return
    place: Node | None = node
    text = reason
    while place is not None:
        for operation in _starts(tree, place.path):
            if operation.items[place.path].after < place.incarnation or place.state is State.DOWN:
                settle(tree, operation, place.path, text)
                reply_if_done(tree, operation)
        text = f"{node.name}: {reason}"
        place = place.parent


def superseded(tree: Tree, node: Node, by: str) -> None:
    """The starts at ``node`` and below are called off by a later request."""
    if not tree.watchers:
        return
    for operation in _starts(tree, node.path):
        if operation.request != by:
            settle(tree, operation, node.path, "superseded by stop")
            reply_if_done(tree, operation)
    for child in node.order:
        superseded(tree, child, by)


def removed(tree: Tree, node: Node) -> None:
    """``node`` is taken out of the tree: who waited for it to be gone has what he wanted."""
    for request in list(tree.watchers.get(node.path, ())):
        operation = tree.operations[request]
        item = operation.items[node.path]
        if item.goal == "start" and node.successor is not None:
            continue
        settle(tree, operation, node.path, "removed" if item.goal == "start" else None)
        reply_if_done(tree, operation)


def close_all(tree: Tree, reason: str) -> None:
    """Every operation ends now: stops well, the others not."""
    for operation in list(tree.operations.values()):
        close(tree, operation, reason)


def close(tree: Tree, operation: Operation, reason: str) -> None:
    for path, item in list(operation.items.items()):
        if item.ok is None:
            node = tree.nodes.get(path)
            down = node is None or node.state is State.DOWN
            settle(tree, operation, path, None if item.goal != "start" and down else reason)
    reply_if_done(tree, operation)


def _starts(tree: Tree, path: str) -> list[Operation]:
    found = [tree.operations[request] for request in tree.watchers.get(path, ())]
    return [operation for operation in found if operation.items[path].goal == "start"]


def _unwatch(tree: Tree, operation: Operation, path: str) -> None:
    watching = tree.watchers.get(path)
    if watching is not None:
        watching.pop(operation.request, None)
        if not watching:
            del tree.watchers[path]


def _look(tree: Tree, operation: Operation, path: str) -> None:
    """Settle one item, if it has come to its end."""
    item, node = operation.items[path], tree.nodes.get(path)
    if item.ok is not None:
        return
    if node is None:
        settle(tree, operation, path, "no such name" if item.goal == "start" else None)
    elif item.goal == "stop":
        if node.state is State.DOWN:
            settle(tree, operation, path)
    elif item.goal == "start" and (node.incarnation > item.after or node.state is State.DOWN):
        outlook = _outlook(tree, operation, node)
        if outlook is not False:
            settle(tree, operation, path, None if outlook is True else outlook)
    elif item.goal == "start" and node.state is State.UP:
        # The old incarnation still runs: a round is to restart it, or has passed it over.
        if node.parent is not None and node.parent.walk is not None:
            tree.stirred.add((operation.request, path))
        else:
            settle(tree, operation, path, "held")


def _outlook(tree: Tree, operation: Operation, node: Node) -> bool | str:
    """True: as far as a start is to come. False: on its way. Else why it will not come there by itself."""
    last = tree.nodes.get(tree.late.pop((operation.request, node.path), ""))
    if last is not None and last is not node and last.alive and _started(tree, last) is False:
        tree.late[operation.request, node.path] = last.path
        return False
    late: list[Node] = []
    outlook = _started(tree, node, late)
    if outlook is False:
        tree.late[operation.request, node.path] = late[0].path
        if late[0].state is State.DOWN:
            tree.stirred.add((operation.request, node.path))
    return outlook


def _started(tree: Tree, node: Node, late: list[Node] | None = None) -> bool | str:
    """As `_outlook`; the first that is on its way is put into ``late``."""
    outlook: bool | str = True
    if node.state is State.DOWN:
        outlook = _behind_gate(tree, node, set())
    elif node.state is State.RESTARTING:
        outlook = f"{node.reason or 'ended'}; to be tried again"
    elif node.state is not State.UP or not (node.is_supervisor or node.ready) or _begins(node):
        outlook = False
    else:
        for child in node.order:
            if child.wish == "up" and (child.alive or child.gate is not None or child.state is State.RESTARTING):
                below = _started(tree, child, late)
                if below is not True:
                    return below if below is False else f"{child.name}: {below}"
    if outlook is False and late is not None:
        late.append(node)
    return outlook


def _begins(sup: Node) -> bool:
    """Whether a supervisor's children are being started."""
    return sup.walk is not None and sup.walk.task == "start"


def _behind_gate(tree: Tree, node: Node, seen: set[str]) -> bool | str:
    """The outlook of a child that is down."""
    if node.gate is Gate.HELD:
        return f"held: {node.gate_for}" if node.gate_for else "held"
    if node.gate is Gate.FAILED:
        return f"failed: {node.gate_for}"
    if node.gate is Gate.STOPPED:
        return "stopped"
    if node.gate is None:
        return False if _to_be_started(node) else node.reason or "it is down"
    seen.add(node.path)
    needed = tree.nodes.get(node.gate_for or "")
    if needed is None or needed.alive:
        return False
    if needed.path in seen:
        return f"waiting for {needed.name}, which waits for it"
    if needed.state is State.RESTARTING:
        return f"waiting for {needed.name}, which is to be restarted"
    if needed.gate is Gate.WAITING or _to_be_started(needed):
        return _behind_gate(tree, needed, seen)
    return f"waiting for {needed.name}, which is down"


def _to_be_started(node: Node) -> bool:
    """Whether a pass of its supervisor is going to start a child that is down."""
    sup = node.parent
    if sup is None or sup.state not in (State.STARTING, State.UP):
        return False
    if sup.walk is None:
        return sup.state is State.STARTING
    return sup.walk.task == "stop" or node.rank > sup.walk.cursor
