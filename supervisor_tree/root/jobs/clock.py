"""The clock of the jobs: wakes them at an instant of either clock, and when the wall clock was set.

Where the system has a timer on the wall clock (`Means.wall_timer`: Linux), it rings at the instant, when the clock was
set, and when the machine has woken up: after a sleep the wall clock is ahead at once, so that what fell due meanwhile
is due right then. Elsewhere that clock is looked at every now and then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor_tree.system import means

if TYPE_CHECKING:
    from supervisor_tree.system.wall_timer import WallTimer

_LOOK = 10.0
"""Seconds between two looks at the wall clock while something waits for it, where nothing rings: it may be set, and the
machine may sleep, and neither moves the monotonic clock that timers go by."""
_AGAIN = 0.05
"""Seconds after which an instant is told again that was told too early: the two clocks are not read at once."""


class JobClock:
    """Calls ``ticked`` when a time has come, or may have."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ticked: Callable[[], None]) -> None:
        self._loop = loop
        self._ticked = ticked
        self._mono: float | None = None
        self._wall: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._times = 0
        """How often it was set."""
        self._alarm: WallTimer | None = None
        self._made = False

    def set(self, mono: float | None, wall: float | None) -> None:
        """The next instants; None: none on that clock."""
        self._mono, self._wall = mono, wall
        self._times += 1
        self._arm(0.0)

    def close(self) -> None:
        """Tell nothing any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._alarm is not None:
            self._loop.remove_reader(self._alarm)
            self._alarm.close()
            self._alarm = None

    def _arm(self, least: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        waits = []
        if self._mono is not None:
            waits.append(self._mono - self._loop.time())
        if self._wall is not None and not self._made:
            self._make()
        if self._alarm is not None:
            at = None if self._wall is None else max(self._wall, time.time() + least)
            if not self._alarm.arm(at):
                waits.append(0.0)  # the clock was set since: what was decided by it may be wrong
        elif self._wall is not None:
            waits.append(min(self._wall - time.time(), _LOOK))
        if waits:
            self._handle = self._loop.call_later(max(least, min(waits)), self._fire)

    def _make(self) -> None:
        self._made = True
        self._alarm = means.wall_timer()
        if self._alarm is not None:
            self._loop.add_reader(self._alarm, self._rang)

    def _rang(self) -> None:
        assert self._alarm is not None
        self._alarm.read()
        self._fire()

    def _fire(self) -> None:
        before = self._times
        self._ticked()
        if self._times == before:  # too early: nothing new was set
            self._arm(_AGAIN)
