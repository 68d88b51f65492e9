"""`[retention.NAME]`: looked at when the tree starts, and once an hour; more often where `max_age` is short."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from supervisor_tree.root.aside import Aside, TooLate
from supervisor_tree.root.retention.removing import Removed, remove_old

if TYPE_CHECKING:
    from supervisor_tree.config.job_settings import RetentionSettings
    from supervisor_tree.root.shell import Shell

_EVERY, _LEAST = 3600.0, 60.0
"""Seconds between two looks: at most, and at least; in between a quarter of `max_age`."""
_FIRST = 1.0
"""Seconds after a start: the workers come first."""
_TOO_LONG = 600.0
"""Seconds after which a look is left to itself, and said to be."""


class Retention:
    """The tables of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._looking: set[str] = set()
        self._aside = Aside(shell.loop, 2)
        self._failing: dict[str, str] = {}

    def begin(self) -> None:
        """A tree starts, another root takes over, or the tree file was read anew."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers = {name: self._later(_FIRST, name) for name in self._shell.plan.retention}

    def _later(self, seconds: float, name: str) -> asyncio.TimerHandle:
        return self._shell.loop.call_later(seconds, self._begin, name)

    def _begin(self, name: str) -> None:
        settings = self._shell.plan.retention.get(name)
        if settings is None:
            return
        self._timers[name] = self._later(_every(settings), name)
        if name not in self._looking:
            self._looking.add(name)
            self._shell.background.begin(f"retention {name}", self._look(name, settings))

    async def _look(self, name: str, settings: RetentionSettings) -> None:
        shell = self._shell
        state_dir, logs = shell.plan.state_dir, _log_files(shell)

        def work() -> Removed:
            return remove_old(settings.files, settings.max_age, settings.keep, time.time(), state_dir, logs)

        try:
            done = await self._aside.do(work, _TOO_LONG)
        except TooLate:
            done = Removed(failed=1, reason="the disk does not answer")
        finally:
            self._looking.discard(name)
        if done.count:
            shell.note(
                "files_removed",
                name,
                count=done.count,
                bytes=done.bytes,
                files=done.files,
                in_use=done.in_use,
                max_age=settings.max_age,
                keep=settings.keep,
            )
        if done.reason is not None and self._failing.get(name) != done.reason:
            shell.note("files_not_removed", name, count=done.failed, reason=done.reason)
            self._failing[name] = done.reason
        elif done.reason is None:
            self._failing.pop(name, None)
        shell.flush()


def _every(settings: RetentionSettings) -> float:
    return _EVERY if settings.max_age is None else min(_EVERY, max(_LEAST, settings.max_age / 4))


def _log_files(shell: Shell) -> list[str]:
    """What the logger has open, or will have at the next start of its worker. (Runs with files of their own: open ones
    are in use, and those of the past may go.)"""
    logs = shell.spawning.log_files().values()
    return [path for log in logs for key in ("path", "stderr") if (path := log.get(key)) is not None]
