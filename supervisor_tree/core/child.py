"""The life of a child: which event means what in which state. The table is at the end; this is its essay.

States
    down        nothing runs. Why not is told by the wish, the gate, or how it ended.
    starting    its spawn is unanswered; of a supervisor: OTP's `init`, its children are being started.
    up          it runs. Readiness is not a state: it opens gates, and its absence makes an end a crash.
    stopping    it was asked to stop, or it is a supervisor that ends by itself. `Node.then` says what
                follows: stay down, count as a crash, start again, be removed.
    restarting  it ended or failed to start and is to be started again: after its delay (timer `restart`),
                or behind all that has already happened (timer `retry`, OTP's message to itself).

Who wins
    * An event about another incarnation than the present one is dropped before the table is asked. So is
      a timer that is not armed, or armed for later. What the shell still has to tell about a child that
      is gone can't do harm.
    * The end of a supervisor beats a round of its strategy, a round beats the retry of one child.
    * A stop always wins: it pre-empts a start (StopChild goes out while the spawn is unanswered) and a
      delay, turns a crash being handled and a restart being waited for into a stop, and its wish is the
      first gate of every later start. Only a removal beats it; nothing takes a removal back.
    * A start asked for while the child stops makes the stop a restart, unless a round is stopping it,
      which starts it in its turn.
    * A kill (`KillRequested`, a start time-out) is a crash whatever the exit says; asked for while the
      child already stops, it is nothing: the stop's own deadline bounds it. Held children are not killed.
    * What ends before it was ready has crashed, whatever its exit says, if it was to tell.

A supervisor is a child like any other to its own supervisor: up when its children have been started,
ended when the last of them is gone. It has no process, so the rows of processes reach it only where the
shell is asked for its start (`SupervisorSpec.asked`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.core import calls, gates, operations, reconfigure, starting, stopping, supervising, wishes
from supervisor_tree.core import events as ev
from supervisor_tree.core.calls import (
    already_present,
    already_started,
    cancel_retry,
    delete,
    restart,
    restarting,
    running,
    terminate,
    terminate_down,
    terminate_stopping,
)
from supervisor_tree.core.facts import Fact
from supervisor_tree.core.node import Gate, Node, State, Then
from supervisor_tree.core.wishes import (
    hold_alive,
    hold_down,
    hold_restarting,
    release,
    restart_alive,
    start_alive,
    start_down,
    start_restarting,
    start_stopping,
    stop_alive,
    stop_down,
    stop_restarting,
    stop_stopping,
)

if TYPE_CHECKING:
    from supervisor_tree.core.tree import Tree

Rule = Callable[["Tree", Node, Any], None]
"""One cell: what an event about a child means in one state."""


def handle(tree: Tree, event: Any) -> None:
    """Find whom ``event`` is about, and apply the table."""
    kind = type(event)
    if tree.ended:
        _too_late(tree, event)
        return
    if kind in _OF_AN_INCARNATION:
        node = tree.nodes.get(event.path)
        if node is not None and node.incarnation != event.incarnation:
            node = None
    elif kind is ev.TimerFired:
        node = tree.nodes.get(event.path)
        if node is not None and not _is_due(tree, node, event.timer):
            node = None
    elif kind in _REQUESTS:
        _handle_request(tree, event)
        return
    elif kind in _CALLS:
        node = calls.subject(tree, event)
    else:
        node = tree.nodes.get(event.path) if kind is ev.GateOpened else tree.root
    if node is not None:
        TABLE[kind][node.state](tree, node, event)


def _too_late(tree: Tree, event: Any) -> None:
    """The tree has ended: nothing happens any more, but nobody waits for an answer in vain."""
    request = getattr(event, "request", "")
    if not request:
        return
    if isinstance(event, calls.Call):
        tree.reply(request, "noproc")
    else:
        paths = getattr(event, "paths", ())
        tree.reply(request, [{"name": path, "ok": False, "reason": "the tree has ended"} for path in paths])


def _is_due(tree: Tree, node: Node, timer: str) -> bool:
    """Whether ``timer`` is armed and due; it is armed no longer."""
    timers = node.timers
    if timers is None or timers.get(timer, tree.now + 1) > tree.now:
        return False
    del timers[timer]
    node.timers = timers or None
    tree.touch(node)
    return True


def _handle_request(tree: Tree, request: wishes.Request) -> None:
    if request.request in tree.operations:
        return
    operation = operations.begin(tree, request.request)
    nodes = wishes.subjects(tree, request, operation)
    for node in nodes:
        if isinstance(request, ev.StopRequested):
            operations.expect(tree, operation, node.path, "stop")
        elif isinstance(request, ev.HoldRequested | ev.ReleaseRequested):
            operations.settle(tree, operation, node.path)
        elif node.wish == "up" or node.path in request.paths:
            again = isinstance(request, ev.RestartRequested) and node.alive
            operations.expect(tree, operation, node.path, "start", node.incarnation if again else -1)
    wishes.express(tree, nodes, request)
    for node in nodes:
        TABLE[type(request)][node.state](tree, node, request)
    tree.settle()
    operations.conclude(tree, operation)


# Rules. The names say what has happened, and to whom.


def nothing(tree: Tree, node: Node, event: Any) -> None:
    """On purpose: it means nothing in this state, or nothing any more."""


def start_root(tree: Tree, node: Node, event: ev.TreeStarted) -> None:
    starting.start(tree, node)


def shut_down(tree: Tree, node: Node, event: ev.ShutdownRequested) -> None:
    """Everything stops; what was asked for and has not come to its end, ends."""
    tree.ending = True
    tree.shutdown_request = event.request or None
    tree.touch_key("tree")
    for operation in list(tree.operations.values()):
        if any(item.goal == "start" for item in operation.items.values()):
            operations.close(tree, operation, "the tree is shutting down")
    if node.state is State.STOPPING:
        stopping.join(tree, node, Then.STAY)
    elif node.alive:
        stopping.stop(tree, node, Then.STAY)
    else:
        tree.end("shutdown")


def child_spawned(tree: Tree, node: Node, event: ev.ChildSpawned) -> None:
    starting.spawned(tree, node, event.pid)


def spawned_while_stopping(tree: Tree, node: Node, event: ev.ChildSpawned) -> None:
    """The stop has been asked for already; its end is still to come."""
    if not node.is_supervisor or node.pid is None:
        node.pid = event.pid
        tree.touch(node)


def spawn_failed(tree: Tree, node: Node, event: ev.SpawnFailed) -> None:
    tree.enter(node, State.DOWN)
    tree.tell(Fact.FAILED, node, event.reason)


def never_started(tree: Tree, node: Node, event: ev.SpawnFailed | ev.StartIgnored) -> None:
    """The stop overtook the start, and there is nothing to stop."""
    stopping.gone(tree, node, ev.Exit(reason="never started"))


def start_ignored(tree: Tree, node: Node, event: ev.StartIgnored) -> None:
    tree.enter(node, State.DOWN)
    if event.held is not None:
        gates.close(tree, node, Gate.HELD, event.held)
    else:
        tree.note("ignored", node, {"incarnation": node.incarnation})
    tree.tell(Fact.IGNORED, node)


def held_otherwise(tree: Tree, node: Node, event: ev.StartIgnored) -> None:
    """What holds its start is another thing now than it was."""
    if node.gate is Gate.HELD and node.gate_for is not None and event.held is not None:
        gates.close(tree, node, Gate.HELD, event.held)


def gate_opened(tree: Tree, node: Node, event: ev.GateOpened) -> None:
    if node.gate is Gate.HELD and not gates.held(node) and supervising.may_start(node):
        gates.forget(tree, node)
        starting.start(tree, node)


def became_ready(tree: Tree, node: Node, event: ev.ChildReady) -> None:
    if not node.ready and not node.is_supervisor:
        tree.note("ready", node, {"incarnation": node.incarnation})
        starting.ready(tree, node)


def more_time_asked(tree: Tree, node: Node, event: ev.MoreTimeAsked) -> None:
    """It is not ready yet and works on it: the later of the two ends counts."""
    end = (node.timers or {}).get("ready")
    if end is not None and tree.now + event.seconds > end:
        tree.arm(node, "ready", tree.now + event.seconds)


def health_changed(tree: Tree, node: Node, event: ev.HealthChanged) -> None:
    if node.healthy is not event.healthy:
        node.healthy = event.healthy
        tree.note("healthy" if event.healthy else "unhealthy", node, {"incarnation": node.incarnation})
        tree.moved(node)


def kill(tree: Tree, node: Node, event: ev.KillRequested) -> None:
    if gates.held(node):
        tree.note("left_alone", node, {"reason": event.reason})
    elif event.hold is not None:
        wishes.hold_and_stop(tree, node, event.hold)
    else:
        crash(tree, node, event.reason)


def crash(tree: Tree, node: Node, reason: str) -> None:
    """Stop it, as a crash."""
    node.crash = node.reason = reason
    tree.note("kill_requested", node, {"incarnation": node.incarnation, "reason": reason})
    if node.is_supervisor and not stopping.unanswered(node):
        node.then = Then.CRASH
        stopping.kill(tree, node)
    else:
        stopping.stop(tree, node, Then.CRASH)


def exited_unannounced(tree: Tree, node: Node, event: ev.ChildExited) -> None:
    """The spawn was never told of, but there was one."""
    if not node.is_supervisor:
        starting.spawned(tree, node, 0)
        tree.settle()
        TABLE[ev.ChildExited][node.state](tree, node, event)


def exited(tree: Tree, node: Node, event: ev.ChildExited) -> None:
    """A worker ended by itself."""
    how = event.exit
    if how.normal and not node.ready:
        how = msgspec.structs.replace(how, normal=False, reason=f"{how.reason} before it was ready".strip())
    node.pid = None
    node.exit, node.exited_at, node.reason = how, tree.now, how.reason
    tree.disarm(node, "ready")
    tree.enter(node, State.DOWN)
    tree.note("child_exited", node, {"incarnation": node.incarnation, "exit": how.reason, "normal": how.normal})
    tree.tell(Fact.ENDED, node, how)


def exited_as_asked(tree: Tree, node: Node, event: ev.ChildExited) -> None:
    """A worker ended that was asked to, or was killed."""
    if node.is_supervisor and not stopping.unanswered(node) and node.walk is not None:
        return
    how = event.exit
    if node.then is Then.CRASH:
        words = f"{node.crash} ({how.reason})" if how.reason else str(node.crash)
        how = msgspec.structs.replace(how, normal=False, reason=words)
        node.reason = words
        tree.note("child_exited", node, {"incarnation": node.incarnation, "exit": words, "normal": False})
    stopping.gone(tree, node, how)


def time_is_up(tree: Tree, node: Node, event: ev.TimerFired) -> None:
    """Up or starting: the time to become ready."""
    if event.timer == "ready" and not node.ready:
        reason = f"not ready within {node.worker.start_timeout:g} s"
        if gates.held(node):
            tree.note("left_alone", node, {"reason": reason})
        else:
            crash(tree, node, reason)


def stop_takes_too_long(tree: Tree, node: Node, event: ev.TimerFired) -> None:
    """A supervisor's `shutdown` has passed. (A worker's is the shell's to watch.)"""
    if event.timer == "shutdown" and node.is_supervisor:
        stopping.kill(tree, node)


