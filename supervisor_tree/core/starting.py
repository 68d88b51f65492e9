"""Starts: of a worker, its spawn; of a supervisor, the starts of its children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor_tree.core import gates
from supervisor_tree.core.effects import SpawnChild
from supervisor_tree.core.facts import Fact
from supervisor_tree.core.intensity import Window
from supervisor_tree.core.node import Node, State, end_walk, start_walk
from supervisor_tree.core.spec import AutoShutdown, ChildSpec, Restart, SupervisorSpec

if TYPE_CHECKING:
    from supervisor_tree.core.tree import Tree


def start(tree: Tree, node: Node) -> None:
    """Start a child that is down, if no gate is closed; its supervisor is told what came of it."""
    obstacle = gates.obstacle(tree, node)
    if obstacle is not None:
        if node.state is not State.DOWN:
            tree.enter(node, State.DOWN)
        gates.close(tree, node, *obstacle)
        tree.tell(Fact.IGNORED, node)
        return
    gates.forget(tree, node)
    # Who never started may have had a predecessor of its name, whose incarnations must not come again.
    node.incarnation = (node.incarnation or tree.floor) + 1
    node.pid = None
    node.ready = node.failed = node.completed = False
    node.ready_at = node.healthy = node.crash = node.reason = None
    node.listed = True
    if node.is_supervisor and not node.supervisor.asked:
        begin(tree, node)
    else:
        tree.enter(node, State.STARTING)
        tree.do(SpawnChild(node.path, node.incarnation))


def spawned(tree: Tree, node: Node, pid: int) -> None:
    """The spawn succeeded: the worker is up; it is ready now or when it says so."""
    node.pid = pid
    if node.is_supervisor:
        begin(tree, node)
        return
    tree.enter(node, State.UP)
    tree.note("child_started", node, {"pid": pid, "incarnation": node.incarnation})
    tree.tell(Fact.STARTED, node)
    worker = node.worker
    if not worker.told_ready:
        ready(tree, node)
    elif worker.start_timeout is not None:
        tree.arm(node, "ready", tree.now + worker.start_timeout)


def ready(tree: Tree, node: Node) -> None:
    node.ready = True
    node.ready_at = node.since = tree.now
    tree.disarm(node, "ready")
    tree.moved(node)


def begin(tree: Tree, sup: Node) -> None:
    """A new instance of a supervisor: its declared children, an empty window, everything else forgotten."""
    sup.walk = sup.ending = sup.failure = sup.cause = None
    sup.begun = sup.killed = False
    sup.owed = 0.0
    tree.forget_window(sup)
    sup.window = Window()
    tree.enter(sup, State.STARTING)
    tree.note("supervisor_begun", sup, {"incarnation": sup.incarnation})
    bad = bad_children(sup.supervisor)
    if bad is not None:
        sup.failure = ["start_spec", bad]
        sup.ending = "failed_start"
        tree.enter(sup, State.STOPPING)
        sup.walk = end_walk()
        tree.tell(Fact.WALK, sup)
        return
    tree.declare(sup)
    if sup.supervisor.first_start == "fail":
        sup.walk = start_walk()
        tree.tell(Fact.WALK, sup)
        return
    up(tree, sup)
    if sup.is_ordered:
        sup.walk = start_walk()
        tree.tell(Fact.WALK, sup)
    elif not sup.is_simple:
        for child in list(sup.order):
            start(tree, child)


def up(tree: Tree, sup: Node) -> None:
    """The supervisor's own start is over; its supervisor goes on now."""
    sup.begun = True
    sup.ready_at = tree.now
    tree.enter(sup, State.UP)
    tree.note("supervisor_started", sup, {"incarnation": sup.incarnation})
    tree.tell(Fact.STARTED, sup)


def bad_children(sup: SupervisorSpec) -> Any:
    """OTP's complaint about a list of children, or None."""
    names: set[str] = set()
    for child in sup.children:
        bad = bad_child(sup, child)
        if bad is not None:
            return bad
        if child.name in names:
            return ["duplicate_child_name", child.name]
        names.add(child.name)
    return None


def bad_child(sup: SupervisorSpec, child: ChildSpec) -> Any:
    """OTP's complaint about one child, or None."""
    if child.significant and sup.auto_shutdown is AutoShutdown.NEVER:
        return ["bad_combination", [["auto_shutdown", "never"], ["significant", True]]]
    if child.significant and child.restart is Restart.PERMANENT:
        return ["bad_combination", [["restart", "permanent"], ["significant", True]]]
    return None
