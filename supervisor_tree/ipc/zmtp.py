"""A DEALER socket of ZeroMQ without ZeroMQ: ZMTP 3.1 over ``ipc://``, mechanism NULL, in the standard library.

A worker is somebody else's program. This brings no native thread into it, costs 1 ms to import instead of 33, and
runs in any interpreter. It never blocks and never waits: a peer that is stopped, gone, full or mad costs the worker
nothing but messages. The protocol is https://rfc.zeromq.org/spec/37/ (ZMTP 3.1); what a DEALER does with a full
queue or no peer is https://rfc.zeromq.org/spec/28/.

The caller owns the waiting: it watches `Dealer.fileno` for reading, for writing too while `Dealer.wants_write`, calls
`Dealer.pump` when either is so, and again at `Dealer.retry_at`; where it has no loop of its own, `wait` does that. One
thread at a time.

    connecting → greeting → handshake → open        any failure: closed, and connecting again after 10, 20, … 1000 ms
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Message = bytes | Callable[[], bytes]

HIGH_WATER = 10
"""Messages that wait for the peer; one more, and the oldest is dropped: what was said last says most."""
MAX_MESSAGE = 64 * 1024
"""Bytes of one message, either way. More is an error here, and garbage from the peer."""
RETRY_FIRST = 0.010
RETRY_MOST = 1.0
"""Seconds before a connection is tried again: doubled after each failure, from the first to the most."""
LASTED = 1.0
"""Seconds. A connection that was open for less was no success: the next waits longer, so that a peer that takes
connections and ends them is not asked a hundred times a second."""

_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
_MORE, _LONG, _COMMAND = 1, 2, 4
_RECEIVE = 64 * 1024
_READS = 16
"""Receives in one pump: a peer that floods gets its turn again, after the worker's own work."""
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)  # a program may have given SIGPIPE its deadly meaning back


class _Broken(Exception):
    """The peer does not speak ZMTP as we do. Nothing after it can be understood."""