def try_again(tree: Tree, node: Node, event: ev.TimerFired) -> None:
    if event.timer == "restart":
        supervising.due(tree, node)
    elif event.timer == "retry":
        supervising.retry(tree, node)


def try_once_more(tree: Tree, node: Node, event: ev.TimerFired) -> None:
    """`on_give_up` with a duration: one try after it, for all that became `failed` together."""
    if event.timer == "again":
        for one in supervising.tied_to(node):
            if one.gate is Gate.FAILED:
                gates.forget(tree, one)
                if supervising.may_start(one):
                    starting.start(tree, one)


def wishes_restored(tree: Tree, node: Node, event: ev.WishesRestored) -> None:
    for path, (word, by) in event.wishes.items():
        one = tree.nodes.get(path)
        if one is not None:
            one.wish, one.by = word, None if word == "up" else by
            tree.touch(one)


def cancelled(tree: Tree, node: Node, event: ev.Cancelled) -> None:
    """The operation ends now. A restart whose stop has begun still starts again: a cancel takes nothing down."""
    operation = tree.operations.get(event.operation)
    if operation is not None:
        operations.close(tree, operation, "cancelled")
    reason = None if operation is not None else "no such operation under way"
    tree.reply(event.request, [{"name": event.operation, "ok": reason is None, "reason": reason}])


