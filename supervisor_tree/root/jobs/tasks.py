"""Programs of runs: `StartTask` and `StopTask` become errands, their ends are told to the machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from supervisor_tree import config
from supervisor_tree.core.events import Exit
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs import events as ev
from supervisor_tree.root import exits
from supervisor_tree.root.aside import Aside, TooLate
from supervisor_tree.root.errands.errands import Ended
from supervisor_tree.root.jobs import run_logs
from supervisor_tree.root.outputs.runs import RunOutput

if TYPE_CHECKING:
    from supervisor_tree.config.job_settings import JobSettings, Stage
    from supervisor_tree.root.shell import Shell

T = TypeVar("T")
_BEGINS = "run-log/"
_READ = 10.0
"""Seconds that the disk has for what a run wrote; then it counts as nothing."""


class Tasks:
    """All programs of runs of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._making: set[tuple[str, int]] = set()
        """Name and start of those whose program is being worked out."""
        self._begins: dict[str, run_logs.Begin] = {}
        """By run: where its output begins."""
        self._aside = Aside(shell.loop, 16)

    # Effects

    def start(self, effect: fx.StartTask) -> None:
        """Start it, or go on with it where a root before us has started it."""
        ended = partial(self._ended, effect)
        started = partial(self._started, effect)
        if self._shell.errands.adopt(effect.name, ended, started, tag=effect.start):
            if self._shell.errands.running(effect.name) is not None:
                self._shell.limits.program_runs(effect.name, effect.job, effect.run)
            return
        key = (effect.name, effect.start)
        if key in self._making:
            return
        self._making.add(key)
        self._shell.background.begin(f"program of {effect.name}", self._make(effect))

    def stop(self, effect: fx.StopTask) -> None:
        key = (effect.name, effect.start)
        if key in self._making:
            self._making.discard(key)
            self._shell.loop.call_soon(self._never, effect, "stopped before it was started")
            return
        self._shell.errands.stop(effect.name, effect.grace)

    # Inside

    async def _make(self, effect: fx.StartTask) -> None:
        shell = self._shell
        key = (effect.name, effect.start)
        reason = ""
        program = None
        marks: list[run_logs.Mark] = []
        job = shell.jobs.settings(effect.job, effect.run)
        stage = None if job is None else _stage(job, effect.stage)
        try:
            if job is None or (effect.stage and stage is None):
                reason = f"{effect.name} is not in the tree file any more"
            else:
                plan = shell.jobs.run_settings.plan(effect.job, effect.run)
                settings = job
                begins = self._begins.get(effect.run)
                names = config.run_names(effect.run, effect.instance)

                def make() -> None:
                    nonlocal program, marks
                    if begins is None or begins.attempt != effect.attempt:
                        marks = run_logs.marks(config.run_log(plan, settings, names))
                    program = config.run_program(plan, settings, stage, names, effect.args)

                await shell.errands.make(make)
        except config.Held as held:
            reason = str(held)
        except Exception as error:
            reason = f"its program can't be made: {error!r}"
            shell.internal_error(f"program of {effect.name}", error)
        if key not in self._making:
            return  # stopped meanwhile, and that was told
        self._making.discard(key)
        if marks:
            # Several instances begin at once: who was first has seen the files before any of them wrote.
            begins = self._begins.get(effect.run)
            if begins is None or begins.attempt != effect.attempt:
                first = begins.first or begins.marks if begins is not None else marks
                self._begins[effect.run] = begin = run_logs.Begin(effect.attempt, marks, first)
                shell.state(_BEGINS + effect.run, msgspec.json.encode(begin))
        if program is None or job is None:
            self._never(effect, reason)
            return
        shell.errands.start(
            effect.name,
            program,
            timeout=effect.timeout,
            success=job.success,
            tag=effect.start,
            on_started=partial(self._started, effect),
            on_end=partial(self._ended, effect),
        )
        shell.flush()

    def _never(self, effect: fx.StartTask | fx.StopTask, reason: str) -> None:
        """There was, or is, nothing to run."""
        exit_ = Exit(reason=reason)
        self._shell.jobs.tell(ev.TaskEnded(effect.job, effect.run, effect.name, effect.start, exit_))
        self._shell.flush()

    def _started(self, effect: fx.StartTask, pid: int) -> None:
        self._shell.limits.program_runs(effect.name, effect.job, effect.run)
        self._shell.jobs.tell(ev.TaskStarted(effect.job, effect.run, effect.name, effect.start))

    def _ended(self, effect: fx.StartTask, ended: Ended) -> None:
        self._shell.limits.program_ended(effect.name)
        number = ended.exit.signal
        self._shell.jobs.tell(
            ev.TaskEnded(
                effect.job,
                effect.run,
                effect.name,
                effect.start,
                ended.exit,
                signal=None if number is None else exits.signal_name(number),
                timed_out=ended.timed_out,
            )
        )

    # Output

    async def output(self, run: str, *, all_attempts: bool = False) -> RunOutput:
        """What the present attempt of a run has written, or all of them."""
        begin = self._begins.get(run)
        marks = [] if begin is None else begin.first if all_attempts and begin.first else begin.marks
        return await self.read(lambda: run_logs.output(marks), RunOutput(()))

    async def read(self, work: Callable[[], T], otherwise: T) -> T:
        """What ``work`` reads of the logs of runs; ``otherwise`` when the disk does not answer."""
        try:
            return await self._aside.do(work, _READ)
        except TooLate:
            return otherwise

    def forget(self, run: str) -> None:
        """The run is over, and its output was looked at."""
        if self._begins.pop(run, None) is not None:
            self._shell.state(_BEGINS + run, None)

    def load(self, key: str, value: bytes) -> None:
        """A piece of the state of the root before us."""
        if key.startswith(_BEGINS):
            self._begins[key.removeprefix(_BEGINS)] = msgspec.json.decode(value, type=run_logs.Begin)


def _stage(job: JobSettings, name: str) -> Stage | None:
    return next((stage for stage in job.stages if stage.name == name), None)