class Dealer:
    """One DEALER that stays connected to one ROUTER, whatever becomes of that.

    Args:
        endpoint: ``ipc://`` and the path of a socket, which need not be there yet.
        on_connect: called for each connection that has become open; what it returns is sent before all that waits, and
            once more after messages had to be dropped: it says how things stand, which one of them may have said.
        on_message: called with each message that comes. Messages of more than one frame are ignored.
        stays: False: it connects only when something waits to be sent.

    Raises:
        ValueError: an endpoint of another kind.
    """

    def __init__(
        self,
        endpoint: str,
        on_connect: Callable[[], bytes],
        on_message: Callable[[bytes], None],
        stays: bool = True,
    ) -> None:
        if not endpoint.startswith("ipc://"):
            raise ValueError(f"{endpoint!r} is no ipc:// endpoint")
        self._path = endpoint.removeprefix("ipc://")
        self._on_connect = on_connect
        self._on_message = on_message
        self._stays = stays
        self._sock: socket.socket | None = None
        self._inode: int | None = None
        self._greeted = False
        self._open_since: float | None = None
        self._in = bytearray()
        self._in_parts = False
        self._out = b""
        self._sending: Message | None = None
        self._waiting: deque[Message] = deque()
        self._failures = 0
        self._closed = False
        self._retry_at = 0.0
        self.dropped = 0
        """Messages dropped because `HIGH_WATER` others waited."""
        self._say_again = False

    @property
    def is_open(self) -> bool:
        """The peer has agreed to talk: what is sent now goes out now, as far as its buffers take it."""
        return self._open_since is not None

    @property
    def has_unsent(self) -> bool:
        """Something was to be sent and is not out yet."""
        return bool(self._out or self._waiting)

    @property
    def retry_at(self) -> float | None:
        """When `pump` is to be called to connect (`time.monotonic`); None: there is no need to, or this is closed."""
        idle = self._closed or self._sock is not None or not (self._stays or self._waiting)
        return None if idle else self._retry_at

    @property
    def wants_write(self) -> bool:
        return self._sock is not None and bool(self._out or (self.is_open and (self._waiting or self._say_again)))

    def fileno(self) -> int:
        """The descriptor to watch, -1 while there is none; another one after each reconnection."""
        return -1 if self._sock is None else self._sock.fileno()

    def send(self, message: Message) -> None:
        """Send it as soon as it can be sent. Never blocks. A callable is asked for its bytes when its turn comes.

        Raises:
            ValueError: longer than `MAX_MESSAGE`.
        """
        if isinstance(message, bytes) and len(message) > MAX_MESSAGE:
            raise ValueError(f"a message of {len(message)} bytes: at most {MAX_MESSAGE} are allowed")
        if self._closed:
            return
        if len(self._waiting) >= HIGH_WATER:
            self._waiting.popleft()
            self.dropped += 1
            self._say_again = True
        self._waiting.append(message)
        try:
            self._still_ours()
            self._write()
        except OSError:
            self._lost()

    def pump(self) -> None:
        """Do all that can be done without waiting: connect when it is time, read, write. Never blocks.

        What ``on_message`` raises goes through; the messages after it are lost, the connection is not.
        """
        if self._closed:
            return
        if self._sock is None and not self._connect():
            return
        messages: list[bytes] = []
        try:
            self._still_ours()
            self._read(messages)
            self._write()
        except (OSError, _Broken):
            self._lost()
        for message in messages:
            self._on_message(message)

    def close(self) -> None:
        """Send what the socket takes at once, drop the rest, and end for good. Never waits."""
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._write()
        self.abandon()

    def abandon(self) -> None:
        """End without a word: for a fork, whose copy of the connection is its parent's."""
        self._closed = True
        self._lost()
        self._waiting.clear()

    def _connect(self) -> bool:
        if self.retry_at is None or time.monotonic() < self.retry_at:
            return False
        try:
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._inode = inode(self._sock.fileno())
            self._sock.setblocking(False)
            # Over before it returns, one way or the other; EAGAIN: its backlog is full.
            self._sock.connect(self._path)
        except OSError:
            self._lost()
            return False
        self._out = _GREETING
        return True

    def _still_ours(self) -> None:
        """
        Raises:
            OSError: somebody has closed our socket; what has its number now is none of our business.
        """
        if self._sock is not None and inode(self._sock.fileno()) != self._inode:
            raise OSError("closed by somebody else")

    def _lost(self) -> None:
        """Forget the connection, keep what waits, say when to try again."""
        now = time.monotonic()
        if self._open_since is not None and now - self._open_since >= LASTED:
            self._failures = 0
        if self._sock is not None:
            # A program may close every descriptor that it does not know, and open others under their numbers.
            if self._inode is not None and inode(self._sock.fileno()) == self._inode:
                with contextlib.suppress(OSError):  # closed at this very moment
                    self._sock.close()
            else:
                self._sock.detach()
            self._sock = None
        if self._sending is not None:
            self._waiting.appendleft(self._sending)
        self._sending, self._out = None, b""
        self._in.clear()
        self._greeted, self._open_since, self._in_parts = False, None, False
        self._retry_at = now + min(RETRY_MOST, RETRY_FIRST * 2 ** min(self._failures, 10))
        self._failures += 1

    def _read(self, messages: list[bytes]) -> None:
        assert self._sock is not None
        for _ in range(_READS):
            try:
                data = self._sock.recv(_RECEIVE)
            except (BlockingIOError, InterruptedError):
                return
            if not data:
                raise _Broken("end of file")
            self._in += data
            if not self._greeted and not self._read_greeting():
                continue
            self._cut(messages)

    def _read_greeting(self) -> bool:
        greeting = self._in
        if greeting[0] != 0xFF or (len(greeting) > 9 and not greeting[9] & 1):
            raise _Broken("no ZMTP")
        if len(greeting) < len(_GREETING):
            return False
        if greeting[10] < 3 or greeting[12:32] != _GREETING[12:32]:
            raise _Broken("ZMTP 3 with the mechanism NULL is what this speaks")
        del greeting[: len(_GREETING)]
        self._greeted = True
        self._out += bytes((_COMMAND, len(_READY))) + _READY
        return True

    def _cut(self, messages: list[bytes]) -> None:
        """Take every whole frame from the buffer."""
        buffer, at = self._in, 0
        while len(buffer) - at >= 2:
            flags = buffer[at]
            start = at + (9 if flags & _LONG else 2)
            if flags & ~(_MORE | _LONG | _COMMAND) or flags & (_MORE | _COMMAND) == _MORE | _COMMAND:
                raise _Broken("no frame")
            if len(buffer) < start:
                break
            size = int.from_bytes(buffer[at + 1 : start], "big")
            if size > MAX_MESSAGE:
                raise _Broken(f"a frame of {size} bytes")
            if len(buffer) < start + size:
                break
            at = start + size
            body = bytes(buffer[start:at])
            if flags & _COMMAND:
                self._command(body)
            elif not self.is_open:
                raise _Broken("a message before READY")
            elif flags & _MORE or self._in_parts:
                self._in_parts = bool(flags & _MORE)
            else:
                messages.append(body)
        del buffer[:at]

    def _command(self, body: bytes) -> None:
        name, data = body[1 : 1 + body[0]] if body else b"", body[1 + body[0] :] if body else b""
        if name == b"READY" and not self.is_open:
            self._open_since = time.monotonic()
            self._say_again = False
            # Not the queue: this goes first, whatever waits.
            self._out += _frame(self._on_connect())
        elif name == b"PING" and len(self._out) >= MAX_MESSAGE:
            return  # it asks and asks, and reads no answer
        elif name == b"PING":
            self._out += bytes((_COMMAND, 5 + len(data[2:18]))) + b"\x04PONG" + data[2:18]
        elif name == b"ERROR" or not self.is_open:
            raise _Broken("refused")

    def _write(self) -> None:
        while self._sock is not None:
            if not self._out:
                if not self.is_open:
                    return
                if self._waiting:
                    self._sending = message = self._waiting.popleft()
                    self._out = _frame(message if isinstance(message, bytes) else message())
                elif self._say_again:
                    self._say_again = False
                    self._out = _frame(self._on_connect())
                else:
                    return
            try:
                sent = self._sock.send(self._out, _NO_SIGNAL)
            except (BlockingIOError, InterruptedError):
                return
            self._out = self._out[sent:]
            if not self._out:
                self._sending = None


def wait(dealer: Dealer, timeout: float | None, *readable: int) -> None:
    """Block until there is something for `Dealer.pump` to do, one of the descriptors ``readable`` is, or ``timeout``
    seconds are over (None: never)."""
    poll = select.poll()
    for fd in readable:
        poll.register(fd, select.POLLIN)
    if dealer.fileno() >= 0:
        poll.register(dealer.fileno(), select.POLLIN | (select.POLLOUT if dealer.wants_write else 0))
    elif dealer.retry_at is not None:
        until_retry = max(0.0, dealer.retry_at - time.monotonic())
        timeout = until_retry if timeout is None else min(timeout, until_retry)
    # Rounded up: else it would be called again and again within the last millisecond.
    poll.poll(None if timeout is None else timeout * 1000 + 1)


def inode(fd: int) -> int | None:
    """By which a descriptor of ours is known from another one under its number; None: it is closed."""
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return None


def _frame(message: bytes) -> bytes:
    size = len(message)
    if size < 256:
        return bytes((0, size)) + message
    return bytes((_LONG,)) + size.to_bytes(8, "big") + message
