"""OTP's calls on a running supervisor: start_child, terminate_child, restart_child, delete_child.

Results are OTP's, with lists for tuples. Where OTP would block (the child takes its time to start or to
stop) the `Reply` comes when it has; other calls are served meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from supervisor_tree.core import operations, starting, stopping
from supervisor_tree.core.events import DeleteChildCalled, RestartChildCalled, StartChildCalled, TerminateChildCalled
from supervisor_tree.core.node import Node, State, Then
from supervisor_tree.core.spec import ChildSpec

if TYPE_CHECKING:
    from supervisor_tree.core.tree import Tree

Call = StartChildCalled | TerminateChildCalled | RestartChildCalled | DeleteChildCalled


def subject(tree: Tree, call: Call) -> Node | None:
    """The listed child that the call is about; None: there is none, and the call has been answered."""
    sup = tree.nodes.get(call.supervisor)
    if sup is None or not sup.is_supervisor or sup.state is not State.UP:
        tree.reply(call.request, "noproc")
        return None
    if isinstance(call, StartChildCalled):
        return _to_be_started(tree, sup, call)
    if sup.is_simple and not isinstance(call, TerminateChildCalled):
        tree.reply(call.request, ["error", "simple_one_for_one"])
        return None
    child = tree.nodes.get(f"{sup.path}/{call.name}")
    if child is None or not child.listed:
        tree.reply(call.request, ["error", "not_found"])
        return None
    return child


def _to_be_started(tree: Tree, sup: Node, call: StartChildCalled) -> Node | None:
    spec: ChildSpec
    if call.child is None:
        template = sup.supervisor.children[0]
        spec = msgspec.structs.replace(template, name=call.instance or template.name)
    else:
        spec = call.child
        bad = starting.bad_child(sup.supervisor, spec)
        if bad is not None:
            tree.reply(call.request, ["error", bad])
            return None
    child = tree.nodes.get(f"{sup.path}/{spec.name}")
    if child is not None:
        if child.listed:
            return child
        tree.remove(child)
    rank = sup.order[-1].rank + 1 if sup.order else 0
    child = tree.add(sup, spec, rank, own=True)
    child.start_call, child.adding = call.request, True
    starting.start(tree, child)
    return None


def already_started(tree: Tree, child: Node, call: StartChildCalled) -> None:
    tree.reply(call.request, ["error", ["already_started", tree.identity(child)]])


def already_present(tree: Tree, child: Node, call: StartChildCalled) -> None:
    tree.reply(call.request, ["error", "already_present"])


def terminate_down(tree: Tree, child: Node, call: TerminateChildCalled) -> None:
    tree.reply(call.request, "ok")
    if child.is_temporary:
        stopping.delist(tree, child)


def terminate(tree: Tree, child: Node, call: TerminateChildCalled) -> None:
    child.stop_calls = [call.request]
    operations.superseded(tree, child, call.request)
    stopping.stop(tree, child, Then.STAY)


def terminate_stopping(tree: Tree, child: Node, call: TerminateChildCalled) -> None:
    child.stop_calls = [*(child.stop_calls or ()), call.request]
    tree.touch(child)
    operations.superseded(tree, child, call.request)
    stopping.join(tree, child, Then.STAY)


def cancel_retry(tree: Tree, child: Node, call: TerminateChildCalled) -> None:
    """The retry is cancelled."""
    tree.enter(child, State.DOWN)
    tree.reply(call.request, "ok")
    if child.parent is not None and child.parent.is_simple:
        stopping.delist(tree, child)


def restart(tree: Tree, child: Node, call: RestartChildCalled) -> None:
    child.start_call = call.request
    starting.start(tree, child)


def delete(tree: Tree, child: Node, call: DeleteChildCalled) -> None:
    stopping.delist(tree, child)
    tree.reply(call.request, "ok")


def running(tree: Tree, child: Node, call: Call) -> None:
    tree.reply(call.request, ["error", "running"])


def restarting(tree: Tree, child: Node, call: Call) -> None:
    tree.reply(call.request, ["error", "restarting"])
