"""What is late: a job of which no run started for too long, a run that waits for too long. And when to look next."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from supervisor_tree.core.jobs import due
from supervisor_tree.core.jobs.job import Job
from supervisor_tree.core.jobs.run import WAITING, Phase

if TYPE_CHECKING:
    from supervisor_tree.core.jobs.jobs import Jobs


def check_missed(jobs: Jobs, job: Job) -> None:
    """`missed_after`: said once, until a run starts."""
    at = missed_at(jobs, job)
    if at is not None and at <= jobs.now.wall:
        state = job.state
        state.missed = True
        jobs.save(job)
        since = state.started if state.started is not None else state.known
        jobs.note("run_missed", job, {"since": since, "missed_after": job.spec.missed_after, "started": state.started})


def missed_at(jobs: Jobs, job: Job) -> float | None:
    """When it will have to be said that no run started; None: never, or it was said."""
    state = job.state
    if job.spec.missed_after is None or state.missed or not due.goes_on(jobs, job):
        return None
    return (state.started if state.started is not None else state.known) + job.spec.missed_after


def check_overdue(jobs: Jobs, job: Job) -> None:
    """A run that waits for longer than `LATE`: said once of each."""
    at = overdue_at(job)
    if at is not None and at <= jobs.now.wall and job.active is not None:
        run = job.active.run
        run.overdue = True
        jobs.touch(f"run/{job.name}/{run.id}")
        jobs.note("run_overdue", job, {"run": run.id, "scheduled": run.scheduled, "reason": run.reason})


def overdue_at(job: Job) -> float | None:
    if job.active is None:
        return None
    run = job.active.run
    if run.begun or run.overdue or run.scheduled is None or run.phase not in WAITING:
        return None
    return (run.until or run.scheduled) + due.LATE


def next_look(jobs: Jobs, job: Job) -> float:
    """When, by the wall clock, there is something to do."""
    state, wall = job.state, jobs.now.wall
    times = [missed_at(jobs, job), overdue_at(job)]
    paused = state.not_before if state.not_before is not None and state.not_before > wall else None
    if due.goes_on(jobs, job):
        ahead = job.ahead
        times.append(ahead if ahead is None or ahead > wall else paused)
        if job.active is None and (state.again is not None or state.owed or state.start_owed):
            times.append(paused)
    if job.active is not None:
        run = job.active.run
        if run.phase is Phase.DELAYED:
            times.append(run.until)
        elif run.phase is Phase.BACKOFF:
            times.append(state.not_before)
    return min((time for time in times if time is not None), default=inf)
