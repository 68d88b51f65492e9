"""The state written down: one record for each node, so that a commit costs what changed.

Keys: `tree`, `spec` (the root's specification, whole), `node/PATH`, `window/N/PATH` (a chunk of a
supervisor's restarts), `operation/REQUEST`. Values: JSON. What follows from these is not written.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from supervisor_tree.core.intensity import Entry, Window
from supervisor_tree.core.node import Gate, Node, Record, State, Then
from supervisor_tree.core.operations import Operation
from supervisor_tree.core.spec import ChildSpec, SupervisorSpec

if TYPE_CHECKING:
    from supervisor_tree.core.tree import Tree


class Head(msgspec.Struct, omit_defaults=True):
    """What belongs to the tree as a whole."""

    seed: int
    floor: int = 0
    ending: bool = False
    ended: bool = False
    shutdown_request: str | None = None


_encode = msgspec.json.Encoder().encode
_head = msgspec.json.Decoder(Head).decode
_spec = msgspec.json.Decoder(SupervisorSpec).decode
_record = msgspec.json.Decoder(Record).decode
_operation = msgspec.json.Decoder(Operation).decode
_chunk = msgspec.json.Decoder(list[Entry]).decode
_names = Record.__struct_fields__
_fields = attrgetter(*_names)


def dump(tree: Tree, key: str) -> bytes | None:
    """The present value of ``key``, or None when there is none."""
    kind, _, rest = key.partition("/")
    if kind == "node":
        node = tree.nodes.get(rest)
        return None if node is None else _encode(Record(*_fields(node)))
    if kind == "window":
        number, _, path = rest.partition("/")
        sup = tree.nodes.get(path)
        chunk = sup.window.chunk(int(number)) if sup is not None and sup.window is not None else None
        return None if chunk is None else _encode(chunk)
    if kind == "operation":
        operation = tree.operations.get(rest)
        return None if operation is None else _encode(operation)
    if kind == "spec":
        return _encode(tree.spec)
    return _encode(Head(tree.seed, tree.floor, tree.ending, tree.ended, tree.shutdown_request))


def load(tree: Tree, items: dict[str, bytes]) -> None:
    """Make ``tree``, which is blank memory, the tree that was written down."""
    head = _head(items["tree"])
    tree._blank(_spec(items["spec"]), head.seed)
    tree.floor, tree.ending, tree.ended = head.floor, head.ending, head.ended
    tree.shutdown_request = head.shutdown_request
    records: dict[str, Record] = {}
    windows: dict[str, dict[int, list[Entry]]] = {}
    for key, value in items.items():
        kind, _, rest = key.partition("/")
        if kind == "node":
            records[rest] = _record(value)
        elif kind == "window":
            number, _, path = rest.partition("/")
            windows.setdefault(path, {})[int(number)] = _chunk(value)
        elif kind == "operation":
            operation = _operation(value)
            tree.operations[operation.request] = operation
    declared: dict[str, ChildSpec] = {tree.spec.name: tree.spec}
    for path in sorted(records, key=lambda path: (path.count("/"), records[path].rank)):
        record = records[path]
        spec = record.own_spec or declared[path]
        node = Node(**dict(zip(_names, _fields(record), strict=True)), spec=spec)
        if isinstance(spec, SupervisorSpec):
            for child in spec.children:
                declared.setdefault(f"{path}/{child.name}", child)
            if node.state in (State.STARTING, State.UP, State.STOPPING):
                node.window = Window.of(windows.get(path, {}))
        tree.attach(node, tree.nodes.get(path.rpartition("/")[0]))
        if node.gate is Gate.WAITING and node.gate_for is not None:
            tree.waiters.setdefault(node.gate_for, {})[path] = None
        if node.then is Then.REMOVE:
            tree.leaving[node.name] = path
    tree.root = tree.nodes[tree.spec.name]
    for operation in tree.operations.values():
        for path, item in operation.items.items():
            if item.ok is None:
                tree.watchers.setdefault(path, {})[operation.request] = None
                tree.stirred.add((operation.request, path))
