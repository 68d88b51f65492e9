"""The root's ZeroMQ sockets on the event loop: drained by hand, never blocking.

A ZeroMQ descriptor is edge-triggered and any send or receive may clear it: so drain until nothing is
left, go on later when a drain was cut short, and look again after each send. (`zmq.asyncio` does the same with
a future a message and reaches a fifth of the rate.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

import zmq

LARGEST = 64 * 1024
"""Bytes of a message from a client; libzmq drops the connection of a larger one."""
REQUEST_LARGEST = 1024 * 1024
"""Control requests may carry a tree file (`ctl add`)."""
_ANSWERS = 100
"""Kept for one client that does not read; it asks again for those dropped. One of a large tree is half a megabyte."""
_DRAIN = 256
"""Messages taken in one go, so that a flood of garbage can't keep the loop from supervising."""


class Sockets:
    """A ROUTER for requests and an XPUB for the stream, bound in ``folder`` (0700, checked by `rundir`)."""

    def __init__(self, folder: str, on_request: Callable[[bytes, list[bytes]], None]) -> None:
        self.folder = folder
        self._on_request = on_request
        self._loop = asyncio.get_running_loop()
        self._context = zmq.Context(io_threads=1)
        self._context.set(zmq.BLOCKY, 0)
        self._router: zmq.Socket[bytes] | None = None
        self._stream: zmq.Socket[bytes] | None = None
        self._due: set[Callable[[], None]] = set()
        self.topics: set[bytes] = set()
        """What somebody listens to at present (prefixes)."""
        self.bind()

    def bind(self) -> None:
        """Bind both sockets; anew when somebody removed the files."""
        self.close_sockets()
        router = self._context.socket(zmq.ROUTER)
        router.set(zmq.LINGER, 0)
        router.set(zmq.MAXMSGSIZE, REQUEST_LARGEST)
        router.set(zmq.HANDSHAKE_IVL, 2000)
        router.set(zmq.SNDHWM, _ANSWERS)
        stream = self._context.socket(zmq.XPUB)
        stream.set(zmq.LINGER, 0)
        stream.set(zmq.MAXMSGSIZE, LARGEST)
        stream.set(zmq.HANDSHAKE_IVL, 2000)
        stream.set(zmq.SNDHWM, 10_000)
        for socket, name in ((router, "control"), (stream, "stream")):
            path = os.path.join(self.folder, name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            socket.bind(f"ipc://{path}")
        self._router, self._stream = router, stream
        self._loop.add_reader(router.fileno(), self._drain_requests)
        self._loop.add_reader(stream.fileno(), self._drain_topics)
        self._loop.call_soon(self._drain_requests)

    def bound(self) -> bool:
        """Whether both socket files are still there (cleaners of /tmp remove them)."""
        return all(os.path.exists(os.path.join(self.folder, name)) for name in ("control", "stream"))

    def reply(self, client: bytes, message: bytes) -> None:
        """Send to one client; dropped when it is gone or does not read."""
        if self._router is None:
            return
        with contextlib.suppress(zmq.ZMQError):
            self._router.send_multipart([client, message], zmq.DONTWAIT)
        self._soon(self._drain_requests)

    def publish(self, topic: bytes, message: bytes) -> None:
        """Send to those who listen to ``topic``."""
        if self._stream is None or not any(topic.startswith(prefix) for prefix in self.topics):
            return
        with contextlib.suppress(zmq.ZMQError):
            self._stream.send(topic + message, zmq.DONTWAIT)
        self._soon(self._drain_topics)

    def close_sockets(self) -> None:
        for socket in (self._router, self._stream):
            if socket is not None:
                self._loop.remove_reader(socket.fileno())
                socket.close(0)
        self._router = self._stream = None
        self.topics.clear()

    def close(self) -> None:
        """Close everything; what was sent a moment ago is given a chance to leave."""
        for socket in (self._router, self._stream):
            if socket is not None:
                self._loop.remove_reader(socket.fileno())
                socket.close(200)
        self._router = self._stream = None
        self._context.term()

    def _soon(self, drain: Callable[[], None]) -> None:
        """Once in a turn of the loop, however many have sent meanwhile: the others get theirs in between."""
        if drain not in self._due:
            self._due.add(drain)
            self._loop.call_soon(drain)

    def _drain_requests(self) -> None:
        self._due.discard(self._drain_requests)
        router = self._router
        if router is None:
            return
        for _ in range(_DRAIN):
            try:
                parts = router.recv_multipart(zmq.DONTWAIT)
            except zmq.ZMQError:  # nothing is left, or a request before this one closed the socket
                return
            self._on_request(parts[0], parts[1:])
        self._soon(self._drain_requests)

    def _drain_topics(self) -> None:
        self._due.discard(self._drain_topics)
        if self._stream is None:
            return
        for _ in range(_DRAIN):
            try:
                message = self._stream.recv(zmq.DONTWAIT)
            except zmq.ZMQError:
                return
            if message[:1] == b"\x01":
                self.topics.add(message[1:])
            elif message[:1] == b"\x00":
                self.topics.discard(message[1:])
        self._soon(self._drain_topics)
