"""What a test sees of a simulated tree."""

from __future__ import annotations

from typing import NamedTuple

from supervisor_tree.config.kinds import parse_duration
from supervisor_tree.core import view


class SimulationError(Exception):
    """The test asks for something that can't happen: a worker that is not there, or does not run."""


class Line(NamedTuple):
    """One decision: what the journal of a real tree would say."""

    at: float
    """Seconds since the start."""
    event: str
    name: str | None
    text: str


class Child(NamedTuple):
    """How a child is."""

    view: view.NodeView
    now: float

    @property
    def state(self) -> str:
        """Its state, as `ctl status` has it."""
        return self.view.status

    @property
    def reason(self) -> str | None:
        return self.view.reason

    @property
    def incarnation(self) -> int:
        """Which start of it this is; 0: it has never run."""
        return self.view.incarnation

    @property
    def restarts(self) -> int:
        """Counted restarts, ever."""
        return self.view.restarts

    @property
    def is_ready(self) -> bool:
        return self.view.ready

    @property
    def waits_for(self) -> str | None:
        """Whom it waits for."""
        found = self.view.waiting_for
        return None if found is None else found.rpartition("/")[2]

    @property
    def next_attempt(self) -> float | None:
        """Seconds until it is started again; None: it is not going to be."""
        at = self.view.next_attempt
        return None if at is None else at - self.now


def seconds(duration: str | float) -> float:
    """Seconds of ``"1.5h"`` or of a number of seconds.

    Raises:
        SimulationError: it is no duration.
    """
    found = parse_duration(duration) if isinstance(duration, str) else float(duration)
    if found is None or found < 0:
        raise SimulationError(f"{duration!r} is no duration, as in '10s'")
    return found
