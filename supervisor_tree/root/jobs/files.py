"""The files of jobs: schedule state, the last run's status, the records of ended runs. Written by a thread, in order.

`jobs.json` and `last_run_status.json` are replaced whole, `runs.jsonl` is appended to. A disk that takes nothing is
said once; what is to be written waits (only the newest of what is replaced), and no run waits for it. The journal has
every record as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.root import files

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

KEPT = 200
"""Records of ended runs, and runs' own logs, that stay of each job."""
_MOST = 2 * KEPT
"""Lines of `runs.jsonl` beyond which the oldest go."""
_TRY_AGAIN = 5.0
"""Seconds between two attempts to write to a disk that is full."""

Record = dict[str, Any]


def folder(state_dir: str, job: str) -> str:
    """Where a job's files lie."""
    return os.path.join(state_dir, "jobs", job)


class JobFiles:
    """Writes what it is given, one after the other."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._queue: deque[str] = deque()
        self._work: dict[str, Callable[[], None]] = {}
        self._done: dict[str, Callable[[], None]] = {}
        self._late: dict[str, Callable[[], bytes]] = {}
        self._count = 0
        self._lines: dict[str, int] = {}
        """Lines of each `runs.jsonl`, as far as they were counted."""
        self._task: asyncio.Task[None] | None = None
        self._trouble: str | None = None

    # What is to be written

    def replace(self, path: str, data: bytes) -> None:
        """Have a file replaced whole; of several that wait for one path only the last counts."""

        def work() -> None:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            files.replace(path, data)

        self._add(path, work)

    def replace_late(self, path: str, text: Callable[[], bytes]) -> None:
        """As `replace`, of what is made (on the loop) when its turn has come: it may change often."""
        self._late[path] = text
        self._add(path, _nothing)

    def append(self, job: str, record: Record, done: Callable[[], None]) -> None:
        """Have the record of an ended run added; ``done`` is called once it is on the disk."""
        own = folder(self._shell.plan.state_dir, job)
        line = msgspec.json.encode(record) + b"\n"

        def work() -> None:
            self._append(own, line)

        self._count += 1
        self._add(f"{own}#{self._count}", work, done)

    def _add(self, key: str, work: Callable[[], None], done: Callable[[], None] | None = None) -> None:
        if key not in self._work:
            self._queue.append(key)
        self._work[key] = work
        if done is not None:
            self._done[key] = done
        if self._task is None:
            self._task = self._shell.loop.create_task(self._write())

    async def _write(self) -> None:
        shell = self._shell
        while self._queue:
            key = self._queue[0]
            late = self._late.pop(key, None)
            if late is not None:
                self.replace(key, late())
            work = self._work[key]
            try:
                await shell.loop.run_in_executor(None, work)
            except OSError as error:
                if self._trouble is None:
                    self._trouble = error.strerror or str(error)
                    shell.note("job_files_not_written", None, error=self._trouble, file=error.filename)
                    shell.flush()
                await asyncio.sleep(_TRY_AGAIN)
                continue
            if self._trouble is not None:
                self._trouble = None
                shell.note("job_files_written", None)
                shell.flush()
            if self._work[key] is not work or key in self._late:
                continue  # newer meanwhile
            self._queue.popleft()
            del self._work[key]
            done = self._done.pop(key, None)
            if done is not None:
                done()
                shell.flush()
        self._task = None

    async def finish(self, patience: float) -> None:
        """Wait so many seconds at most until all is written: the tree is over."""
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._task), patience)

    # In the thread

    def _append(self, own: str, line: bytes) -> None:
        os.makedirs(own, 0o700, exist_ok=True)
        path = os.path.join(own, "runs.jsonl")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            # A line that was cut off, by a full disk or a crash, must not swallow this one.
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            data = b"\n" + line if torn else line
            if os.write(fd, data) != len(data):
                os.ftruncate(fd, size)
                raise OSError(28, os.strerror(28), path)
        finally:
            os.close(fd)
        if path not in self._lines:
            with open(path, "rb") as file:
                self._lines[path] = sum(1 for _ in file)
        else:
            self._lines[path] += 1
        if self._lines[path] > _MOST:
            with open(path, "rb") as file:
                last = deque(file, KEPT)
            files.replace(path, b"".join(last))
            self._lines[path] = len(last)
            _remove_logs(own, last)


def _nothing() -> None:
    """In the place of a text that is not made yet."""


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
