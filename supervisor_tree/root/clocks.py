"""From the two clocks (monotonic for decisions, wall for people) to the one text that everything shows."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def rfc3339(wall: float) -> str:
    """A wall-clock time (seconds since 1970): UTC, milliseconds."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamp(wall: float) -> str:
    """A wall-clock time in the name of a file, as `${run.time}` is: UTC, `20261122_141503`."""
    return time.strftime("%Y%m%d_%H%M%S", time.gmtime(wall))


class Clock:
    """Turns monotonic instants into wall-clock text as of one look: a wall clock that is set moves them all."""

    def __init__(self, monotonic: float) -> None:
        self._monotonic = monotonic
        self._wall = time.time()

    def text(self, at: float | None) -> str | None:
        return None if at is None else rfc3339(self._wall + at - self._monotonic)
