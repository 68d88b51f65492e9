"""The heartbeat channel's root side: who speaks over which connection, and what becomes of what he says.

A connection is a stranger's until a valid hello: its token is that of an incarnation which runs now. An incarnation
may have several (a worker, and what its own children say in its name); what goes down goes to the newest that is
there. Beats change words and limits and cost no commit; what has been decided is flushed once a drain.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
import zmq

from supervisor_tree.config.readiness import told_by
from supervisor_tree.core.node import State
from supervisor_tree.ipc import heartbeat as wire
from supervisor_tree.root import rundir
from supervisor_tree.root.errors import RootError
from supervisor_tree.root.hearing.activities import Activities
from supervisor_tree.root.hearing.beating import Limit
from supervisor_tree.root.hearing.commands import Commands
from supervisor_tree.root.hearing.heartbeat_socket import HeartbeatSocket
from supervisor_tree.root.hearing.hellos import Hellos, asks, one_line

if TYPE_CHECKING:
    from supervisor_tree.root.hearing.said import Words
    from supervisor_tree.root.shell import Shell

_ROUTES = 8
"""Connections of one incarnation; of more the oldest is forgotten (it will be asked who it is)."""
_ASK_EVERY = 1.0
"""Seconds between two `who` to one connection."""
_ASKED = 20_000
"""Connections remembered as asked."""
_ALL = 50_000
"""Messages read before somebody counts as silent: everybody's turn has come by then, whoever floods us."""
_AFTERWARDS = 1.0
"""Seconds for which what comes of a connection that is closed still counts."""
_LAST_WORDS = 0.2
"""Seconds that we wait at most for what a process that has ended may have sent just before."""


class Peer:
    """One incarnation that has said hello."""

    __slots__ = ("incarnation", "limit", "name", "passing", "routes", "words")

    def __init__(self, name: str, incarnation: int, words: Words) -> None:
        self.name = name
        self.incarnation = incarnation
        self.words = words
        self.limit = Limit(name, incarnation, "heartbeat")
        self.routes: dict[bytes, int] = {}
        """Its connections, the newest last, and their descriptors."""
        self.passing: set[bytes] = set()
        """Connections over which something is said in its name, and no more."""


