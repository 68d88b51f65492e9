"""The link: frames over a stream socket between the keeper and its root or logger.

A frame is a JSON head and a blob of raw bytes (state values, journal lines) that nobody on the way
has to parse: ``u32 length of head and blob | u32 length of head | head | blob``, big endian. Descriptors
travel beside a frame (SCM_RIGHTS) and are delivered in order.

Standard library only: the keeper and the logger import this.
"""

from __future__ import annotations

import array
import json
import socket
import struct
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:  # not `typing.TYPE_CHECKING`: importing typing costs the keeper and the logger 4 ms each
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Head = dict[str, Any]

_LENGTHS = struct.Struct(">II")
MAX_FRAME = 512 * 1024 * 1024
"""Bytes. The state of 10,000 children is about 10 MB; more than this is garbage, not a tree."""
_RECEIVE = 64 * 1024
_MAX_FDS = 64


class LinkError(Exception):
    """The peer sent something that is no frame. Nothing after it can be trusted: close the link."""


class LinkClosed(Exception):
    """End of file: the peer is gone or closed its end."""


def encode(head: Head, blob: bytes = b"") -> bytes:
    """One frame as bytes."""
    return frame(json.dumps(head, separators=(",", ":")).encode(), blob)


def frame(head: bytes, blob: bytes = b"") -> bytes:
    """One frame of a head that is JSON already."""
    return _LENGTHS.pack(4 + len(head) + len(blob), len(head)) + head + blob


def pack_items(items: Iterable[tuple[Any, bytes | None]]) -> tuple[list[list[Any]], bytes]:
    """``[(key, value)]`` as the list of ``[key, length]`` for a head (-1: deleted) and the blob."""
    sizes: list[list[Any]] = []
    parts: list[bytes] = []
    for key, value in items:
        sizes.append([key, -1 if value is None else len(value)])
        if value is not None:
            parts.append(value)
    return sizes, b"".join(parts)


def unpack_items(
    sizes: Sequence[Sequence[Any]], blob: bytes, offset: int = 0
) -> tuple[list[tuple[Any, bytes | None]], int]:
    """Undo `pack_items` from ``offset`` of the blob; also the offset behind the last value."""
    items: list[tuple[Any, bytes | None]] = []
    for key, size in sizes:
        if size < 0:
            items.append((key, None))
            continue
        items.append((key, blob[offset : offset + size]))
        offset += size
    return items, offset


class Link:
    """One end of a link over a non-blocking stream socket.

    Never blocks: `send` queues what the socket does not take, `flush` goes on (call it when the
    socket is writable while `wants_write` is true), `receive` takes what is there.
    """

    def __init__(
        self,
        sock: socket.socket,
        loads: Callable[[bytes], Any] = json.loads,
        *,
        takes_fds: bool = True,
        largest: int = MAX_FRAME,
    ) -> None:
        """
        Args:
            loads: a faster reader of JSON, where there is one; it raises ValueError for what is none.
            takes_fds: False: the system closes descriptors that come, and none fill up this process.
            largest: bytes of the longest frame that is taken, and (with one read more) of what is held.
        """
        sock.setblocking(False)
        self.sock = sock
        self._loads = loads
        self._room = socket.CMSG_SPACE(_MAX_FDS * 4) if takes_fds else 0
        self._largest = largest
        self._in = bytearray()
        self._fds: deque[int] = deque()
        self._out: deque[tuple[memoryview, Sequence[int]]] = deque()
        self.queued = 0
        """Bytes sent but not yet taken by the socket."""

    def fileno(self) -> int:
        return self.sock.fileno()

    @property
    def wants_write(self) -> bool:
        return bool(self._out)

    def send(self, head: Head, blob: bytes = b"", fds: Sequence[int] = ()) -> None:
        """Queue one frame and send what can be sent now.

        ``fds`` must stay open until the frame has left (`wants_write` false).

        Raises:
            LinkClosed: the peer is gone.
        """
        self.send_bytes(encode(head, blob), fds)

    def send_bytes(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """`send` for a frame that is encoded already."""
        self._out.append((memoryview(data), fds))
        self.queued += len(data)
        if len(self._out) == 1:
            self.flush()

    def flush(self) -> None:
        """Send as much of the queue as the socket takes.

        Raises:
            LinkClosed: the peer is gone.
        """
        while self._out:
            view, fds = self._out[0]
            ancillary = []
            if fds:
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            try:
                sent = self.sock.sendmsg([view], ancillary)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise LinkClosed(str(error)) from error
            self.queued -= sent
            if sent == len(view):
                self._out.popleft()
            else:
                self._out[0] = (view[sent:], ())

    def receive(self) -> list[tuple[Head, bytes]]:
        """Every whole frame that has arrived; empty when none has.

        One that sends faster than we read gets its turn again after the others.

        Raises:
            LinkClosed: end of file, and no whole frame is left.
            LinkError: what arrived is no frame.
        """
        closed = False
        while len(self._in) < 4 + self._largest:
            try:
                data, ancillary, _flags, _ = self.sock.recvmsg(
                    _RECEIVE, self._room, getattr(socket, "MSG_CMSG_CLOEXEC", 0)
                )
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                closed = True
                break
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds = array.array("i")
                    fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                    self._fds.extend(fds)
            if not data:
                closed = True
                break
            self._in += data
            if len(data) < _RECEIVE:
                break
        frames = self._cut()
        if closed and not frames:
            raise LinkClosed("end of file")
        return frames

    def take_fd(self) -> int:
        """The next descriptor that came with a frame; its owner is now the caller.

        Raises:
            LinkError: none came.
        """
        if not self._fds:
            raise LinkError("a descriptor was announced and none came")
        return self._fds.popleft()

    def close(self) -> None:
        self.sock.close()

    def _cut(self) -> list[tuple[Head, bytes]]:
        frames: list[tuple[Head, bytes]] = []
        buffer, at = self._in, 0
        while len(buffer) - at >= _LENGTHS.size:
            total, head_size = _LENGTHS.unpack_from(buffer, at)
            if total > self._largest or head_size + 4 > total:
                raise LinkError(f"a frame of {total} bytes with a head of {head_size}")
            end = at + 4 + total
            if len(buffer) < end:
                break
            start = at + _LENGTHS.size
            try:
                head = self._loads(bytes(buffer[start : start + head_size]))
            except (ValueError, RecursionError) as error:
                raise LinkError(f"a head that is no JSON: {error}") from error
            if not isinstance(head, dict):
                raise LinkError("a head that is no object")
            frames.append((head, bytes(buffer[start + head_size : end])))
            at = end
        if at:
            del buffer[:at]
        return frames
