"""Reload: the tree becomes what its file now says, and only what changed is touched.

Children no longer named are stopped and removed, new ones added at their place and started, those to be
restarted are (uncounted), every other goes on running under its new specification: backoff, intensity,
shutdown and the like count from now on. A child that moves to another supervisor, and one that becomes a
supervisor or a worker, is a removal and an addition; the new one waits until the old one is gone, since
both bear one name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from supervisor_tree.core import gates, operations, starting, stopping, supervising
from supervisor_tree.core.events import By, Reconfigured, WishWord
from supervisor_tree.core.facts import Fact
from supervisor_tree.core.node import LAST, Node, State, Then, start_walk
from supervisor_tree.core.spec import ChildSpec, SupervisorSpec

if TYPE_CHECKING:
    from supervisor_tree.core.operations import Operation
    from supervisor_tree.core.tree import Tree


Wished = dict[str, tuple[WishWord, By | None]]


def apply(tree: Tree, event: Reconfigured) -> None:
    if event.request in tree.operations:
        return
    operation = operations.begin(tree, event.request)
    tree.spec = event.root
    tree.touch_key("spec")
    wished: Wished = {node.name: (node.wish, node.by) for node in tree.nodes.values() if node.wish != "up"}
    added: list[Node] = []
    _respecify(tree, operation, tree.root, event.root, added)
    for node in added:
        _inherit(tree, node, wished)
    for node in added:
        if node.parent is not None and node.parent.state is State.UP and supervising.may_start(node):
            starting.start(tree, node)
            operations.expect(tree, operation, node.path, "start")
    for path in event.restart:
        if path in tree.nodes and tree.nodes[path].then is not Then.REMOVE:
            _restart(tree, operation, tree.nodes[path])
    tree.settle()
    operations.conclude(tree, operation)


def _inherit(tree: Tree, node: Node, wished: Wished) -> None:
    """A child that moved keeps the operator's wish: people know it by its name, not by its place."""
    if node.name in wished:
        node.wish, node.by = wished[node.name]
        tree.touch(node)
    for child in node.order:
        _inherit(tree, child, wished)


def _respecify(tree: Tree, operation: Operation, sup: Node, spec: SupervisorSpec, added: list[Node]) -> None:
    """``sup`` and what is below it go by ``spec`` from now on."""
    _respec(tree, sup, spec)
    if sup.is_simple:
        _respec_instances(tree, sup, spec)
        return
    named = {child.name: child for child in spec.children}
    waiting = sup.is_ordered and any(child.state is State.RESTARTING for child in sup.order)
    for child in list(sup.order):
        if child.name in named:
            continue
        if child.then is Then.REMOVE:
            child.successor = None
            tree.touch(child)
        elif child.own_spec is None:
            _remove(tree, operation, child)
    present = {child.name: child for child in sup.order}
    for child_spec in spec.children:
        if child_spec.name not in present:
            added.append(tree.add(sup, child_spec, _behind(sup)))
            continue
        child = present[child_spec.name]
        if child.is_supervisor is not isinstance(child_spec, SupervisorSpec) or child.then is Then.REMOVE:
            child.successor = child_spec
            _remove(tree, operation, child)
        elif isinstance(child_spec, SupervisorSpec):
            child.own_spec = None
            _respecify(tree, operation, child, child_spec, added)
        else:
            child.own_spec = None
            _respec(tree, child, child_spec)
    _reorder(tree, sup, spec, added)
    if waiting and sup.walk is None and not any(child.state is State.RESTARTING for child in sup.order):
        # The child is gone whose delay a round waited for: the round goes on without it.
        sup.walk = start_walk()
        tree.tell(Fact.WALK, sup)


def _respec(tree: Tree, node: Node, spec: ChildSpec) -> None:
    if node.spec != spec:
        node.spec = spec
        tree.moved(node)


def _respec_instances(tree: Tree, sup: Node, spec: SupervisorSpec) -> None:
    """A template's new settings are for the instances made from now on, and for those that start again."""
    template = spec.children[0] if spec.children else None
    for child in sup.order:
        if template is not None and child.own_spec is not None:
            child.own_spec = child.spec = _named(template, child.name)
            tree.touch(child)


def _named(template: ChildSpec, name: str) -> ChildSpec:
    return msgspec.structs.replace(template, name=name)


def _remove(tree: Tree, operation: Operation, node: Node) -> None:
    """Stop it if it runs, then take it out."""
    tree.note("removed", node)
    operations.superseded(tree, node, operation.request)
    if node.state is State.RESTARTING:
        tree.enter(node, State.DOWN)
    if node.state is State.DOWN:
        operations.settle(tree, operation, node.path)
        supervising.removed(tree, node)
        return
    operations.expect(tree, operation, node.path, "reload")
    tree.leaving[node.name] = node.path
    node.own_spec = node.spec
    tree.touch(node)
    if node.state is State.STOPPING:
        stopping.join(tree, node, Then.REMOVE)
    else:
        stopping.stop(tree, node, Then.REMOVE)


def _restart(tree: Tree, operation: Operation, node: Node) -> None:
    """Stop, then start under the new specification; what is down stays so, what is held is left alone."""
    if gates.held(node) and node.alive:
        tree.note("left_alone", node, {"reason": "its settings have changed"})
    elif node.state in (State.STARTING, State.UP):
        operations.expect(tree, operation, node.path, "start", node.incarnation)
        stopping.stop(tree, node, Then.RESTART)
    elif node.gate is not None and gates.startable(tree, node) and supervising.may_start(node):
        starting.start(tree, node)


def _behind(sup: Node) -> int:
    return sup.order[-1].rank + 1 if sup.order else 0


def _reorder(tree: Tree, sup: Node, spec: SupervisorSpec, added: list[Node]) -> None:
    """Start order is the specification's; what it doesn't name (made at run time, being removed) comes behind."""
    place = {child.name: index for index, child in enumerate(spec.children)}
    order = sorted(sup.order, key=lambda node: (place.get(node.name, len(place)), node.rank))
    if [node.rank for node in order] == list(range(len(order))):
        return
    renamed = {node.rank: rank for rank, node in enumerate(order)}
    walk, passed = sup.walk, []
    waiting = next((node for node in order if node.state is State.RESTARTING), None) if sup.is_ordered else None
    if walk is None and waiting is not None:
        # The round that waits for this child would start what came behind it.
        passed = [node for node in order if node.rank > waiting.rank and renamed[node.rank] < renamed[waiting.rank]]
    elif walk is not None:
        # A start goes on at the same child; what it had yet to come to and now lies behind it is started
        # here. A stop begins anew: what is down already does not hold it up.
        cursor = LAST if walk.task == "stop" else renamed.get(walk.cursor, walk.cursor)
        passed = [node for node in order if node.rank > walk.cursor and renamed[node.rank] < cursor]
        members = (node for node in sup.order if node.rank >= walk.first and node not in added)
        walk.first = min((renamed[node.rank] for node in members), default=walk.first)
        walk.cursor = cursor
        tree.touch(sup)
        if walk.task == "stop":
            tree.tell(Fact.WALK, sup)
    for rank, node in enumerate(order):
        if node.rank != rank:
            node.rank = rank
            tree.touch(node)
    sup.order[:] = order
    for node in passed:
        if node.listed and node.gate is None and supervising.may_start(node):
            starting.start(tree, node)
