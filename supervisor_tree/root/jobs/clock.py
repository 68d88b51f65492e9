"""The clock of the jobs: wakes them at an instant of either clock, and when the wall clock was set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_LOOK = 10.0
"""Seconds between two looks at the wall clock while something waits for it: it may be set, and the machine may sleep,
and neither moves the monotonic clock that timers go by."""
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

    def set(self, mono: float | None, wall: float | None) -> None:
        """The next instants; None: none on that clock."""
        self._mono, self._wall = mono, wall
        self._arm(0.0)

    def _arm(self, least: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        waits = []
        if self._mono is not None:
            waits.append(self._mono - self._loop.time())
        if self._wall is not None:
            waits.append(min(self._wall - time.time(), _LOOK))
        if waits:
            self._handle = self._loop.call_later(max(least, min(waits)), self._fire)

    def _fire(self) -> None:
        armed = self._handle
        self._ticked()
        if self._handle is armed:  # too early: nothing new was set
            self._arm(_AGAIN)
