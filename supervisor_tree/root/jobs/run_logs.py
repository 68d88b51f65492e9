"""Where the output of a run lies: which bytes of which files are an attempt's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from supervisor_tree import config
from supervisor_tree.root.outputs.runs import Piece, RunOutput, read_output

if TYPE_CHECKING:
    from supervisor_tree.config.job_settings import JobSettings
    from supervisor_tree.config.tree_kinds import LogSettings

_TAIL = 20
"""Lines of output kept with the record of a run."""
_LONGEST = 1000
"""Characters of one of them."""
_READ = 64 * 1024


class Mark(Struct):
    """A log file as it was when an attempt began: what is behind ``size`` is the attempt's."""

    path: str
    inode: int = 0
    size: int = 0


class Begin(Struct):
    """Where the output of a run's present attempt begins; handed on as state."""

    attempt: int
    marks: list[Mark]
    first: list[Mark] = []
    """Where that of its first one began."""


def log_of(plan: config.Plan, job: JobSettings, run: str) -> LogSettings:
    """The log of a run."""
    return config.run_log(plan, job, config.run_names(run))


def marks(log: LogSettings) -> list[Mark]:
    """How its files are now; devices can't be read back. Reads the disk."""
    paths = [path for path in dict.fromkeys((log.file, log.stderr)) if path is not None]
    return [_mark(path) for path in paths if not path.startswith("/dev/")]


def _mark(path: str) -> Mark:
    try:
        about = os.stat(path)
    except OSError:
        return Mark(path)
    return Mark(path, about.st_ino, about.st_size)


def output(begin: list[Mark]) -> RunOutput:
    """What was written since, also where a file was rotated meanwhile. Reads the disk."""
    return RunOutput(tuple(piece for mark in begin for piece in _pieces(mark)))


def _pieces(mark: Mark) -> Iterator[Piece]:
    try:
        now = os.stat(mark.path).st_ino
    except OSError:
        return
    if now == mark.inode or not mark.inode:
        yield Piece(mark.path, mark.size if now == mark.inode else 0)
        return
    # Rotated: the one of then is NAME.N by now, and those before it are newer.
    newer: list[Piece] = []
    number = 1
    while True:
        path = f"{mark.path}.{number}"
        try:
            inode = os.stat(path).st_ino
        except OSError:
            break
        newer.append(Piece(path, mark.size if inode == mark.inode else 0))
        if inode == mark.inode:
            break
        number += 1
    yield from reversed(newer)
    yield Piece(mark.path)


def tail(written: RunOutput) -> list[str]:
    """The last lines of it. Reads the disk."""
    lines = read_output(written, _READ).splitlines()
    return [line[:_LONGEST] for line in lines[-_TAIL:]]
