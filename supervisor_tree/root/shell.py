"""The shell around the core: events in, effects out, one commit a round.

Everything that happens (the keeper's events, requests, timers) goes through `tell`; what the core answers is
gathered in a commit; `flush` sends it, and only then answers, publishes and writes. The shell decides
nothing: it knows processes, names and clients, the core knows supervision.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.core import effects as fx
from supervisor_tree.core import events as ev
from supervisor_tree.core.stopping import next_ones
from supervisor_tree.ipc.link import LinkClosed
from supervisor_tree.root import exits, wishes
from supervisor_tree.root.activity.activity import Activity
from supervisor_tree.root.alerts.alerts import Alerts
from supervisor_tree.root.background import Background
from supervisor_tree.root.clocks import rfc3339
from supervisor_tree.root.directory import Directory
from supervisor_tree.root.errands.errands import Errands
from supervisor_tree.root.hangs.suspects import Hangs
from supervisor_tree.root.hearing.beating import Beating
from supervisor_tree.root.hearing.notified import Notified
from supervisor_tree.root.hearing.readiness import Readiness
from supervisor_tree.root.hearing.said import Said
from supervisor_tree.root.hearing.tokens import Tokens
from supervisor_tree.root.incidents import Incidents
from supervisor_tree.root.jobs.jobs import JobsShell
from supervisor_tree.root.journal_lines import JournalLines
from supervisor_tree.root.journaling.store import Store
from supervisor_tree.root.keeper_events import KeeperEvents
from supervisor_tree.root.keeper_link import Commit, KeeperLink
from supervisor_tree.root.limits.limits import Limits
from supervisor_tree.root.operations import Operations, State, objection
from supervisor_tree.root.outputs.outputs import Outputs
from supervisor_tree.root.planned.ages import Ages
from supervisor_tree.root.planned.file_changes import FileChanges
from supervisor_tree.root.planned.specs import Specs
from supervisor_tree.root.probes.probes import Probes
from supervisor_tree.root.recovery.recoveries import Recoveries
from supervisor_tree.root.retention.retention import Retention
from supervisor_tree.root.spawning import Spawning
from supervisor_tree.root.timers import Timers
from supervisor_tree.root.usage import Usage

if TYPE_CHECKING:
    from supervisor_tree.config import Plan
    from supervisor_tree.core.tree import Tree
    from supervisor_tree.root.control import Control
    from supervisor_tree.root.hearing.heartbeats import Heartbeats
    from supervisor_tree.root.sockets import Sockets

_JSON = msgspec.json.Encoder()
_AHEAD = 8
"""Children of an ending supervisor that the keeper may go on to stop, in order, before it hears from us again."""
_SOCKETS_EVERY = 4.0
"""Seconds after which it is looked again whether our sockets are there: as often as an idle root is pinged."""


class Shell:
    """One root's life with one tree."""

    def __init__(self, *, keeper: KeeperLink, tree: Tree, plan: Plan, hello: dict[str, Any], run_dir: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.keeper = keeper
        self.tree = tree
        self.directory = Directory(tree)
        self.plan = plan
        self.run_dir = run_dir
        self.id: str = hello["id"]
        self.first: bool = hello.get("mode") == "first"
        """The first root of this tree's life: it has things to say on `start`'s terminal."""
        self.keeper_pid: int = hello["keeper"]
        self.keeper_start: int = hello["keeper_start"]
        self.started = time.time()
        self.background = Background(self)
        self.operations = Operations()
        self.timers = Timers(self._timer_fired)
        self.spawning = Spawning(self)
        self.errands = Errands(self)
        self.jobs = JobsShell(self)
        self.alerts = Alerts(self)
        self.activity = Activity(self)
        self.retention = Retention(self)
        self.usage = Usage()
        self.notified = Notified(self)
        self.tokens = Tokens()
        self.said = Said(self)
        self.readiness = Readiness(self)
        self.beating = Beating(self)
        self.incidents = Incidents(self)
        self.hangs = Hangs(self)
        self.outputs = Outputs(self)
        self.probes = Probes(self)
        self.limits = Limits(self)
        self.ages = Ages(self)
        self.file_changes = FileChanges(self)
        self.recovery = Recoveries(self)
        self._keeper_events = KeeperEvents(self)
        self.lines = JournalLines(self)
        self.store = Store(self)
        self.sockets: Sockets | None = None
        self.control: Control | None = None
        self.heartbeats: Heartbeats | None = None
        self.journal_seq = 0
        self.over = False
        """The tree has ended, and not by a death of ours or the keeper's."""
        self._gave_up = "it gave up"
        """Why the tree ends by itself, where this root has decided it."""
        self.dropping: dict[str, str] = {}
        """Workers whose output is being dropped at present, and why."""
        self.slow: dict[str, tuple[str, str]] = {}
        """Workers that wait for a zygote that takes long: its key, and with what it is busy."""
        self.blocking: dict[str, str] = {}
        """Workers whose output is not taken at present (`on_full = "block"`), and why."""
        self.on_round: list[Callable[[], bool]] = []
        """Asked after each commit (waits); one that answers True is done."""
        self.request_shutdown: Callable[[str, str], None] = self._shutdown
        self.request_reload: Callable[[], None] = lambda: None
        self.on_keeper_gone: Callable[[], None] = lambda: None
        self.bind_anew: Callable[[], bool] = lambda: False
        """Whether somebody had removed a socket, so that we could not be reached."""
        self._sockets_seen = 0.0
        self.awaited: dict[str, Callable[[], None]] = {}
        """By operation: who within the root waits for its end."""
        self._commit = Commit()
        self._after: list[Callable[[], None]] = []
        self._publish: list[tuple[str, bytes]] = []
        self.pending_journal: list[tuple[int, bytes]] = []
        """Lines of the root before us that it may not have written."""
        self.table: dict[str, list[Any]] = {}
        """``[name, incarnation, pid, start]`` of each running worker: a hint for the sweep after the keeper's death."""
        self.waits: dict[str, tuple[bytes, float]] = {}
        """`wait` requests that are not answered yet: who asks, and when he did so last."""
        self.reloading = asyncio.Lock()
        """Whoever reads the configuration anew and makes it the plan."""
        self.wishes_file = wishes.WishesFile(self)
        self.specs = Specs(self)
        self._perform: dict[type, Callable[[Any], None]] = {
            fx.SpawnChild: self._spawn_child,
            fx.StopChild: self._stop_child,
            fx.ArmTimer: lambda effect: self.timers.arm(effect.path, effect.timer, effect.at),
            fx.CancelTimer: lambda effect: self.timers.cancel(effect.path, effect.timer),
            fx.Reply: self._reply,
            fx.Note: self._note,
            fx.EndTree: self._end_tree,
        }

    # Names

    @staticmethod
    def bare(path: str) -> str:
        """The name that users see, of a path of the core."""
        return path.rpartition("/")[2]

    # Events in

    def tell(self, event: ev.Event) -> None:
        """Let the core decide about one event; call `flush` when the round is over."""
        self.perform(self.tree.handle(event, self.loop.time()))

    def hear_all(self) -> None:
        """Handle whatever workers have sent by now."""
        if self.heartbeats is not None:
            self.heartbeats.hear_all()

    def perform(self, effects: list[fx.Effect]) -> None:
        perform = self._perform
        for effect in effects:
            perform[type(effect)](effect)

    def on_link(self) -> None:
        """The keeper's link is readable."""
        for head, _blob in self.keeper.link.receive():
            kind = head.get("t")
            if kind == "event":
                self.on_event_frame(head)
            elif kind == "ping":
                self.keeper.link.send({"t": "pong", "n": head["n"]})
                self._look_at_sockets()
        self.flush()

    def _look_at_sockets(self) -> None:
        self._sockets_seen = self.loop.time()
        self.bind_anew()
        self.flush()

    def on_event_frame(self, head: dict[str, Any]) -> None:
        """Handle one event frame once. An error of ours in it is said and costs that event only."""
        if head["n"] <= self.keeper.acknowledged:
            return
        try:
            self._keeper_events.handle(head)
        except Exception as error:
            self.internal_error(f"keeper event {head.get('kind')}", error)
        self.keeper.acknowledged = head["n"]

    def _timer_fired(self, path: str, timer: str) -> None:
        if timer == "ready" and self.hangs.not_ready(path):
            return  # a crash, as soon as it is known why
        self.tell(ev.TimerFired(path, timer))
        self.flush()

    # Effects out

    def effect(self, op: str, **fields: Any) -> None:
        """Ask the keeper for something, with the present round's commit."""
        self._commit.effects.append({"op": op, **fields})

    def state(self, key: str, value: bytes | None) -> None:
        """Hand the keeper a piece of state beside the core's, with the present round's commit."""
        self._commit.state[key] = value

    def after_commit(self, action: Callable[[], None]) -> None:
        """Do something once the present round is committed: answers, above all."""
        self._after.append(action)

    def note(self, event: str, name: str | None, **fields: Any) -> None:
        """One line of the journal; ``fields`` are the event's own."""
        self.journal_seq += 1
        now = time.time()
        line = {"time": rfc3339(now), "seq": self.journal_seq, "event": event, "name": name, **fields}
        if event == "wish_changed":
            self.wishes_file.changed()
        data = _JSON.encode(line)
        self._commit.journal.append((self.journal_seq, data))
        if self.sockets is not None and self.sockets.topics:
            self._publish.append((event, data))
        try:
            self.alerts.on_line(event, name, fields)
        except Exception as error:  # of ours: what is noted happens nevertheless
            if event != "internal_error":
                self.internal_error(f"alerts of {event}", error)

    def _note(self, effect: fx.Note) -> None:
        fields = effect.fields
        if "at" in fields:  # the core knows monotonic time only
            fields = {**fields, "at": rfc3339(time.time() + fields["at"] - self.loop.time())}
        self.note(effect.kind, self.bare(effect.path), **fields)
        self.incidents.on_note(effect)
        self.recovery.on_note(effect)
        if effect.path == "root" and effect.kind in ("gave_up", "start_failed"):
            self._gave_up = exits.last_words(self.directory, effect)

    def _spawn_child(self, effect: fx.SpawnChild) -> None:
        self.said.forget(self.bare(effect.path))
        self.spawning.spawn(effect.path, effect.incarnation)

    def _stop_child(self, effect: fx.StopChild) -> None:
        if self.jobs.end_first(lambda: self._stop_child(effect)):
            return
        name = self.bare(effect.path)
        self.beating.end(name)
        if self.spawning.cancel(effect.path, effect.incarnation):
            return
        then = [(self.bare(one.path), one.incarnation, one.grace) for one in next_ones(self.tree, effect.path, _AHEAD)]
        self.effect("stop", name=name, inc=effect.incarnation, grace=effect.grace, then=then)
        if self.heartbeats is not None and effect.grace != 0:
            self.heartbeats.stop(name, effect.incarnation, effect.grace)

    def _reply(self, effect: fx.Reply) -> None:
        results = effect.result
        if not isinstance(results, list) or any(not isinstance(result, dict) for result in results):
            operation = self.operations.all.get(effect.request)
            name = operation.names[0] if operation is not None and operation.names else None
            reason = objection(effect.result)
            results = [{"name": name, "ok": reason is None, "reason": reason}]
        named = [{**result, "name": self.bare(result["name"]) if result["name"] else None} for result in results]
        cancelled = any(result["reason"] == "cancelled" for result in named)
        self.end_operation(effect.request, named, "cancelled" if cancelled else None)

    def end_operation(self, id_: str, results: list[dict[str, Any]], state: State | None = None) -> None:
        """End an operation and answer whoever waits for it, once committed. ``state`` None: as its results are."""
        clients = self.operations.end(id_, results, time.time(), state)
        awaited = self.awaited.pop(id_, None)
        if awaited is not None:
            awaited()
        operation = self.operations.all.get(id_)
        if operation is None or self.control is None:
            return
        for client in clients:
            self.control.end(client, id_, operation.answer())

    def _end_tree(self, effect: fx.EndTree) -> None:
        if self.jobs.end_first(lambda: self._end_tree(effect)):
            return
        status = exits.tree_status(self.directory, effect)
        title = f"the tree ended with status {status}: {self._gave_up if effect.why != 'auto_shutdown' else effect.why}"
        if self.alerts.end_first(effect.why, status, title, lambda: self._end_tree(effect)):
            return
        self.note("tree_ended", None, why=effect.why, by=self.bare(effect.path) if effect.path else None, status=status)
        self.effect("exit", status=status)
        self.over = True
        if effect.why in ("gave_up", "failed_start"):
            # Whoever started it sees an exit status only, and may not know of the journal.
            sys.stderr.write(f"supervisor-tree: {self.plan.name} ended with status {status}: {self._gave_up}\n")

    def _shutdown(self, request: str, why: str) -> None:
        self.note("shutdown_requested", None, why=why)
        self.tell(ev.ShutdownRequested(request))

    # The end of a round

    def flush(self) -> None:
        """Commit what this round decided; then answer, publish and write. Nothing to say costs nothing."""
        if self._commit and self.loop.time() - self._sockets_seen >= _SOCKETS_EVERY:
            self._sockets_seen = self.loop.time()
            self.loop.call_soon(self._look_at_sockets)  # a root that commits is not pinged
        commit = self._commit
        changes = self.tree.take_changes()
        commit.state.update((f"core/{key}", value) for key, value in changes)
        commit.state.update(self.jobs.take_changes())
        commit.state.update(self.operations.take_changes())
        if commit or self.keeper.acknowledged != self.keeper.told:
            self._commit = Commit()
            try:
                self.keeper.commit(commit)
            except LinkClosed:  # not committed: nothing of it may happen, nobody is answered
                if self.over:  # the keeper has taken its leave, and no root comes after us that could tell it
                    self.lines.append(commit.journal)
                self.on_keeper_gone()
                return
            self.lines.append(commit.journal)
            if self.keeper.link.wants_write:
                self.keeper.write_later(self.loop, self.on_keeper_gone)
        after, self._after = self._after, []
        for action in after:
            action()
        if changes:
            self.jobs.gates.changed()
            self.changed([key[5:] for key, _ in changes if key.startswith("node/")])
        if self._publish and self.sockets is not None:
            for event, data in self._publish:
                self.sockets.publish(f"event.{event} ".encode(), data)
            self._publish.clear()
        if self.on_round and commit.state:
            self.on_round = [waiting for waiting in self.on_round if not waiting()]
            if self._after:
                self.flush()

    def changed(self, paths: Collection[str]) -> None:
        """These nodes are not what they were, or what is set for them is not: none of this decides anything yet."""
        self.probes.changed(paths)
        self.limits.changed(paths)
        self.ages.changed(paths)
        self.file_changes.changed(paths)

    def reply(self, client: bytes, data: bytes) -> None:
        if self.sockets is not None:
            self.sockets.reply(client, data)

    def unwritten(self) -> list[tuple[int, bytes]]:
        """The journal's lines that are not on the disk yet, oldest first."""
        return [*self.lines.unwritten(), *self._commit.journal]

    def dropped(self) -> dict[str, int]:
        """What was thrown away since this root started, by kind."""
        heartbeats = self.heartbeats
        counted = {
            "heartbeats": heartbeats.dropped if heartbeats is not None else 0,
            "hellos": heartbeats.hellos.refused if heartbeats is not None else 0,
            "activities": heartbeats.activities.dropped if heartbeats is not None else 0,
            "requests": self.control.dropped if self.control is not None else 0,
            "journal_lines": self.lines.dropped,
        }
        return {kind: count for kind, count in counted.items() if count}

    def close(self) -> None:
        """Let go of sockets and journal; what is queued for the journal is written."""
        self.file_changes.end()
        self.jobs.close()
        self.recovery.close()
        self.outputs.close()
        if self.heartbeats is not None:
            self.heartbeats.close()
        if self.sockets is not None:
            self.sockets.close()
        self.lines.close()
        self.store.close()

    def on_loop_error(self, message: str, error: BaseException | None) -> None:
        """An exception that nobody caught in a callback of the loop."""
        self.internal_error(message, error or RuntimeError(message))
        self.flush()

    def internal_error(self, where: str, error: BaseException) -> None:
        """A bug of ours: said in the journal with its traceback, and supervision goes on."""
        text = "".join(traceback.format_exception(error))
        self.note("internal_error", None, where=where, error=repr(error), traceback=text, pid=os.getpid())
