"""What a run waits for before it begins: its environment, `needs`, `require`. Asked, and asked again until it begins.

Only the shell can know: the machine asks with `AskGate` and is told each time the answer changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple

from supervisor_tree import config
from supervisor_tree.core import view
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs import events as ev

if TYPE_CHECKING:
    from supervisor_tree.config.job_settings import JobSettings
    from supervisor_tree.root.shell import Shell

_ASK_AGAIN = 10.0
"""Seconds between two looks at an environment that can't be had, and at needs (which are looked at at each change)."""


class _Answer(NamedTuple):
    refusal: str | None
    status: str | None
    again: float


_OPEN = _Answer(None, None, _ASK_AGAIN)


class Gates:
    """The questions under way, one a run."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed: dict[str, asyncio.Event] = {}

    def ask(self, effect: fx.AskGate) -> None:
        """Begin to ask for a run."""
        if effect.run not in self._tasks:
            self._changed[effect.run] = asyncio.Event()
            asking = self._ask(effect.job, effect.run)
            self._tasks[effect.run] = self._shell.background.begin(f"gates of {effect.job}", asking)

    def forget(self, run: str) -> None:
        """Nobody waits for the answer any more."""
        task = self._tasks.pop(run, None)
        self._changed.pop(run, None)
        if task is not None:
            task.cancel()

    def changed(self) -> None:
        """Something in the tree has changed: a need may be met."""
        for event in self._changed.values():
            event.set()

    async def _ask(self, job: str, run: str) -> None:
        shell = self._shell
        before: _Answer | None = None
        while run in self._tasks:
            changed = self._changed[run]
            changed.clear()
            answer = _OPEN
            settings = shell.plan.jobs.get(job)
            if settings is not None:
                try:
                    answer = await self._look(settings, run)
                except Exception as error:
                    shell.internal_error(f"gates of {job}", error)
                    answer = _Answer(f"an error of supervisor-tree itself: {error!r}", None, _ASK_AGAIN)
            if run not in self._tasks:
                return
            if before is None or before[:2] != answer[:2]:
                before = answer
                shell.jobs.tell(ev.GateAnswered(job, run, answer.refusal, answer.status))
                shell.flush()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(answer.again):  # `wait_for` may swallow a cancellation: `Aside.do`
                    await changed.wait()

    async def _look(self, settings: JobSettings, run: str) -> _Answer:
        shell = self._shell
        if not config.is_static_job(shell.plan, settings):
            plan = shell.plan
            stage = settings.stages[0] if settings.stages else None
            instance = stage.instances[0] if stage is not None and stage.instances else None
            names = config.run_names(run, instance)
            try:
                await shell.errands.make(lambda: config.run_program(plan, settings, stage, names))
            except config.Held as held:
                return _Answer(str(held), None, _ASK_AGAIN)
        missing = self._missing(settings)
        if missing is not None:
            return _Answer(missing, None, _ASK_AGAIN)
        if settings.require:
            refusal = await shell.probes.require(settings.name, settings)
            if refusal is not None:
                return _Answer(refusal.reason, refusal.status, refusal.every)
        return _OPEN

    def _missing(self, settings: JobSettings) -> str | None:
        shell = self._shell
        for name, level in settings.needs.items():
            for bare in config.names_of(shell.plan, name):
                path = shell.directory.find(bare)
                missing = bare if path is None else view.unmet(shell.tree, path, level)
                if missing is not None:
                    return f"waits for {shell.bare(missing)} to be {level.value}"
        return None
