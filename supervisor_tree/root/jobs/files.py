"""The files of jobs: schedule state, the last run's status, the records of ended runs. Written by threads.

`jobs.json` and `last_run_status.json` are replaced whole, `runs.jsonl` is appended to; all but the status, which
decides nothing, is forced to the disk. A disk that takes nothing is said once; what is to be written waits (only the
newest of what is replaced), and no run waits for it. The journal has every record as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from errno import ENOSPC
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from supervisor_tree.root.writing import Writer
from supervisor_tree.system import disk, means

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

KEPT = 200
"""Records of ended runs, and runs' own logs, that stay of each job."""
_MOST = 2 * KEPT
"""Lines of `runs.jsonl` beyond which the oldest go."""

Record = dict[str, Any]


def folder(state_dir: str, job: str) -> str:
    """Where a job's files lie."""
    return os.path.join(state_dir, "jobs", job)


class _Line(NamedTuple):
    """A line that is not on the disk yet."""

    number: int
    data: bytes
    done: Callable[[], None]


class JobFiles:
    """Writes what it is given, one after the other."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._writer = Writer(shell, self._failing, self._mended)
        self._state = Writer(shell, self._failing, self._mended)
        self._troubles = 0
        """Of these, how many are held up."""
        self._ended: dict[str, list[_Line]] = {}
        """By the folder of the job: lines for its `runs.jsonl`, in order."""
        self._count = 0
        self._lines: dict[str, int] = {}
        """Lines of each `runs.jsonl`, as far as they were counted."""

    def replace(self, path: str, text: Callable[[], bytes]) -> None:
        """Have a file replaced whole, by what ``text`` is when its turn has come: it may change often."""
        self._writer.put(path, lambda: partial(_replace, path, text()))

    def keep(self, path: str, text: Callable[[], bytes]) -> None:
        """As `replace`, forced to the disk: by a thread of its own, that it is there soon."""
        self._state.put(path, lambda: partial(_keep, path, text()))

    def append(self, job: str, record: Record, done: Callable[[], None]) -> None:
        """Have the record of an ended run added; ``done`` is called once it need not be known any more: it is on the
        disk, or the disk has taken nothing for so long that it would not stay there."""
        own = folder(self._shell.plan.state_dir, job)
        waiting = self._ended.setdefault(own, [])
        self._count += 1
        waiting.append(_Line(self._count, msgspec.json.encode(record) + b"\n", done))
        if len(waiting) > _MOST:
            waiting.pop(0).done()

        def prepare() -> Callable[[], int]:
            lines = list(self._ended[own])

            def work() -> int:
                self._append(own, [line.data for line in lines])
                return lines[-1].number

            return work

        self._writer.put(own, prepare, lambda last: self._appended(own, last))

    def _appended(self, own: str, last: int) -> None:
        lines = self._ended.pop(own)
        later = [line for line in lines if line.number > last]
        if later:
            self._ended[own] = later
        for line in lines[: len(lines) - len(later)]:
            line.done()

    async def finish(self, patience: float) -> None:
        """Wait so many seconds at most until all is written: the tree is over."""
        await asyncio.gather(self._writer.finish(patience), self._state.finish(patience))

    def _failing(self, error: OSError) -> None:
        self._troubles += 1
        if self._troubles == 1:
            said = error.strerror or str(error)
            self._shell.note("job_files_not_written", None, error=said, file=error.filename)

    def _mended(self) -> None:
        self._troubles -= 1
        if not self._troubles:
            self._shell.note("job_files_written", None)

    # In the thread

    def _append(self, own: str, lines: list[bytes]) -> None:
        os.makedirs(own, 0o700, exist_ok=True)
        path = os.path.join(own, "runs.jsonl")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            # A line that was cut off, by a full disk or a crash, must not swallow this one.
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            data = (b"\n" if torn else b"") + b"".join(lines)
            if os.write(fd, data) != len(data):
                os.ftruncate(fd, size)
                raise OSError(ENOSPC, os.strerror(ENOSPC), path)
            means.force(fd)
            if not size:
                disk.force_folder(own)
        finally:
            os.close(fd)
        if path not in self._lines:
            with open(path, "rb") as file:
                self._lines[path] = sum(1 for _ in file)
        else:
            self._lines[path] += len(lines)
        if self._lines[path] > _MOST:
            with open(path, "rb") as file:
                last = deque(file, KEPT)
            disk.replace(path, b"".join(last), forced=True)
            self._lines[path] = len(last)
            _remove_logs(own, last)


def _replace(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    disk.replace(path, data)


def _keep(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    disk.keep(path, data)


def _remove_logs(own: str, kept: deque[bytes]) -> None:
    """Remove the logs that lie in the job's own folder and belong to no run that is still known."""
    known = set()
    oldest = float("inf")
    for line in kept:
        with contextlib.suppress(msgspec.DecodeError):
            record = msgspec.json.decode(line)
            known.add(record["run"])
    for run in known:
        with contextlib.suppress(OSError):
            oldest = min(oldest, os.stat(os.path.join(own, f"{run}.log")).st_mtime)
    for path in glob.iglob(os.path.join(glob.escape(own), "*.log*")):
        run = os.path.basename(path).partition(".log")[0]
        with contextlib.suppress(OSError):
            # One that is younger may be of a run that goes on.
            if run not in known and os.stat(path).st_mtime < min(oldest, time.time() - 60.0):
                os.unlink(path)


def read_backwards(state_dir: str, job: str) -> Iterator[Record]:
    """The records of a job's ended runs, the newest first, each once. Damaged lines are passed over."""
    path = os.path.join(folder(state_dir, job), "runs.jsonl")
    seen: set[str] = set()
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return
    for line in reversed(lines):
        try:
            record = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        if isinstance(record, dict) and isinstance(record.get("run"), str) and record["run"] not in seen:
            seen.add(record["run"])
            yield record