def reconfigured(tree: Tree, node: Node, event: ev.Reconfigured) -> None:
    reconfigure.apply(tree, event)


_OF_AN_INCARNATION = frozenset(
    {
        ev.ChildSpawned,
        ev.SpawnFailed,
        ev.StartIgnored,
        ev.ChildReady,
        ev.MoreTimeAsked,
        ev.HealthChanged,
        ev.KillRequested,
        ev.ChildExited,
    }
)
_REQUESTS = frozenset({ev.StopRequested, ev.StartRequested, ev.RestartRequested, ev.HoldRequested, ev.ReleaseRequested})
_CALLS = frozenset({ev.StartChildCalled, ev.TerminateChildCalled, ev.RestartChildCalled, ev.DeleteChildCalled})

# fmt: off
_ROWS: dict[type, tuple[Rule, Rule, Rule, Rule, Rule]] = {
    # The tree: about the root.
    #                        down             starting         up               stopping         restarting
    ev.TreeStarted:       (start_root,      nothing,         nothing,         nothing,         nothing),
    ev.ShutdownRequested: (shut_down,       shut_down,       shut_down,       shut_down,       shut_down),
    ev.WishesRestored:    (wishes_restored, wishes_restored, wishes_restored, wishes_restored, wishes_restored),
    ev.Reconfigured:      (reconfigured,    reconfigured,    reconfigured,    reconfigured,    reconfigured),
    ev.Cancelled:         (cancelled,       cancelled,       cancelled,       cancelled,       cancelled),
    # Processes: about a worker, or a supervisor where the shell is asked for its start.
    #                    down           starting            up              stopping                restarting
    ev.ChildSpawned:  (nothing,       child_spawned,      nothing,        spawned_while_stopping, nothing),
    ev.SpawnFailed:   (nothing,       spawn_failed,       nothing,        never_started,          nothing),
    ev.StartIgnored:  (held_otherwise, start_ignored,      nothing,        never_started,          nothing),
    ev.ChildExited:   (nothing,       exited_unannounced, exited,         exited_as_asked,        nothing),
    ev.ChildReady:    (nothing,       nothing,            became_ready,   nothing,                nothing),
    ev.MoreTimeAsked: (nothing,       nothing,            more_time_asked, nothing,               nothing),
    ev.HealthChanged: (nothing,       nothing,            health_changed, nothing,                nothing),
    ev.KillRequested: (nothing,       kill,               kill,           nothing,                nothing),
    ev.GateOpened:    (gate_opened,   nothing,            nothing,        nothing,                nothing),
    ev.TimerFired:    (try_once_more, nothing,            time_is_up,     stop_takes_too_long,    try_again),
    # Operators.
    #                       down        starting       up             stopping        restarting
    ev.StopRequested:    (stop_down,  stop_alive,    stop_alive,    stop_stopping,  stop_restarting),
    ev.StartRequested:   (start_down, start_alive,   start_alive,   start_stopping, start_restarting),
    ev.RestartRequested: (start_down, restart_alive, restart_alive, start_stopping, start_restarting),
    ev.HoldRequested:    (hold_down,  hold_alive,    hold_alive,    hold_alive,     hold_restarting),
    ev.ReleaseRequested: (release,    release,       release,       release,        release),
    # OTP's calls: about a child that is in the list.
    #                           down             starting         up               stopping            restarting
    ev.StartChildCalled:     (already_present, already_started, already_started, already_started,    already_present),
    ev.TerminateChildCalled: (terminate_down,  terminate,       terminate,       terminate_stopping, cancel_retry),
    ev.RestartChildCalled:   (restart,         running,         running,         running,            restarting),
    ev.DeleteChildCalled:    (delete,          running,         running,         running,            restarting),
}
# fmt: on

TABLE: dict[type, dict[State, Rule]] = {
    event: dict(zip((State.DOWN, State.STARTING, State.UP, State.STOPPING, State.RESTARTING), rules, strict=True))
    for event, rules in _ROWS.items()
}
