"""Events about files on one descriptor: inotify, kqueue, or (neither) a look at the clock's tick."""

from __future__ import annotations

import errno
import os
import select
import struct
import sys

from supervisor_tree.system import libc
from supervisor_tree.system.means import SystemMeansError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_HEAD = struct.Struct("iIII")
_IN_MODIFY = 0x2
_IN_ATTRIB = 0x4
_IN_MOVED_FROM = 0x40
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_DELETE = 0x200
_IN_DELETE_SELF = 0x400
_IN_MOVE_SELF = 0x800
_IN_IGNORED = 0x8000
_WANTED = (
    _IN_MODIFY | _IN_ATTRIB | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE | _IN_DELETE_SELF | _IN_MOVE_SELF
)
_KINDS = (
    (_IN_MODIFY | _IN_ATTRIB, "changed"),
    (_IN_CREATE | _IN_MOVED_TO, "created"),
    (_IN_DELETE | _IN_MOVED_FROM | _IN_DELETE_SELF | _IN_MOVE_SELF, "gone"),
)


class FileWatcher:
    """Watches files and directories; `fileno` is readable when `events` has something.

    An event is ``(path, kind)``: ``changed`` (bytes, or the number of links), ``created``, ``gone``
    (deleted or renamed away). Of a watched directory, paths of its entries are reported too, where
    the system says them (inotify); otherwise the directory itself is ``changed``. Events may be
    reported more often than they happened, never less: look again after each.
    """

    every: float | None = None
    """None: `fileno` tells. Seconds: it stays silent, and who selects on it must ask `events` so often."""

    tells_entries = False
    """Of a watched directory, changes inside its files are told too: they need no watch of their own."""

    def fileno(self) -> int:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add(self, path: str) -> None:
        """Watch ``path`` as it is now; adding it again after it was replaced watches the new one.

        Raises:
            OSError: there is no such path.
            SystemMeansError: no more watches are to be had.
        """
        raise NotImplementedError

    def events(self) -> list[tuple[str, str]]:
        """What happened since the last call. Never waits."""
        raise NotImplementedError

    def wait(self, timeout: float | None = None) -> list[tuple[str, str]]:
        """`events`, waiting up to ``timeout`` seconds (None: for ever) for the first."""
        poller = select.poll()
        poller.register(self.fileno(), select.POLLIN)
        return self.events() if poller.poll(None if timeout is None else timeout * 1000) else []

    def close(self) -> None:
        raise NotImplementedError


class InotifyWatcher(FileWatcher):
    tells_entries = True

    def __init__(self) -> None:
        self._fd = libc.call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        self._paths: dict[int, str] = {}

    def fileno(self) -> int:
        return self._fd

    def add(self, path: str) -> None:
        try:
            number = libc.call("inotify_add_watch", self._fd, os.fsencode(path) + b"\0", _WANTED)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise SystemMeansError(
                    "no more file watches: raise fs.inotify.max_user_watches (sysctl) or watch fewer files"
                ) from error
            raise
        self._paths[number] = path

    def events(self) -> list[tuple[str, str]]:
        try:
            raw = os.read(self._fd, 65536)
        except BlockingIOError:
            return []
        found: list[tuple[str, str]] = []
        at = 0
        while at < len(raw):
            number, mask, _, size = _HEAD.unpack_from(raw, at)
            at += _HEAD.size
            entry = raw[at : at + size].rstrip(b"\0")
            at += size
            if mask & _IN_IGNORED:
                self._paths.pop(number, None)
                continue
            path = self._paths.get(number)
            if path is None:
                continue
            if entry:
                path = os.path.join(path, os.fsdecode(entry))
            found += [(path, kind) for bits, kind in _KINDS if mask & bits]
        return found

    def close(self) -> None:
        os.close(self._fd)


if sys.platform != "linux":

    class KqueueWatcher(FileWatcher):
        """One open descriptor a path, which a rename or removal does not disturb."""

        def __init__(self) -> None:
            self._queue = select.kqueue()
            self._paths: dict[int, str] = {}

        def fileno(self) -> int:
            return self._queue.fileno()

        def add(self, path: str) -> None:
            fd = os.open(path, getattr(os, "O_EVTONLY", os.O_RDONLY) | os.O_CLOEXEC)
            what = (
                select.KQ_NOTE_WRITE
                | select.KQ_NOTE_EXTEND
                | select.KQ_NOTE_ATTRIB
                | select.KQ_NOTE_DELETE
                | select.KQ_NOTE_RENAME
            )
            self._queue.control(
                [select.kevent(fd, select.KQ_FILTER_VNODE, select.KQ_EV_ADD | select.KQ_EV_CLEAR, what)], 0
            )
            for old, known in list(self._paths.items()):
                if known == path:
                    self._drop(old)
            self._paths[fd] = path

        def events(self) -> list[tuple[str, str]]:
            found = []
            for event in self._queue.control([], 64, 0):
                path = self._paths.get(event.ident)
                if path is None:
                    continue
                lost = event.fflags & (select.KQ_NOTE_DELETE | select.KQ_NOTE_RENAME)
                found.append((path, "gone" if lost else "changed"))
                if lost:
                    self._drop(event.ident)
            return found

        def close(self) -> None:
            for fd in list(self._paths):
                self._drop(fd)
            self._queue.close()

        def _drop(self, fd: int) -> None:
            del self._paths[fd]
            os.close(fd)


class StatWatcher(FileWatcher):
    """The last resort, and what stands for kqueue where the Linux means are switched off: stat every 50 ms.

    Commands in the foreground (`logs -f`, `events -f`) wait on it, and a thread of the root for a stack dump; never the
    loop of keeper, root or logger.
    """

    every = 0.05

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, int, int] | None] = {}
        # Always readable would spin a loop that selects on it; never readable is honest: `wait` is the way.
        self._read, self._write = os.pipe()

    def fileno(self) -> int:
        return self._read

    def add(self, path: str) -> None:
        os.stat(path)
        self._seen[path] = self._look(path)

    def events(self) -> list[tuple[str, str]]:
        found = []
        for path, before in self._seen.items():
            now = self._look(path)
            if now == before:
                continue
            self._seen[path] = now
            if now is None:
                found.append((path, "gone"))
            elif before is None:
                found.append((path, "created"))
            else:
                found.append((path, "gone" if now[:2] != before[:2] else "changed"))
        return found

    def wait(self, timeout: float | None = None) -> list[tuple[str, str]]:
        import time

        end = None if timeout is None else time.monotonic() + timeout
        while not (found := self.events()):
            if end is not None and time.monotonic() >= end:
                break
            time.sleep(self.every)  # noqa: TID251 - there is no event to wait for
        return found

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)

    @staticmethod
    def _look(path: str) -> tuple[int, int, int, int] | None:
        try:
            seen = os.stat(path)
        except OSError:
            return None
        return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns
