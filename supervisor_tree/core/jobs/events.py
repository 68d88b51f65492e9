"""What can happen to jobs. Past tense. What is about a run that is over, or a program that is gone, is dropped.

All are told to `Jobs.handle` with the `Now` of that moment. Before `TreeStarted` nothing is decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from supervisor_tree.core.events import By, Exit
from supervisor_tree.core.jobs.spec import JobSpec, Timetable


class TreeStarted(Struct, frozen=True, tag=True):
    """The tree begins a new life: once in it, after `load` of what the life before left behind (not told by a root
    that takes over). Runs that were under way are interrupted, what was missed is made up for by policy."""


class ClockTicked(Struct, frozen=True, tag=True):
    """The time has come that the last `SetClock` named, or the wall clock jumped, or the machine woke up.

    Told too early or too often it does nothing."""


class ShutdownRequested(Struct, frozen=True, tag=True):
    """The whole tree is to stop: runs are stopped and become `interrupted`, then comes `AllEnded`."""


class Reconfigured(Struct, frozen=True):
    """The jobs are these from now on. Programs that run are left alone; who is not named any more ends with its run."""

    jobs: tuple[JobSpec, ...]
    timetables: Mapping[str, Timetable]
    """By job, of those that have one (cron, `at`)."""
    max_runs: int
    removed: frozenset[str] = frozenset()
    """Not named any more because somebody removed them (`ctl remove`): what of them runs is cancelled."""


# About a run.


class GateAnswered(Struct, frozen=True, tag=True):
    """`AskGate` is answered, or its answer has changed. ``refusal`` None: the run may begin."""

    job: str
    run: str
    refusal: str | None = None
    status: str | None = None
    """The `status` of the probe that refused."""


class TaskStarted(Struct, frozen=True, tag=True):
    """The program of a `StartTask` runs."""

    job: str
    run: str
    name: str
    start: int


class TaskEnded(Struct, frozen=True, tag=True):
    """Nothing is left of the program of a `StartTask`, and its output is complete; or it could not be started."""

    job: str
    run: str
    name: str
    start: int
    exit: Exit
    """`normal` where `success` names its status or signal."""
    signal: str | None = None
    """Name of the signal that ended it (`SIGKILL`)."""
    timed_out: bool = False
    """The timeout of its `StartTask` ended it."""


class Verified(Struct, frozen=True, tag=True):
    """`Verify` is answered. ``refusal`` None: it passed."""

    job: str
    run: str
    stage: str
    refusal: str | None = None


class Recovered(Struct, frozen=True, tag=True):
    """`Recover` has come to its end; ``steps`` are kept in the record as they are (JSON)."""

    job: str
    run: str
    steps: tuple[dict[str, Any], ...] = ()


# What operators ask. Each ends with one `Reply`.


class RunRequested(Struct, frozen=True, tag=True):
    """`ctl run`: a run now, whatever the schedule and the wishes. Answered with the run's id as soon as there is one;
    while a run is under way as `overlap` says (skip: refused)."""

    request: str
    job: str
    args: tuple[str, ...] = ()
    by: By = By()


class RerunRequested(Struct, frozen=True, tag=True):
    """A recovery step: the job's programs once more, recorded apart, while ``run`` waits for `Recovered`."""

    request: str
    job: str
    run: str


class CancelRequested(Struct, frozen=True, tag=True):
    """End the run that is under way (``run`` None: whichever); the schedule goes on. Answered when it has ended."""

    request: str
    job: str
    run: str | None = None
    by: By = By()


class StopRequested(Struct, frozen=True, tag=True):
    """No scheduled run until `StartRequested`; a run under way is cancelled. Answered when nothing of it is left."""

    request: str
    jobs: tuple[str, ...]
    by: By = By()


class StartRequested(Struct, frozen=True, tag=True):
    """On with the schedule. What fell due in a stop is not made up for, in a hold it is (`catch_up`)."""

    request: str
    jobs: tuple[str, ...]
    by: By = By()


class HoldRequested(Struct, frozen=True, tag=True):
    """No scheduled run begins until `ReleaseRequested`; one that is under way goes on."""

    request: str
    jobs: tuple[str, ...]
    by: By = By()


class ReleaseRequested(Struct, frozen=True, tag=True):
    request: str
    jobs: tuple[str, ...]
    by: By = By()


OfRun = GateAnswered | TaskStarted | TaskEnded | Verified | Recovered
Request = StopRequested | StartRequested | HoldRequested | ReleaseRequested
Event = (
    TreeStarted
    | ClockTicked
    | ShutdownRequested
    | Reconfigured
    | OfRun
    | RunRequested
    | RerunRequested
    | CancelRequested
    | Request
)
