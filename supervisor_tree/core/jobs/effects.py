"""What the shell is told to do about jobs. Imperative. Each may come again after `Jobs.resume`: twice does no harm."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from supervisor_tree.core.jobs.records import RunRecord


class StartTask(Struct, frozen=True, tag=True):
    """Start a program of a run, or go on with it where it was started as ``start`` before. Answered by `TaskStarted`
    and `TaskEnded`, or by `TaskEnded` alone."""

    job: str
    run: str
    name: str
    """Of the program: ``JOB``, ``JOB:STAGE``, ``JOB:STAGE@INSTANCE``."""
    start: int
    """Which start of a program of this job: never used twice."""
    stage: str
    """``""``: the job's own program."""
    instance: str | None
    attempt: int
    """Of the run, from 1."""
    tries: int
    """Of this stage and instance in this attempt, from 1."""
    timeout: float | None
    """Seconds; then it is killed, whole, and has `timed_out`."""
    args: tuple[str, ...] = ()
    """What `ctl run` adds to the program's arguments."""


class StopTask(Struct, frozen=True, tag=True):
    """Ask it to stop, kill what is left after ``grace`` seconds (None: never; 0: at once). Answered by `TaskEnded`."""

    job: str
    run: str
    name: str
    start: int
    grace: float | None


class AskGate(Struct, frozen=True, tag=True):
    """May this run begin (`needs`, `require`)? Answered by `GateAnswered`: at once with how it is, and while it is
    refused again whenever that changes, until `ForgetGate`. Consent ends the asking."""

    job: str
    run: str


class ForgetGate(Struct, frozen=True, tag=True):
    """Nobody waits for this answer any more."""

    job: str
    run: str


class Verify(Struct, frozen=True, tag=True):
    """Ask the `verify` probes of a stage, or (``""``) of the job. Answered by `Verified`."""

    job: str
    run: str
    stage: str


class Recover(Struct, frozen=True, tag=True):
    """An attempt has failed, or has a success that `outcome` names: let the job's recovery rules look at it. The record
    is that of the attempt. Answered by `Recovered`, always."""

    record: RunRecord


class SetClock(Struct, frozen=True, tag=True):
    """Tell `ClockTicked` as soon as the monotonic clock is at ``mono`` or the wall clock at ``wall``, whichever is
    first; None: never. Replaces what was said before. While ``wall`` is set, also at jumps of the wall clock."""

    mono: float | None
    wall: float | None


class RunChanged(Struct, frozen=True, tag=True):
    """The record of a run is now this. Once for each event and run; not when it ends."""

    record: RunRecord


class RunEnded(Struct, frozen=True, tag=True):
    """A run is over: its last record."""

    record: RunRecord


class Reply(Struct, frozen=True, tag=True):
    """A request ended: ``{"name", "ok", "reason", "run"}`` of each job."""

    request: str
    results: list[dict[str, Any]]


class Note(Struct, frozen=True, tag=True):
    """One decision for the journal. Fields that are times: wall, in seconds."""

    kind: str
    job: str
    fields: dict[str, Any] = field(default_factory=dict)


class AllEnded(Struct, frozen=True, tag=True):
    """After `ShutdownRequested`: no program of a job runs, and none will."""


Effect = (
    StartTask
    | StopTask
    | AskGate
    | ForgetGate
    | Verify
    | Recover
    | SetClock
    | RunChanged
    | RunEnded
    | Reply
    | Note
    | AllEnded
)
