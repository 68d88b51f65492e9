"""Log files as they lie on disk, for reading: one after the other, each with what its index says about its bytes."""

from __future__ import annotations

import contextlib
import os

from supervisor_tree.logs import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NamedTuple

    class Segment(NamedTuple):
        """Bytes from ``start`` to ``end`` of one stream; of a `index.DROPPED` kind ``end`` is how many are missing."""

        start: int
        end: int
        time: float
        kind: int

else:
    from collections import namedtuple

    Segment = namedtuple("Segment", "start end time kind")  # noqa: PYI024 - typing costs `logs` 4 ms

_BLOCK = 1 << 20
_FIRST_LOOK = 256


class Part:
    """One file, open. It stays readable when it is renamed or removed meanwhile."""

    def __init__(self, path: str) -> None:
        """Open ``path``.

        Raises:
            OSError: as for any file.
        """
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        about = os.fstat(self.fd)
        self.inode = about.st_ino
        self._index_fd = -1

    def close(self) -> None:
        os.close(self.fd)
        if self._index_fd >= 0:
            os.close(self._index_fd)

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def segments(self, start: int = 0, *, live: bool = False) -> list[Segment]:
        """What the index says about the bytes from ``start`` on, in order; gaps as of unknown kind and last change.

        ``live``: say nothing about an end that the index doesn't know yet, it will.
        """
        size = self.size()
        found: list[Segment] = []
        end = 0
        index_fd = self._index()
        if index_fd >= 0:
            total = (os.fstat(index_fd).st_size - index.HEADER.size) // index.SIZE
            take = _FIRST_LOOK
            while True:
                first = max(0, total - take)
                raw = os.pread(index_fd, (total - first) * index.SIZE, index.HEADER.size + first * index.SIZE)
                found, end, begin = _cut(raw, start, size, first == 0)
                if first == 0 or begin <= start:
                    break
                take *= 4
        if end < size and not (live and index_fd >= 0):
            found.append(Segment(max(start, end), size, os.fstat(self.fd).st_mtime, index.UNKNOWN))
        return [each for each in found if each.kind & index.DROPPED or each.start < each.end]

    def chunks(self, segments: list[Segment]) -> Iterator[tuple[Segment, bytes]]:
        """The bytes of segments, long ones in several pieces, many short ones with one look at the disk."""
        held, held_at = b"", 0
        for each in segments:
            if each.kind & index.DROPPED:
                yield each, b""
                continue
            at = each.start
            while at < each.end:
                if not held_at <= at < held_at + len(held):
                    held, held_at = os.pread(self.fd, _BLOCK, at), at
                    if not held:
                        return
                upto = min(each.end, held_at + len(held))
                yield each, held[at - held_at : upto - held_at]
                at = upto

    def line_start(self, before: int) -> int:
        """The beginning of the line in which byte ``before`` lies."""
        at = before
        while at > 0:
            size = min(at, 65536)
            found = os.pread(self.fd, size, at - size).rfind(b"\n")
            if found >= 0:
                return at - size + found + 1
            at -= size
        return 0

    def find_newline(self, start: int) -> int:
        """Offset of the first newline at or behind ``start``; -1: none."""
        while data := os.pread(self.fd, 65536, start):
            found = data.find(b"\n")
            if found >= 0:
                return start + found
            start += len(data)
        return -1

    def byte(self, at: int) -> bytes:
        return os.pread(self.fd, 1, at)

    def _index(self) -> int:
        """The index of this very file, wherever a rotation under way has put it; -1: there is none (yet)."""
        if self._index_fd >= 0:
            return self._index_fd
        own = index.path_of(self.path)
        paths = [own]
        with contextlib.suppress(OSError):
            folder, name = os.path.split(index.path_of(log_of(self.path)))
            stem = name[: -len(".idx")]
            paths += [os.path.join(folder, n) for n in os.listdir(folder) if n.startswith(stem) and n.endswith(".idx")]
        for path in paths:
            if index.inode_of(path) == self.inode:
                with contextlib.suppress(OSError):
                    self._index_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    return self._index_fd
        return -1


def _cut(raw: bytes, start: int, size: int, whole: bool) -> tuple[list[Segment], int, int]:
    """Segments behind ``start``, the end they reach, and the offset from which the records speak.

    ``whole``: these are the records from the first on; else the first one only tells where the second one begins.
    """
    found: list[Segment] = []
    end = begin = 0 if whole else -1
    for kind, when, value in index.records(raw):
        if kind & index.DROPPED:
            if end >= start:
                found.append(Segment(end, value, when, kind))
            continue
        value = min(value, size)
        if end < 0:
            begin = value
        elif value > max(start, end):
            found.append(Segment(max(start, end), value, when, kind))
        end = value
    return found, max(end, 0), max(begin, 0)


def log_of(path: str) -> str:
    """``web.log`` of ``web.log.3``."""
    stem, _, number = path.rpartition(".")
    return stem if stem and number.isdigit() else path


def open_all(path: str) -> list[Part]:
    """The log and its rotated files, oldest first, those that there are."""
    # From the newest to the oldest: a rotation in between then shows a file twice, and never hides one.
    found: list[Part] = []
    number = 0
    gaps = 0
    while gaps < 2:
        try:
            part = Part(f"{path}.{number}" if number else path)
        except OSError:
            gaps += 1
        else:
            if any(part.inode == other.inode for other in found):
                part.close()
            else:
                found.append(part)
        number += 1
    return found[::-1]
