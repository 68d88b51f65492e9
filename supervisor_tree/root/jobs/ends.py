"""What follows when a run has ended: its last lines, its line in the journal, its record on the disk.

Until both are done the record is state (`run-ended/JOB/RUN`), so that none is lost over a root's death.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.core.jobs.records import RunRecord
from supervisor_tree.root.jobs import run_logs
from supervisor_tree.root.jobs.showing import run_json

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_STATE = "run-ended/"


class _Ended(msgspec.Struct):
    record: RunRecord
    names: dict[str, Any] | None = None
    """Of its rows in the SQL view; None: the root before us did not keep them."""
    told: bool = False
    """The journal has its line."""
    tail: list[str] = []
    """The last lines of its output, once that is so."""


class Ends:
    """Ended runs, in the order of their ends."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._queue: deque[_Ended] = deque()
        self.unwritten: dict[str, RunRecord] = {}
        """Runs that have ended and whose record is not on the disk yet."""
        self._task: asyncio.Task[None] | None = None

    def add(self, record: RunRecord, names: dict[str, Any], *, told: bool) -> None:
        """A run is over. ``told``: another line of the journal says so. ``names``: `JobsShell.record_names`."""
        ended = _Ended(record, names, told)
        self._keep(ended)
        self.unwritten[record.run] = record
        self._queue.append(ended)
        self._go_on()

    def load(self, key: str, value: bytes) -> None:
        """A piece of the state of the root before us."""
        if key.startswith(_STATE):
            ended = msgspec.json.decode(value, type=_Ended)
            self.unwritten[ended.record.run] = ended.record
            self._queue.append(ended)

    def resume(self) -> None:
        """Go on with what the root before us had not finished."""
        self._queue = deque(sorted(self._queue, key=lambda ended: ended.record.ended or 0.0))
        self._go_on()

    async def finish(self, patience: float) -> None:
        """Wait so many seconds at most until the journal has all of them."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=patience)

    def _go_on(self) -> None:
        if self._task is None and self._queue:
            self._task = self._shell.background.begin("ends of runs", self._work())

    async def _work(self) -> None:
        while self._queue:
            ended = self._queue.popleft()
            try:
                await self._tell(ended)
            except Exception as error:
                self._shell.internal_error(f"the end of run {ended.record.run} of {ended.record.job}", error)
            self._shell.flush()
        self._task = None

    async def _tell(self, ended: _Ended) -> None:
        shell = self._shell
        record = ended.record
        run = run_json(record)
        if not ended.told:
            lines: list[str] = []
            if record.started is not None:
                written = await shell.jobs.tasks.output(record.run)
                lines = await shell.jobs.tasks.read(lambda: run_logs.tail(written), lines)
            shell.note(
                "run_ended",
                record.job,
                run=run,
                output_tail=lines,
                reason=record.reason,
                status=record.status,
                **(ended.names if ended.names is not None else shell.jobs.record_names(record.job, record.run)),
            )
            ended.told, ended.tail = True, lines
            self._keep(ended)
        shell.jobs.tasks.forget(record.run)
        shell.jobs.files.append(record.job, {**run, "output_tail": ended.tail}, lambda: self._written(record))

    def _written(self, record: RunRecord) -> None:
        self.unwritten.pop(record.run, None)
        self._shell.state(_key(record), None)

    def _keep(self, ended: _Ended) -> None:
        self._shell.state(_key(ended.record), msgspec.json.encode(ended))


def _key(record: RunRecord) -> str:
    return f"{_STATE}{record.job}/{record.run}"
