"""Old files by glob, removed: only regular files, only where the glob says, none that somebody has open.

- Links are left alone and never followed out of the folder that the glob spells out; folders are never removed.
- A file that another process has open or locked is in use, however old it looks, and left for the next time.
- The tree's own files (journal, lock, state; not logs, runs and incidents) are never removed, whatever the glob says.

Works on the disk: for a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
import stat
from collections.abc import Iterable, Sequence

from msgspec import Struct

from supervisor_tree.system import means

_WILD = re.compile(r"[*?[]")
_OURS_THAT_MAY_GO = ("logs", "jobs", "incidents")
_NAMED = 5
"""Names of removed files that are told."""


class Removed(Struct):
    """What one look has done."""

    count: int = 0
    bytes: int = 0
    files: list[str] = []
    """The first few."""
    in_use: int = 0
    failed: int = 0
    reason: str | None = None
    """Why the first of those that failed did."""


def remove_old(
    patterns: Sequence[str], max_age: float | None, keep: int, now: float, state_dir: str, own: Iterable[str] = ()
) -> Removed:
    """Remove what matches, but for the newest ``keep`` and what is not older than ``max_age`` seconds (None: however
    new). ``own``: files that are written right now and never removed."""
    spared = {os.path.realpath(path) for path in own}
    found = sorted(_found(patterns, state_dir, spared), key=lambda each: (-each[1].st_mtime, each[0]))
    done = Removed()
    for path, seen in found[keep:]:
        if max_age is not None and now - seen.st_mtime <= max_age:
            continue
        try:
            if not _unused(path, seen):
                done.in_use += 1
                continue
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            done.failed += 1
            done.reason = done.reason or f"{path}: {error.strerror}"
            continue
        done.count += 1
        done.bytes += seen.st_size
        if len(done.files) < _NAMED:
            done.files.append(path)
    return done


def _found(patterns: Sequence[str], state_dir: str, spared: set[str]) -> list[tuple[str, os.stat_result]]:
    found: dict[tuple[int, int], tuple[str, os.stat_result]] = {}
    for pattern in patterns:
        base = os.path.realpath(_spelt(pattern))
        for path in glob.iglob(pattern, recursive=True):
            try:
                seen = os.lstat(path)
            except OSError:
                continue
            folder = os.path.realpath(os.path.dirname(path))
            real = os.path.join(folder, os.path.basename(path))
            if (
                stat.S_ISREG(seen.st_mode)
                and _below(folder, base)
                and real not in spared
                and not _ours(real, state_dir)
            ):
                found[(seen.st_dev, seen.st_ino)] = (path, seen)
    return list(found.values())


def _spelt(pattern: str) -> str:
    """The folder that the glob spells out before its first wildcard."""
    parts = pattern.split("/")
    wild = next((place for place, part in enumerate(parts) if _WILD.search(part)), len(parts) - 1)
    return "/".join(parts[:wild]) or "/"


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _ours(path: str, state_dir: str) -> bool:
    state = os.path.realpath(state_dir)
    return _below(path, state) and not any(_below(path, os.path.join(state, each)) for each in _OURS_THAT_MAY_GO)


def _unused(path: str, seen: os.stat_result) -> bool:
    """Whether it is still that file, as old as it was, and nobody has it open or locked."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        now = os.fstat(fd)
        if (now.st_dev, now.st_ino, now.st_mtime_ns) != (seen.st_dev, seen.st_ino, seen.st_mtime_ns):
            return False
        if means.open_elsewhere(fd):
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # no locks on this file system
            return True
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        return True
    finally:
        os.close(fd)
