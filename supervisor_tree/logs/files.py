"""A log file being written: opening, size, rotation, index. All of it may block on the disk: writer thread only."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time

from supervisor_tree.logs import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.logs.memo import Memo
    from supervisor_tree.logs.spill import Spill
    from supervisor_tree.logs.streams import Stream

_ENDLESS = 1 << 62
_MARGIN = 64 * 1024
"""Bytes: a file is rotated at a line end in the last so many bytes (or eighth) of its size."""
_TOGETHER = 0.01
"""Seconds: chunks of one stream that follow each other so closely share one record."""


class LogFile:
    """``NAME.log``, its rotated ``NAME.log.1`` (newest) to ``.keep``, and their indexes.

    Opened at the first byte. Not opened with O_APPEND (splice refuses that) but positioned at the end.
    """

    def __init__(self, settings: dict[str, Any], memo: Memo) -> None:
        self._memo = memo
        self.path: str = settings["path"]
        self.limit(settings)
        self.streams: list[Stream] = []
        """Those that write here."""
        self.attached = 0
        """Streams whose end the main thread has not heard of."""
        self.fd = -1
        self.size = 0
        self.regular = True
        """False for a terminal, FIFO or /dev/null: never rotated, no index."""
        self.last = -1
        """Kind of the stream whose bytes were written last."""
        self.open_line = -1
        """Size of the file when its last line was seen to have no end yet …"""
        self.open_until = 0.0
        """… and the monotonic time until which another stream waits for that end."""
        self.trouble: OSError | None = None
        """Why nothing can be written at the moment."""
        self.retry_at = 0.0
        """Monotonic time before which nothing is tried again."""
        self.spills: list[Spill] = []
        """With on_full = "block": taken from the pipe and not yet written."""
        self.waiting: list[Stream] = []
        """With on_full = "block": streams that are left alone while there is trouble."""
        self._index_fd = -1
        self._inode = 0
        self._records: list[bytes] = []
        self._last: tuple[int, float] = (-1, 0.0)

    def limit(self, settings: dict[str, Any]) -> None:
        """Take over (new) settings; they count from the next chunk on."""
        self.max_size: int = settings["max_size"] or _ENDLESS
        self.keep: int = settings["keep"]
        self.max_age: float | None = settings.get("max_age")
        self.block: bool = settings["on_full"] == "block"
        self._allowed = self.max_size
        self.margin = min(_MARGIN, self.max_size // 8)

    @property
    def room(self) -> int:
        """Bytes that still fit before it has to be rotated."""
        return self._allowed - self.size if self.regular else _ENDLESS

    def open(self) -> None:
        """Open and position at the end, make the index whole.

        Raises:
            OSError: as for any file.
        """
        if self.fd >= 0:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        try:
            self.fd = self._open(flags)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.ENXIO, errno.EINVAL):
                raise
            self.fd = self._open(flags & ~os.O_RDWR | os.O_WRONLY)
        about = os.fstat(self.fd)
        self.regular = stat.S_ISREG(about.st_mode)
        if self.regular:
            self._inode = about.st_ino
            self.size = os.lseek(self.fd, 0, os.SEEK_END)
            self._open_index(about)

    def _open(self, flags: int) -> int:
        try:
            return os.open(self.path, flags, 0o644)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), 0o755, exist_ok=True)
            return os.open(self.path, flags, 0o644)

    def check(self) -> None:
        """Notice that somebody else truncated, moved, deleted or wrote to the file, and go on in the right place."""
        if not self.regular or self.fd < 0:
            return
        about = os.fstat(self.fd)
        if not about.st_nlink or not self._is_ours():
            self.close()
            self.open()
        elif about.st_size != self.size:
            shrunk = about.st_size < self.size
            self.size = os.lseek(self.fd, 0, os.SEEK_END)
            if self._index_fd >= 0:
                if shrunk:
                    self._records.clear()
                    os.ftruncate(self._index_fd, index.HEADER.size)
                self.write_index()
                self._cover(index.UNKNOWN, time.time())

    def _is_ours(self) -> bool:
        try:
            return os.stat(self.path).st_ino == self._inode
        except OSError:
            return False

    def at_line_start(self) -> bool:
        """Whether what is written so far ends with a newline (or is empty)."""
        return not self.size or os.pread(self.fd, 1, self.size - 1) == b"\n"

    def note(self, kind: int, grown: int) -> None:
        """``grown`` bytes of a stream have been written."""
        if not grown:
            return
        self.size += grown
        self.last = kind
        if not self.regular:
            return
        when = time.time()
        last, since = self._last
        if self._records and kind == last and 0 <= when - since < _TOGETHER:
            self._records[-1] = record = index.record(kind, since, self.size)
        else:
            record = index.record(kind, when, self.size)
            self._records.append(record)
            self._last = kind, when
        self._memo.note(self._inode, record)

    def note_dropped(self, kind: int, size: int) -> None:
        """``size`` bytes of a stream are missing from here on."""
        if self.regular:
            record = index.record(kind | index.DROPPED, time.time(), size)
            self._records.append(record)
            self._memo.note(self._inode, record)
            self._last = (-1, 0.0)

    def write_index(self) -> None:
        """Write the records collected so far. When the disk takes none the next record speaks for their bytes."""
        data = b"".join(self._records)
        self._records.clear()
        if not data or self._index_fd < 0:
            return
        try:
            done = os.write(self._index_fd, data)
        except OSError:
            done = 0
        odd = done % index.SIZE
        if odd:
            with contextlib.suppress(OSError):
                os.ftruncate(self._index_fd, os.fstat(self._index_fd).st_size - odd)

    def rotate(self) -> None:
        """Begin a new file; ``NAME.log`` becomes ``.1``, ``.1`` becomes ``.2`` up to the first gap; the oldest goes.

        Raises:
            OSError: the folder takes no rename; the file then grows by another `max_size` before the next try.
        """
        self._allowed = self.size + self.max_size
        self.close()
        free = 1
        while free <= self.keep and os.path.lexists(f"{self.path}.{free}"):
            free += 1
        if free > self.keep:
            _remove(f"{self.path}.{self.keep}" if self.keep else self.path)
            free = self.keep
        for number in range(free, 0, -1):
            older = f"{self.path}.{number - 1}" if number > 1 else self.path
            # The index goes first: a reader that finds a file without one looks for its inode in the others.
            with contextlib.suppress(FileNotFoundError):
                os.rename(index.path_of(older), index.path_of(f"{self.path}.{number}"))
            os.rename(older, f"{self.path}.{number}")
        self._allowed = self.max_size
        self._forget_old()
        # Where this fails, the next bytes find out.
        with contextlib.suppress(OSError):
            self.open()

    def _forget_old(self) -> None:
        """Remove what was rotated out earlier than `keep` or `max_age` allow."""
        number = self.keep + 1
        while os.path.lexists(f"{self.path}.{number}"):
            _remove(f"{self.path}.{number}")
            number += 1
        if self.max_age is None:
            return
        oldest = time.time() - self.max_age
        for number in range(1, self.keep + 1):
            with contextlib.suppress(FileNotFoundError):
                if os.stat(f"{self.path}.{number}").st_mtime < oldest:
                    _remove(f"{self.path}.{number}")

    def close(self) -> None:
        if self.fd < 0:
            return
        self.write_index()
        with contextlib.suppress(OSError):
            os.close(self.fd)
        self.fd = -1
        self.size = 0
        if self._index_fd >= 0:
            os.close(self._index_fd)
            self._index_fd = -1

    def _open_index(self, about: os.stat_result) -> None:
        path = index.path_of(self.path)
        try:
            self._index_fd = fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            known = index.inode_of(path)
            end, self.last = index.last(fd) if known == about.st_ino else (0, -1)
            if known != about.st_ino or end > self.size:
                os.ftruncate(fd, 0)
                os.write(fd, index.header(about.st_ino))
                end = 0
            odd = (os.fstat(fd).st_size - index.HEADER.size) % index.SIZE
            if odd:
                os.ftruncate(fd, os.fstat(fd).st_size - odd)
            data = b"".join(self._memo.left(about.st_ino, end, self.size))
            os.write(fd, data)
            for kind, _, value in index.records(data):
                if not kind & index.DROPPED:
                    end, self.last = value, kind
            if end < self.size:
                whose = self._memo.staged()
                self._cover(whose[1] if whose and whose[0] == self.path else index.UNKNOWN, about.st_mtime)
        except OSError:
            # An index is worth less than the bytes: they go on without it and a later start rebuilds it.
            if self._index_fd >= 0:
                os.close(self._index_fd)
                self._index_fd = -1

    def _cover(self, kind: int, when: float) -> None:
        """One record for all bytes that the index does not know."""
        if self.size:
            os.write(self._index_fd, index.record(kind, when, self.size))
            self.last = kind


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(index.path_of(path))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
