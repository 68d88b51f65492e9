"""Lock files: who holds one, and the removal of those that no living process holds.

A lock file is held when a living process has it locked (`flock`, `fcntl`, open file description locks), has it
open, or is named in it. Whoever deletes a held one lets a second instance in beside the first: the new one locks a
new file of the same name. So what is removed is locked by us first, on the very inode, and moved aside before it
is unlinked: who opened it in between is seen, and it is put back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time

from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST = 4096
"""Bytes that are read of a lock file."""
_PID = re.compile(rb"""\bpid["']?\s*[=:]\s*["']?(\d{1,10})\b""", re.IGNORECASE)
_BARE = re.compile(rb"\s*(\d{1,10})(?::\S+)?\s*(?:\n|\Z)")
"""A number alone on the first line, or `PID:START`."""
_SLACK = 2.0
"""Seconds by which a file may be older than the process that wrote it: clocks of files and processes are coarse."""


_TOLD = 5
"""Files that are named when many were kept."""


class Lock:
    """One lock file, as seen in one look. ``state``: held, stale, or not ours to judge (unknown)."""

    __slots__ = ("path", "pid", "program", "state", "why")

    def __init__(self, path: str, state: str, why: str, pid: int | None = None) -> None:
        self.path = path
        self.state = state
        self.why = why
        """What tells: “locked by …”, “its process 17 is gone”."""
        self.pid = pid
        """Of the holder; None where nobody holds it, or it can't be told who does."""
        self.program = means.command(pid) if pid is not None else None


class Removal:
    """What became of one lock file."""

    __slots__ = ("lock", "removed")

    def __init__(self, lock: Lock, removed: bool) -> None:
        self.lock = lock
        self.removed = removed

    @property
    def words(self) -> str:
        """`kept state/x.lock: locked by python daemon.py (pid 17)`."""
        return f"{'removed' if self.removed else 'kept'} {self.lock.path}: {self.lock.why}"


def find(globs: Iterable[str]) -> list[str]:
    """The paths that the globs name, each once, in order; `**` goes through folders."""
    import glob

    found = (path for each in globs for path in sorted(glob.glob(each, recursive=True, include_hidden=True)))
    return list(dict.fromkeys(found))


def look(path: str) -> Lock | None:
    """Who holds the lock file; None: there is none. It is locked for an instant where nobody else has it."""
    found = _open(path)
    if not isinstance(found, int):
        return found
    try:
        return _judge(path, found)
    finally:
        os.close(found)


def clear(path: str) -> Removal | None:
    """Remove the lock file unless somebody holds it; None: there is none. Never raises for what a file can be."""
    found = _open(path)
    if not isinstance(found, int):
        return None if found is None else Removal(found, False)
    try:
        lock = _judge(path, found)
        if lock.state != "stale":
            return Removal(lock, False)
        return _remove(lock, found)
    finally:
        os.close(found)


def told(removals: Sequence[Removal]) -> tuple[bool, str]:
    """How many were removed, and what was kept and why. A held one is no failure; one that can't be removed is."""
    if not removals:
        return True, "no lock files to clear"
    removed = sum(removal.removed for removal in removals)
    stuck = any(not removal.removed and removal.lock.state == "stale" for removal in removals)
    kept = [removal.words for removal in removals if not removal.removed]
    more = [f"kept {len(kept) - _TOLD} more"] if len(kept) > _TOLD else []
    said = [f"cleared {removed} stale lock file{'' if removed == 1 else 's'}", *kept[:_TOLD], *more]
    return not stuck, "; ".join(said)


def _open(path: str) -> int | Lock | None:
    """A descriptor of the lock file, writable where it may be; a verdict where there can be none."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return Lock(path, "unknown", "it is no regular file")
        flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open(path, os.O_RDWR | flags)
        except PermissionError:
            fd = os.open(path, os.O_RDONLY | flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Lock(path, "unknown", f"it can't be looked at: {error.strerror}")
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return Lock(path, "unknown", "it is no regular file")
    return fd


def _judge(path: str, fd: int) -> Lock:
    """Who holds the file behind ``fd``. A stale one is locked by us afterwards, until ``fd`` is closed."""
    status = os.fstat(fd)
    holders = [pid for pid in means.lock_holders(status.st_dev, status.st_ino) if pid != os.getpid()]
    if not holders and _lock(fd):
        return _by_openers(path, status) or _by_content(path, fd, status)
    # The system may not name who locks it: a process of another container, or one that has passed the lock on.
    pid = holders[0] if holders else next(iter(_openers(path, status)), None)
    return Lock(path, "held", f"locked by {_told(pid)}", pid)


def _lock(fd: int) -> bool:
    """Lock the file in both ways that there are. False: somebody else has, in one of them."""
    writable = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Meets open file description locks, too. A descriptor for reading can only ask for a shared lock.
        fcntl.lockf(fd, (fcntl.LOCK_EX if writable else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:  # held; or a file system without locks, of whose files nobody can say that they are not
        return False
    return True


def _openers(path: str, status: os.stat_result, *names: str) -> list[int]:
    names = (os.path.basename(path), *names)
    return [pid for pid in means.openers(status.st_dev, status.st_ino, names) if pid != os.getpid()]


def _by_openers(path: str, status: os.stat_result, *names: str) -> Lock | None:
    openers = _openers(path, status, *names)
    return Lock(path, "held", f"open in {_told(openers[0])}", openers[0]) if openers else None


def _by_content(path: str, fd: int, status: os.stat_result) -> Lock:
    """The process that the file names holds it while it lives, if it is older than what it is said to have written."""
    text = os.pread(fd, _MOST, 0)
    named = _PID.search(text) or _BARE.match(text)
    if named is None:
        return Lock(path, "stale", "nobody has it locked, and it names no process")
    pid = int(named[1])
    seen = means.process(pid) if 0 < pid < 1 << 31 else None
    if seen is None or seen.dead:
        return Lock(path, "stale", f"nobody has it locked, and its process {pid} is gone")
    usage = means.usage(pid)
    if usage is not None and time.time() - usage[2] > status.st_mtime + _SLACK:
        return Lock(path, "stale", f"nobody has it locked, and process {pid} is another one by now, begun later")
    return Lock(path, "held", f"it names {_told(pid)}, which lives", pid)


def _told(pid: int | None) -> str:
    if pid is None:
        return "a process that can't be seen from here"
    return f"{means.command(pid) or '?'} (pid {pid})"


def _remove(lock: Lock, fd: int) -> Removal:
    """Remove a file that we have locked, and no other that may have taken its name."""
    aside = f"{lock.path}.stale-{os.getpid()}"
    ours = os.fstat(fd)
    try:
        now = os.lstat(lock.path)
        if (now.st_dev, now.st_ino) != (ours.st_dev, ours.st_ino):
            return Removal(Lock(lock.path, "held", "it was made anew while it was looked at"), False)
        os.rename(lock.path, aside)
    except FileNotFoundError:
        return Removal(lock, True)
    except OSError as error:
        return Removal(Lock(lock.path, "stale", f"it can't be removed: {error.strerror}"), False)
    moved = os.lstat(aside)
    same = (moved.st_dev, moved.st_ino) == (ours.st_dev, ours.st_ino)
    held = _by_openers(lock.path, ours, os.path.basename(aside)) if same else None
    if same and held is None:
        os.unlink(aside)
        return Removal(lock, True)
    # Somebody opened it since we looked, or put another in its place: it gets its name back, unless that is taken.
    with contextlib.suppress(FileExistsError):
        os.link(aside, lock.path, follow_symlinks=False)
    os.unlink(aside)
    return Removal(held or Lock(lock.path, "held", "it was made anew while it was looked at"), False)
