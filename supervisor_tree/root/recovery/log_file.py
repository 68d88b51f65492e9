"""The log that people read: `[2026-11-22T14:15:03Z] [WARN] Recovery triggered for exit code: 2 …`.

The tree and any number of `guard`s may write one file: each line goes in by one append, and who finds the file too
large turns it under a lock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable

import msgspec

from supervisor_tree.config.tree_kinds import LogSettings
from supervisor_tree.config.variables import finish
from supervisor_tree.core.recovery.words import Said
from supervisor_tree.root import clocks


def stamp(wall: float) -> str:
    """UTC, whole seconds: `2026-11-22T14:15:03Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wall))


def names(wall: float, run: str) -> dict[str, str]:
    """What `${run.time}` and `${run.id}` are in a rule: the time at which a recovery came up, and whose it is."""
    return {"run.time": clocks.stamp(wall), "run.id": run}


def of(log: LogSettings | None, wall: float, run: str) -> LogSettings | None:
    """A log whose name may hold these."""
    return None if log is None else msgspec.structs.replace(log, file=finish(log.file, names(wall, run)))


def lines(said: Iterable[Said], wall: float) -> list[str]:
    """As they stand in the log, each without its end."""
    return [f"[{stamp(wall)}] [{level}] {' '.join(text.splitlines())}" for level, text in said]


def append(log: LogSettings, rows: Iterable[str]) -> None:
    """Add lines, and turn the file when it is larger than `max_size`. Waits for the disk: not for the root's loop.

    Raises:
        OSError: it can't be written.
    """
    folder = os.path.dirname(log.file)
    if folder:
        os.makedirs(folder, exist_ok=True)
    fd = os.open(log.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        data = "".join(f"{row}\n" for row in rows).encode(errors="replace")
        while data:
            data = data[os.write(fd, data) :]
        if log.max_size and os.fstat(fd).st_size > log.max_size:
            _turn(log, fd)
    finally:
        os.close(fd)


def _turn(log: LogSettings, fd: int) -> None:
    """`guardian.log` becomes `guardian.log.1`, that becomes `.2`, up to `keep`."""
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        now = os.stat(log.file)
        if now.st_ino != os.fstat(fd).st_ino or now.st_size <= log.max_size:
            return  # somebody else has turned it
        for number in range(log.keep - 1, 0, -1):
            if os.path.exists(f"{log.file}.{number}"):
                os.replace(f"{log.file}.{number}", f"{log.file}.{number + 1}")
        if log.keep:
            os.replace(log.file, f"{log.file}.1")
        else:
            os.unlink(log.file)
    except FileNotFoundError:
        return
