"""The ROUTER that workers connect to: bound once in each user's folder, drained by hand, never blocking.

Edge-triggered as every ZeroMQ descriptor: see `sockets`. Beside the messages it watches the connections: one over
which nobody has said in time who he is, and the oldest of too many such, is hung up, so that no worker (or whoever
runs as its user) can take all our descriptors. What comes without end from one that is known costs no more than the
processor: each turn of the loop takes a bounded number of messages, and ZeroMQ takes them from all in turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable

import zmq

from supervisor_tree.ipc.heartbeat import LARGEST
from supervisor_tree.root import rundir
from supervisor_tree.root.hearing import descriptors

_DRAIN = 512
"""Messages taken in one go."""
_PAUSE = 0.005
"""Seconds between two looks while messages come faster than that."""
_KEPT_IN = 64
"""Messages kept of one worker that we are too late for; then it has to drop them itself."""
_KEPT_OUT = 16
"""The same of ours for a worker that doesn't read."""
_HANDSHAKE = 2000
"""Milliseconds."""
_STRANGE = 30.0
"""Seconds after which a connection is hung up over which nobody has said who he is."""
_STRANGERS = 1000
"""Of such connections, beside one for each worker: the oldest is hung up."""
_EVENTS_MOST = 100_000
"""What may have become of connections before one message is believed to be of the connection that it seems to be of."""
_EVENT = struct.Struct("=hi")
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED


