"""One job: its part of the state that outlives the tree, and its runs under way."""

from __future__ import annotations

from math import inf

from msgspec import Struct

from supervisor_tree.core.events import By, WishWord
from supervisor_tree.core.jobs.instants import Grid
from supervisor_tree.core.jobs.records import Cause, RunRecord
from supervisor_tree.core.jobs.run import Active, Stage
from supervisor_tree.core.jobs.spec import JobSpec, Timetable


class Owed(Struct):
    """Instants later than ``after`` and not later than ``to``: all of them are to be run, in order."""

    after: float
    to: float
    cause: Cause = "schedule"


class Again(Struct, omit_defaults=True):
    """A run that was interrupted and is to be made again from the first stage not done."""

    of: str
    scheduled: float | None = None
    attempt: int = 1
    stages: list[Stage] = []


class Manual(Struct, omit_defaults=True):
    """A run that somebody asked for while another was under way."""

    request: str
    args: tuple[str, ...] = ()
    by: By = By()


class JobState(Struct, kw_only=True, omit_defaults=True):
    """What is known of a job for ever. Times are wall clock."""

    schedule: str = ""
    """The schedule that the instants below are of."""
    known: float = 0.0
    """Since when there is this job."""
    seen: float = 0.0
    """Whatever was due until then has been decided about."""
    anchor: float | None = None
    """Where the grid of `every` begins."""
    owed: list[Owed] = []
    again: Again | None = None
    start_owed: bool = False
    manual: list[Manual] = []
    starts: int = 0
    """Of programs."""
    wish: WishWord = "up"
    by: By | None = None
    scheduled: float | None = None
    """The last instant that was run."""
    started: float | None = None
    """When a run last started."""
    missed: bool = False
    failures: int = 0
    """Runs in a row."""
    streak: int = 0
    """Failed attempts in a row: the rung of the backoff ladder."""
    not_before: float | None = None
    """After a failure: no retry and no run of `every` before."""
    durations: list[float] = []
    """Of the last runs that succeeded, whole, in one go: seconds."""
    leaving: bool = False
    """It is not in the tree file any more, and ends with its run."""


class Job:
    """A job as the machine has it."""

    __slots__ = ("_ahead", "active", "last", "look_mono", "look_wall", "rerun", "spec", "state", "timetable")

    def __init__(self, spec: JobSpec, timetable: Timetable | None, state: JobState) -> None:
        self.spec = spec
        self.state = state
        self.active: Active | None = None
        """The run that is under way or waits: never more than one."""
        self.rerun: Active | None = None
        """While that one is recovering: its repetition."""
        self.last: RunRecord | None = None
        self.timetable: Timetable | None = timetable
        self.look_mono = inf
        self.look_wall = inf
        """When it is to be looked at next."""
        self._ahead: tuple[Timetable | None, float, float | None] = (None, 0.0, None)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def instants(self) -> Timetable | None:
        """When it is due; None: by hand only."""
        if self.spec.every is not None:
            return None if self.state.anchor is None else Grid(self.state.anchor, self.spec.every)
        return self.timetable

    @property
    def ahead(self) -> float | None:
        """The first instant that nothing has been decided about; None: there is none. A timetable is asked once."""
        seen = self.state.seen
        if self.spec.every is not None:
            instants = self.instants
            return None if instants is None else instants.next_after(seen)
        if self.timetable is None:
            return None
        if self._ahead[0] is not self.timetable or self._ahead[1] != seen:
            self._ahead = (self.timetable, seen, self.timetable.next_after(seen))
        return self._ahead[2]
