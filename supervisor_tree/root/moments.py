"""Moments that can be compared over a sleep of the machine, a boot, and a wall clock that was set."""

from __future__ import annotations

import time
from functools import cache

from msgspec import Struct

from supervisor_tree.system import means


class Moment(Struct):
    """A moment on all clocks: `up` goes on while the machine sleeps, `awake` does not; both begin anew at a boot."""

    wall: float
    up: float
    awake: float
    boot: str

    def seconds_to(self, later: Moment) -> float:
        """From this to a later moment, sleep included, whatever the wall clock was set to meanwhile."""
        return max(0.0, later.up - self.up if self.boot == later.boot else later.wall - self.wall)

    def slept_to(self, later: Moment) -> float:
        return max(0.0, self.seconds_to(later) - (later.awake - self.awake)) if self.boot == later.boot else 0.0


def now() -> Moment:
    return Moment(time.time(), means.time_with_sleep(), time.monotonic(), _boot())


@cache
def _boot() -> str:
    return means.boot_id()