class Heartbeats:
    """The channel of one root."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._peers: dict[bytes, Peer] = {}
        """By the routing id of their connections: the one look-up of a beat."""
        self._of: dict[str, Peer] = {}
        self._route_of: dict[int, bytes] = {}
        """By descriptor."""
        self._asked: dict[bytes, float] = {}
        self._decided = False
        """Something came that the core, the journal or a client is to hear of."""
        self._garbage = 0
        self.hellos = Hellos(shell)
        self.activities = Activities(shell)
        self.commands = Commands(shell, self._tell)
        self._socket = HeartbeatSocket(
            shell.run_dir, self._on_message, self._on_closed, self._on_drained, lambda: len(shell.tree.nodes)
        )
        self._uids: frozenset[int] = frozenset()
        self._trouble: str | None = None
        self.bind()

    @property
    def dropped(self) -> int:
        """Messages that were none, unknown ones, and those of strangers."""
        return self._garbage + self._socket.dropped

    # Sockets

    def bind(self) -> None:
        """Bind for all users that workers run as. What can't be bound is said, and tried again at the next ping."""
        shell = self._shell
        self._uids = rundir.users(shell.plan)
        trouble: str | None = None
        for uid in sorted(self._uids):
            try:
                rundir.prepare(shell.run_dir, {uid})
                self._socket.bind(uid)
            except (RootError, OSError, zmq.ZMQError) as error:
                trouble = f"{rundir.folder(shell.run_dir, uid)}: {error}"
            else:
                closed = rundir.closed_to_others(shell.run_dir) if uid != os.geteuid() else None
                if closed is not None:
                    trouble = f"user id {uid} can't pass {closed}: set tree.run_dir, and start the tree anew"
        if trouble is not None and trouble != self._trouble:
            shell.note("heartbeats_unreachable", None, error=trouble)
        self._trouble = trouble

    def bind_anew(self) -> bool:
        """Whether that was needed: somebody removed a socket."""
        if self._socket.bound():
            if self._trouble is not None:
                self.bind()
            return False
        self._socket.close()
        for peer in list(self._of.values()):
            self._forget(peer)
        self.bind()
        self._shell.beating.reached_anew()
        return True

    def replan(self) -> None:
        """The plan has changed: new users may have come, limits may be others."""
        if not rundir.users(self._shell.plan) <= self._uids:
            self.bind()
        for peer in self._of.values():
            self._send(peer, wire.Welcome(self._shell.beating.limits(peer.name).get("heartbeat")))

    def close(self) -> None:
        self._socket.end()

    # Up

    def hear_all(self) -> None:
        """Read all that has come."""
        self._socket.drain(_ALL)

    def last_words(self, path: str, incarnation: int) -> None:
        """A process has ended well that was to say that it is ready and has not: that may be on its way still.

        It ended a moment ago, and ZeroMQ's thread reads what it had sent at the same time as the keeper reaps it: so
        wait for as long as a connection is open that may be its own."""
        shell = self._shell
        node = shell.tree.nodes[path]
        settings = shell.spawning.settings(node.name)
        if node.incarnation != incarnation or settings is None or "heartbeat" not in told_by(settings):
            return
        until = shell.loop.time() + _LAST_WORDS
        while node.state is State.UP and not node.ready:
            self.hear_all()
            peer = self._of.get(node.name)
            left = until - shell.loop.time()
            if left <= 0 or not (self._socket.strangers or (peer is not None and peer.routes)):
                return
            self._socket.wait(min(left, 0.01))

    def _on_message(self, route: bytes, frame: zmq.Frame) -> None:
        try:
            message = wire.decode(frame.buffer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._garbage += 1
            return
        peer = self._peers.get(route)
        if peer is not None and type(message) is wire.Beat:
            at = self._shell.loop.time() - max(0.0, message.age)
            self._shell.beating.hear(peer.limit, at)
            words = peer.words
            words.beat_at, words.seq = at, message.seq
            if words.unwell is not None:
                words.unwell = None
                self._shell.note("well_again", peer.name, incarnation=peer.incarnation)
                self._decided = True
            if message.status is not None:
                words.status = one_line(message.status) or None
                words.detail = None if message.detail is None else one_line(message.detail)
                words.fields = message.fields
            elif message.fields:
                words.fields = message.fields
            else:
                return
            if not peer.routes:
                self._hand_on(peer)
            return
        try:
            self._handle(route, frame, peer, message)
        except Exception as error:
            self._shell.internal_error(f"heartbeat channel, {type(message).__name__}", error)
            self._decided = True

    def _hand_on(self, peer: Peer) -> None:
        """It was said by somebody who passes by, so nobody says it again to the next root."""
        if self._of.get(peer.name) is peer and self._shell.said.hand_on(peer.name):
            self._decided = True

    def _handle(self, route: bytes, frame: zmq.Frame, peer: Peer | None, message: wire.Up) -> None:
        if type(message) is wire.Hello:
            self._hello(route, frame.get(zmq.SRCFD), message)
            return
        if peer is None:
            self._garbage += 1
            self._ask(route)
            return
        if type(message) is not wire.Activity and self._of.get(peer.name) is not peer:
            return  # it has ended
        shell = self._shell
        match message:
            case wire.Ready():
                peer.words.unwell = None
                shell.readiness.told(peer.name, peer.incarnation, "heartbeat")
                self._decided = True
            case wire.Unwell():
                words = peer.words
                # Before it is ready that is what it still waits for: to be shown, not to be told.
                if words.unwell is None and self._ready(peer):
                    shell.note("unwell", peer.name, detail=one_line(message.detail), incarnation=peer.incarnation)
                    self._decided = True
                words.unwell = one_line(message.detail)
                words.unwell_at = shell.loop.time() - max(0.0, message.age)
            case wire.Activity():
                peer.words.activity = one_line(message.name)
                peer.words.activity_at = shell.loop.time() - max(0.0, message.age)
                if self.activities.note(peer.name, peer.words.activity, message.fields):
                    self._decided = True
            case wire.Goodbye():
                if peer.words.goodbye is None:
                    peer.words.goodbye = one_line(message.reason)
                    shell.note("goodbye", peer.name, reason=peer.words.goodbye, incarnation=peer.incarnation)
                    shell.beating.leaving(peer.name, peer.incarnation)
                    self._decided = True
            case wire.Reply():
                self.commands.on_reply(peer.name, message)

    def _ready(self, peer: Peer) -> bool:
        node = self._shell.spawning.node(peer.name, peer.incarnation)
        return node is not None and node.ready

    def _on_drained(self) -> None:
        if self._decided:
            self._decided = False
            self._shell.flush()

    def _ask(self, route: bytes) -> None:
        now = self._shell.loop.time()
        if now - self._asked.get(route, float("-inf")) < _ASK_EVERY:
            return
        self._note_asked(route, now)
        self._socket.send(route, wire.encode(wire.Who()))

    def _note_asked(self, route: bytes, at: float) -> None:
        if len(self._asked) >= _ASKED:
            self._asked.clear()  # some are asked once more
        self._asked[route] = at

    # Who is who

    def _hello(self, route: bytes, descriptor: int, hello: wire.Hello) -> None:
        shell = self._shell
        objection = self.hellos.objection(hello)
        if objection is not None:
            self._refuse(route, hello, objection)
            return
        self._asked.pop(route, None)
        # What became of connections before it was said: descriptors are used again.
        self._socket.look()
        peer = self._of.get(hello.name)
        if peer is None or peer.incarnation != hello.incarnation:
            if peer is not None:
                self._forget(peer)
            peer = self._of[hello.name] = Peer(hello.name, hello.incarnation, shell.said.of(hello.name))
        before = self._peers.get(route)
        if before is not None and before is not peer:
            before.routes.pop(route, None)
        self._peers[route] = peer
        if self._socket.is_open(descriptor):
            self._route_of[descriptor] = route
            self._connect(peer, route, descriptor, passing=hello.passing)
        else:
            self._afterwards(route)
        words = peer.words
        words.incarnation = peer.incarnation
        if hello.passing:
            return
        words.pid = hello.pid or words.pid
        words.interval = hello.interval if hello.interval is not None else words.interval
        words.dump = asks(hello) or words.dump
        if hello.status is not None:
            words.status = one_line(hello.status) or None
        if hello.ready:
            shell.readiness.told(peer.name, peer.incarnation, "heartbeat")
            self._decided = True

    def _connect(self, peer: Peer, route: bytes, descriptor: int, *, passing: bool) -> None:
        welcome = wire.encode(wire.Welcome(self._shell.beating.limits(peer.name).get("heartbeat")))
        self._socket.send(route, welcome)
        if passing:
            # Not who the worker is: no command goes to it, and it stays a stranger, who is hung up if he doesn't go.
            peer.passing.add(route)
            return
        self._socket.known(descriptor)
        peer.routes.pop(route, None)
        peer.routes[route] = descriptor
        peer.words.connected = True
        if len(peer.routes) > _ROUTES:
            oldest = next(iter(peer.routes))
            del peer.routes[oldest], self._peers[oldest]

    def _refuse(self, route: bytes, hello: wire.Hello, objection: str) -> None:
        self._note_asked(route, float("inf"))  # what else comes from there is not worth a question
        self._socket.send(route, wire.encode(wire.Refused(objection)))
        if self.hellos.refuse(hello, objection):
            self._decided = True

    def _on_closed(self, descriptor: int) -> None:
        route = self._route_of.pop(descriptor, None)
        if route is None:
            return
        self._asked.pop(route, None)
        peer = self._peers.get(route)
        if peer is not None:
            peer.routes.pop(route, None)
            peer.passing.discard(route)
            peer.words.connected = bool(peer.routes)
            self._afterwards(route)

    def _afterwards(self, route: bytes) -> None:
        """A connection is closed. What came over it last may not have been read yet: who says something and goes is
        heard."""
        self._shell.loop.call_later(_AFTERWARDS, self._peers.pop, route, None)

    def ended(self, name: str, incarnation: int) -> None:
        """A worker's process has ended: nothing is expected of it, and nothing goes to it. What it has said that it did
        counts for a moment longer: it was said before, and ZeroMQ's thread may have it still."""
        peer = self._of.get(name)
        if peer is not None and peer.incarnation == incarnation:
            routes = (*peer.routes, *peer.passing)
            self._forget(peer)
            self._peers.update(dict.fromkeys(routes, peer))
            self._shell.loop.call_later(_LAST_WORDS, self._forget_routes, routes)

    def _forget_routes(self, routes: Iterable[bytes]) -> None:
        for route in routes:
            self._peers.pop(route, None)

    def _forget(self, peer: Peer) -> None:
        self._forget_routes((*peer.routes, *peer.passing))
        peer.routes.clear()
        peer.passing.clear()
        peer.words.connected = False
        self._of.pop(peer.name, None)
        self.commands.ended(peer.name)

    # Down

    def _send(self, peer: Peer, message: wire.Down) -> bool:
        """To the newest connection that takes it."""
        data = wire.encode(message)
        return any(self._socket.send(route, data) for route in reversed(peer.routes))

    def _tell(self, name: str, message: wire.Down) -> bool:
        peer = self._of.get(name)
        return peer is not None and self._send(peer, message)

    def connected(self, name: str, incarnation: int) -> bool:
        peer = self._of.get(name)
        return peer is not None and peer.incarnation == incarnation and bool(peer.routes)

    def stop(self, name: str, incarnation: int, grace: float | None) -> None:
        """Ask it to stop, once that is committed; the keeper's signal comes too."""
        if self.connected(name, incarnation):
            peer = self._of[name]

            def send() -> None:
                self._send(peer, wire.Stop(grace))

            self._shell.after_commit(send)

    def ping(self, name: str) -> bool:
        """Have it beat at once; whether it was sent."""
        return self._tell(name, wire.Ping())