class HeartbeatSocket:
    """``on_message(route, frame)``: one message (of a single frame), and the connection that it came over.
    ``on_closed(descriptor)``: that connection is gone. ``workers()``: how many connections are to be expected."""

    def __init__(
        self,
        run_dir: str,
        on_message: Callable[[bytes, zmq.Frame], None],
        on_closed: Callable[[int], None],
        on_drained: Callable[[], None],
        workers: Callable[[], int],
    ) -> None:
        self._run_dir = run_dir
        self._on_message = on_message
        self._on_closed = on_closed
        self._on_drained = on_drained
        self._workers = workers
        self._loop = asyncio.get_running_loop()
        # Of its own, with its own thread: a flood here shall not hold up `ctl`.
        self._context = zmq.Context(io_threads=1)
        self._context.set(zmq.BLOCKY, 0)
        self._router: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._bound: dict[str, int] = {}
        """The paths that are bound, as the kernel knows them, and for which user."""
        self._connections: set[int] = set()
        """Descriptors of all connections."""
        self._strangers: dict[int, float] = {}
        """Of those over which nobody has said who he is, oldest first: since when."""
        self._sweeping: asyncio.TimerHandle | None = None
        self._opened = 0
        self._due = False
        self._drained = float("-inf")
        self.dropped = 0
        """Messages of more than one frame."""

    # Binding

    def bind(self, uid: int) -> None:
        """Bind for this user, where that is not done yet.

        Raises:
            OSError, zmq.ZMQError: it can't be done.
        """
        if uid in self._bound.values():
            return
        if self._router is None:
            self._open()
        router = self._router
        assert router is not None
        # Bound where only we may write and moved from there: in a folder that is somebody else's, what we
        # change by its name could be something else by then.
        path = os.path.join(self._run_dir, "control", f"h{uid}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        router.bind(f"ipc://{path}")
        try:
            if uid != os.geteuid():
                os.chmod(path, 0o666)  # noqa: S103, the folder is that user's alone
            os.replace(path, os.path.join(rundir.folder(self._run_dir, uid), "heartbeat"))
        except OSError:
            router.unbind(f"ipc://{path}")
            raise
        self._bound[path] = uid

    def _open(self) -> None:
        router = self._context.socket(zmq.ROUTER)
        router.set(zmq.LINGER, 0)
        router.set(zmq.MAXMSGSIZE, LARGEST)
        router.set(zmq.HANDSHAKE_IVL, _HANDSHAKE)
        router.set(zmq.RCVHWM, _KEPT_IN)
        router.set(zmq.SNDHWM, _KEPT_OUT)
        router.set(zmq.ROUTER_MANDATORY, 1)
        router.set(zmq.BACKLOG, 1000)
        monitor = self._context.socket(zmq.PAIR)
        monitor.set(zmq.LINGER, 0)
        monitor.set(zmq.RCVHWM, 0)  # else ZeroMQ's thread would wait for us
        # The name of one that was closed is taken for a while yet.
        self._opened += 1
        router.monitor(f"inproc://connections{self._opened}", _EVENTS)
        monitor.connect(f"inproc://connections{self._opened}")
        self._router, self._monitor = router, monitor
        self._loop.add_reader(router.fileno(), self._readable)
        self._loop.add_reader(monitor.fileno(), self._look_a_while)
        # A descriptor tells of nothing before its socket was once found empty.
        self._loop.call_soon(self._look_a_while)
        self._soon()

    def bound(self) -> bool:
        """Whether all that was bound is still there (cleaners of /tmp remove it)."""
        folders = (rundir.folder(self._run_dir, uid) for uid in self._bound.values())
        return all(os.path.exists(os.path.join(folder, "heartbeat")) for folder in folders)

    def close(self) -> None:
        """Close the sockets; `bind` opens them anew."""
        router, monitor = self._router, self._monitor
        if router is None or monitor is None:
            return
        self._router = self._monitor = None
        self._loop.remove_reader(router.fileno())
        self._loop.remove_reader(monitor.fileno())
        router.disable_monitor()
        monitor.close(0)
        router.close(0)
        self._bound.clear()
        self._connections.clear()
        self._strangers.clear()

    def end(self) -> None:
        """Close for good."""
        self.close()
        self._context.destroy(0)

    # Messages

    def send(self, route: bytes, message: bytes) -> bool:
        """Whether it was taken: False for one who is gone or doesn't read."""
        if self._router is None:
            return False
        try:
            self._router.send_multipart([route, message], zmq.DONTWAIT)
        except zmq.ZMQError:
            return False
        self._soon()
        return True

    def drain(self, most: int = _DRAIN) -> None:
        """Take what has come, ``most`` messages of it; what is left is taken soon."""
        router = self._router
        if router is None:
            return
        receive, handle = router.recv, self._on_message
        try:
            for _ in range(most):
                route = receive(zmq.DONTWAIT)
                frame = receive(zmq.DONTWAIT, False)
                if frame.more:
                    self.dropped += 1
                    while receive(zmq.DONTWAIT, False).more:
                        pass
                    continue
                handle(route, frame)
            self._soon()
        except zmq.ZMQError:  # nothing is left, or the message before this one closed the socket
            pass
        self._on_drained()

    def wait(self, seconds: float) -> bool:
        """Block until something has come. For the few places where an answer is on its way."""
        return self._router is not None and bool(self._router.poll(max(1, int(seconds * 1000))))

    def _readable(self) -> None:
        if self._due or self._router is None:
            return
        now = self._loop.time()
        if now - self._drained < _PAUSE:
            # One at a time, each beat costs ten times what it costs among others. They can wait.
            self._loop.remove_reader(self._router.fileno())
            self._loop.call_later(_PAUSE, self._listen, self._router)
            return
        self._drained = now
        self.drain()

    def _listen(self, router: zmq.Socket[bytes]) -> None:
        if router is self._router:
            self._drained = self._loop.time()
            self.drain()
            self._loop.add_reader(router.fileno(), self._readable)

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._due = False
        self.drain()

    # Connections

    def known(self, descriptor: int) -> None:
        """Somebody has said over this connection who he is."""
        self._strangers.pop(descriptor, None)

    def is_open(self, descriptor: int) -> bool:
        """Whether there is a connection of this number, as of the last `look`."""
        return descriptor in self._connections

    @property
    def strangers(self) -> int:
        """Connections over which nobody has said who he is."""
        return len(self._strangers)

    def _look_a_while(self) -> None:
        if self.look(_DRAIN):
            self._loop.call_soon(self._look_a_while)

    def look(self, most: int = _EVENTS_MOST) -> bool:
        """Learn which connections have come and gone; True: there may be more to learn than ``most``."""
        monitor = self._monitor
        if monitor is None:
            return False
        now = self._loop.time()
        more = True
        for _ in range(most):
            try:
                event, descriptor = _EVENT.unpack(monitor.recv_multipart(zmq.DONTWAIT)[0])
            except zmq.ZMQError:
                more = False
                break
            self._strangers.pop(descriptor, None)
            if event == zmq.EVENT_ACCEPTED:
                self._connections.add(descriptor)
                self._strangers[descriptor] = now
            else:
                self._connections.discard(descriptor)
                self._on_closed(descriptor)
        beyond = len(self._strangers) - min(_STRANGERS + self._workers(), self._room())
        for descriptor in list(self._strangers)[: max(0, beyond)]:
            self._hang_up(descriptor)
        if self._strangers and self._sweeping is None:
            self._sweeping = self._loop.call_later(_STRANGE, self._sweep)
        return more

    def _room(self) -> int:
        """How many strangers there may be beside those who are known."""
        return max(0, descriptors.connections() - (len(self._connections) - len(self._strangers)))

    def _sweep(self) -> None:
        self._sweeping = None
        now = self._loop.time()
        for descriptor in [each for each, since in self._strangers.items() if now - since >= _STRANGE]:
            self._hang_up(descriptor)
        if self._strangers:
            oldest = next(iter(self._strangers.values()))
            self._sweeping = self._loop.call_later(max(1.0, oldest + _STRANGE - now), self._sweep)

    def _hang_up(self, descriptor: int) -> None:
        """Shut a connection down. ZeroMQ owns it and closes it when it sees that; it may have done so already, and the
        number may be another's: only what is a connection to one of our paths is touched."""
        self._strangers.pop(descriptor, None)
        with contextlib.suppress(OSError), _duplicate(descriptor) as connection:
            if connection.getsockname() in self._bound:
                connection.shutdown(socket.SHUT_RDWR)


def _duplicate(descriptor: int) -> socket.socket:
    """
    Raises:
        OSError: it is no socket, or closed.
    """
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
