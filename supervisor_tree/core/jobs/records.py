"""What is told of jobs and runs: RUN and JOB of configuration §4. Times are wall clock, in seconds; None: unknown."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from supervisor_tree.core.events import By

RunState = Literal["waiting", "running", "succeeded", "failed", "timed_out", "skipped", "interrupted", "cancelled"]
StageState = Literal["waiting", "running", "succeeded", "failed", "timed_out", "interrupted", "cancelled"]
JobState = Literal["scheduled", "waiting", "running", "held", "stopped", "idle", "removed"]
"""`removed`: it is not in the tree file any more, and gone when its run has ended."""
Cause = Literal["schedule", "catch_up", "start", "manual", "interrupted", "rerun"]
"""Why there is a run: its time had come; its time was missed; the tree started; somebody asked; the run before was
interrupted; a recovery runs the job again."""


class TaskRecord(Struct, kw_only=True):
    """One instance of a stage."""

    instance: str
    state: StageState = "waiting"
    started: float | None = None
    ended: float | None = None
    exit: int | None = None
    signal: str | None = None
    tries: int = 0
    reason: str | None = None


class StageRecord(Struct, kw_only=True):
    """One stage. A stage that an earlier attempt, or the run that was interrupted, has done keeps its times."""

    name: str
    state: StageState = "waiting"
    critical: bool = True
    started: float | None = None
    ended: float | None = None
    exit: int | None = None
    """Of one without instances."""
    signal: str | None = None
    tries: int = 0
    """How often its program was started in this attempt (the most, over its instances)."""
    reason: str | None = None
    kept: bool = False
    """It was done before this attempt, and was not run again."""
    instances: list[TaskRecord] | None = None


class RunRecord(Struct, kw_only=True):
    """One run: RUN."""

    job: str
    run: str
    state: RunState
    cause: Cause
    scheduled: float | None = None
    created: float = 0.0
    """Since when there is this run; a run that waits has not started yet."""
    started: float | None = None
    ended: float | None = None
    duration: float | None = None
    """Seconds that programs of its last attempt took, by the monotonic clock."""
    exit: int | None = None
    """Of the last attempt: of the program that failed it, else of the last one."""
    signal: str | None = None
    outcome: str | None = None
    attempt: int = 0
    attempts: int = 1
    """So many there may be."""
    reason: str | None = None
    """Why it waits, or why it ended as it did."""
    status: str | None = None
    """The `status` of the probe that it waits for."""
    skipped: int = 0
    """So many times it was due meanwhile (`overlap = "skip"`)."""
    of: str | None = None
    """The run that this one goes on with (`interrupted`) or repeats (`rerun`)."""
    args: list[str] = []
    log: str | None = None
    """Filled in by the shell."""
    stages: list[StageRecord] = []
    """Empty where the job has none."""
    steps: list[dict[str, Any]] = []


class JobRecord(Struct, kw_only=True):
    """One job: JOB."""

    name: str
    state: JobState
    schedule: str
    next: float | None = None
    """When it is due next."""
    last: RunRecord | None = None
    """The last run that ended."""
    running: RunRecord | None = None
    """The run that is under way, or waits."""
    missed: bool = False
    """No run has started for `missed_after`."""
    overdue: float | None = None
    """So many seconds ago the run was due that has not started yet; None: none is late by more than a minute."""
    failures: int = 0
    """In a row."""
    hold: By | None = None
    """Who stopped or held it."""
    reason: str | None = None
    """Why it does not run, where it should."""
