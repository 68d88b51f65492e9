"""How bytes get from a worker's pipe to a file: spliced through a staging pipe, or read and written.

Both kinds have the same methods and keep the same promise: what `take` took is written by `store` or thrown away
by `drop`, in order, before anything else is taken.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor_tree.logs.memo import Memo
    from supervisor_tree.logs.streams import Stream

    Tee = Callable[[int, int, int], int | None]

CHUNK = 1 << 20
"""Bytes that are taken from one pipe at once, at most: the others wait so long."""
_BUSY = 256 * 1024
"""Bytes: the pipe of a worker that fills it becomes so big. One of 1 MiB is faster for one writer, slower for 50, whose
pages then fit no cache."""
_PEEK = 4096
_COPY = 64 * 1024
_INT = struct.Struct("i")


def available(fd: int) -> int:
    """Bytes in a pipe."""
    return int(_INT.unpack(fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0])


def grow(fd: int, size: int) -> int:
    """Ask for a bigger pipe; the capacity it has then. A user over his share of pipe memory keeps the small one."""
    try:
        return fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)
    except OSError:
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)


class Splicing:
    """Pipe → staging pipe → file inside the kernel. Linux.

    The staging pipe is needed because a splice into a file holds the lock of the pipe it comes from: on a stalled
    disk the worker would hang in the kernel. It belongs to the keeper too, so that a new logger finds what was in it.
    """

    def __init__(self, staging: tuple[int, int], memo: Memo, tee: Tee) -> None:
        self._out, self._in = staging
        self._memo = memo
        self._tee = tee
        self._last: Stream | None = None
        self._peek_out, self._peek_in = os.pipe()
        self._null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        self.chunk = min(grow(self._in, CHUNK), grow(self._peek_in, CHUNK))
        self.staged = available(self._out)
        """Bytes taken and not yet stored. Not 0 at the start: those of the logger before."""

    def attach(self, stream: Stream) -> None:
        stream.capacity = fcntl.fcntl(stream.fd, fcntl.F_GETPIPE_SZ)

    def forget(self, stream: Stream) -> None:
        if self._last is stream:
            self._last = None

    def available(self, stream: Stream) -> int:
        return available(stream.fd)

    def last_newline(self, stream: Stream, window: int) -> tuple[int, int]:
        """Length up to and with the last newline in the first ``window`` bytes (0: none), and how far it looked."""
        seen = self._tee(stream.fd, self._peek_in, window) or 0
        skip = max(0, seen - _PEEK)
        self._to_null(self._peek_out, skip)
        found = self._read_peeked(seen - skip).rfind(b"\n")
        if found >= 0 or not skip:
            return (skip + found + 1 if found >= 0 else 0), seen
        seen = self._tee(stream.fd, self._peek_in, skip) or 0
        return self._read_peeked(seen).rfind(b"\n") + 1, skip

    def first_newline(self, stream: Stream, window: int) -> int:
        """Length up to and with the first newline in the first ``window`` bytes; 0: none."""
        seen = self._tee(stream.fd, self._peek_in, window) or 0
        return self._read_peeked(seen).find(b"\n") + 1

    def take(self, stream: Stream, size: int) -> int:
        """Move up to ``size`` bytes of the worker's pipe to the staging pipe; 0 at end of file.

        Raises:
            BlockingIOError: the pipe is empty.
        """
        if self._last is not stream:
            self._memo.stage(stream.file.path, stream.kind, stream.file.block)
            self._last = stream
        self.staged = got = os.splice(stream.fd, self._in, min(size, self.chunk), flags=os.SPLICE_F_NONBLOCK)
        if got >= stream.capacity and stream.capacity < _BUSY:
            stream.capacity = grow(stream.fd, _BUSY)
        return got

    def store(self, fd: int) -> None:
        """Write what was taken at the position of ``fd``; `staged` tells what is left when it raises OSError."""
        while self.staged:
            try:
                self.staged -= os.splice(self._out, fd, self.staged)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                # What `file` names can't be spliced into (some devices and network file systems).
                self.staged -= os.write(fd, os.read(self._out, min(self.staged, _PEEK)))

    def drop(self) -> int:
        """Throw away what was taken; how much that was."""
        size, self.staged = self.staged, 0
        self._to_null(self._out, size)
        return size

    def keep(self, fd: int, offset: int) -> None:
        """Put what was taken at ``offset`` of a file in memory."""
        while self.staged:
            done = os.splice(self._out, fd, self.staged, offset_dst=offset)
            self.staged -= done
            offset += done

    def discard(self, stream: Stream) -> int:
        """Throw away what is in the worker's pipe; how much that was.

        Raises:
            BlockingIOError: the pipe is empty.
        """
        return os.splice(stream.fd, self._null, CHUNK, flags=os.SPLICE_F_NONBLOCK)

    def _to_null(self, fd: int, size: int) -> None:
        while size:
            size -= os.splice(fd, self._null, size)

    def _read_peeked(self, size: int) -> bytes:
        data = os.read(self._peek_out, size)
        while len(data) < size:
            data += os.read(self._peek_out, size - len(data))
        return data


class Copying:
    """Read and write, for systems without splice: what a killed logger had read is lost, at most `_COPY` a stream."""

    def __init__(self) -> None:
        self.chunk = _COPY
        self.staged = 0
        self._data = b""

    def attach(self, stream: Stream) -> None:
        os.set_blocking(stream.fd, False)
        stream.capacity = _COPY

    def forget(self, stream: Stream) -> None:
        pass

    def available(self, stream: Stream) -> int:
        if len(stream.read) < _COPY:
            try:
                data = os.read(stream.fd, _COPY - len(stream.read))
            except BlockingIOError:
                pass
            else:
                stream.read += data
                stream.ended = not data
        return len(stream.read)

    def last_newline(self, stream: Stream, window: int) -> tuple[int, int]:
        return stream.read.rfind(b"\n", 0, window) + 1, window

    def first_newline(self, stream: Stream, window: int) -> int:
        return stream.read.find(b"\n", 0, window) + 1

    def take(self, stream: Stream, size: int) -> int:
        if not self.available(stream):
            if stream.ended:
                return 0
            raise BlockingIOError
        self._data = bytes(stream.read[:size])
        del stream.read[:size]
        self.staged = len(self._data)
        return self.staged

    def store(self, fd: int) -> None:
        while self.staged:
            self.staged -= os.write(fd, self._data[-self.staged :])

    def drop(self) -> int:
        size, self.staged = self.staged, 0
        return size

    def keep(self, fd: int, offset: int) -> None:
        os.pwrite(fd, self._data[-self.staged :], offset)
        self.staged = 0

    def discard(self, stream: Stream) -> int:
        got = self.available(stream)
        if not got and not stream.ended:
            raise BlockingIOError
        stream.read.clear()
        return got


Carry = Splicing | Copying
