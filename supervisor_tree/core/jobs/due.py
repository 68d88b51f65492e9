"""When there is to be a run: what is due, what was missed, what is owed.

Every instant is decided about once, in order: `JobState.seen` is the last one. What is to be run of them is *owed*, as
intervals, so that a month of missed minutes is two numbers. The rules:

    * A job that is new counts from now on; `every` is due at once.
    * Due while no run is under way: `catch_up` "all" owes each, "last" the last one, "none" the last one unless it is
      late (`LATE`: the machine slept, the tree was down).
    * Due while a run is under way, or waits for its turn: on time, `overlap` says (skip; queue: owed; kill: the run is
      cancelled, the last one is owed); late, it was missed, and `catch_up` says.
    * Due while a run waits before a closed gate: that one is skipped and the new one takes its place, unless each
      is to be run (`overlap = "queue"`, `catch_up = "all"`).
    * Due in the backoff of `every`: the last one is run when it is over; the others were not missed, they are let go.
    * Due while the job is stopped: nothing. While it is held: decided at the release, as after a sleep.
    * A wall clock set back: no instant is run a second time. `every` goes on at its pace. Set back by more than
      `FAR`, it was wrong before, and the schedule counts from now on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_tree.core.events import By
from supervisor_tree.core.jobs import attempts
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs.instants import last_until, run_id
from supervisor_tree.core.jobs.job import Again, Job, Owed
from supervisor_tree.core.jobs.records import Cause
from supervisor_tree.core.jobs.run import WAITING, Active, Phase, Run
from supervisor_tree.core.jobs.spec import Timetable
from supervisor_tree.core.spread import share

if TYPE_CHECKING:
    from supervisor_tree.core.jobs.jobs import Jobs

LATE = 60.0
"""Seconds after which one that was due was missed, or is overdue."""
FAR = 3 * 3600.0
"""Seconds: as in cron, a clock that is set back further than a change to summer time and then some was wrong."""
NOT_YET = By(why="autostart = false")


# The job as the tree file has it.


def introduce(jobs: Jobs, job: Job) -> None:
    """The job's specification is new, or its whole past is."""
    state, wall = job.state, jobs.now.wall
    new = not state.known
    if new:
        state.known = wall
        if not job.spec.autostart:
            state.wish, state.by = "down", NOT_YET
    if new or state.schedule != job.spec.schedule:
        if state.owed:
            skipped(jobs, job, state.owed[-1].to, "its schedule was changed")
        state.owed = []
        state.schedule = job.spec.schedule
        state.seen = wall
        state.anchor = None
        every = job.spec.every
        if every is not None:
            state.anchor = state.scheduled if state.scheduled is not None else state.started
            if state.anchor is None:
                state.anchor = wall
                state.seen = wall - every / 2
    jobs.save(job)


def set_back(jobs: Jobs, job: Job, step: float) -> None:
    """The wall clock has been set back (``step`` is negative): what is counted from the last time goes with it."""
    state = job.state
    if job.spec.every is not None and state.anchor is not None:
        state.anchor += step
        state.seen += step
        for owed in state.owed:
            owed.after += step
            owed.to += step
        if state.scheduled is not None:
            state.scheduled += step
    if state.not_before is not None:
        state.not_before += step
    if state.started is not None:
        state.started = min(state.started, jobs.now.wall)
    state.known = min(state.known, jobs.now.wall)
    jobs.save(job)


def mend_times(jobs: Jobs, job: Job) -> None:
    """A new life of the tree: no time of the last one may lie further ahead than it was ever meant to."""
    state, wall = job.state, jobs.now.wall
    if job.spec.every is not None and state.seen > wall:
        set_back(jobs, job, wall - state.seen)
    if state.not_before is not None:
        state.not_before = min(state.not_before, wall + attempts.pause(jobs, job))
    if state.started is not None:
        state.started = min(state.started, wall)


def after_death(job: Job) -> None:
    """What was owed when the tree ended was missed."""
    state, instants = job.state, job.instants
    if not state.owed or job.spec.catch_up == "all":
        return
    found = None if instants is None else last_until(instants, state.owed[-1].after, state.owed[-1].to)
    last = job.spec.catch_up == "last" and found is not None
    state.owed = [Owed(*found, "catch_up")] if last and found is not None else []


# What is due.


def goes_on(jobs: Jobs, job: Job) -> bool:
    """Whether the schedule counts at present."""
    return job.state.wish == "up" and not job.state.leaving and not jobs.head.ending


def decide(jobs: Jobs, job: Job) -> None:
    """About all that has come due since."""
    state, wall = job.state, jobs.now.wall
    instants = job.instants
    if instants is None or not goes_on(jobs, job):
        return
    if state.seen > wall + FAR and job.spec.every is None:
        jobs.note("clock_set_back", job, {"by": state.seen - wall})
        state.seen = wall
        state.owed = [owed for owed in state.owed if owed.to <= wall]
        jobs.save(job)
    first = job.ahead
    if first is None or first > wall:
        return
    delayed = False
    if job.spec.every is not None and job.active is None and state.not_before is not None:
        if state.not_before > wall:
            return
        delayed = first <= state.not_before
    found = last_until(instants, state.seen, wall)
    if found is None:
        return
    before, last = found
    start, state.seen = state.seen, last
    jobs.save(job)
    active = job.active
    if active is not None and _waits_before_gate(active) and not _each(job):
        attempts.end(jobs, job, active, "skipped", active.run.reason)
        active = None
    catch_up = job.spec.catch_up
    missed = wall - first > LATE
    if active is None and job.rerun is None:
        if catch_up == "all" and not delayed:
            _owe(job, Owed(start, last, "catch_up" if missed else "schedule"))
        elif catch_up == "none" and wall - last > LATE and not delayed:
            skipped(jobs, job, last, "it fell due while the machine slept or the tree was down")
        else:
            _only_last(jobs, job, first, last)
            state.owed = [Owed(before, last, "catch_up" if wall - last > LATE and not delayed else "schedule")]
    elif missed and catch_up == "all":
        _owe(job, Owed(start, last, "catch_up"))
    elif missed and catch_up == "last" and job.spec.overlap != "queue":
        _only_last(jobs, job, first, last)
        state.owed = [Owed(before, last, "catch_up")]
    elif job.spec.overlap == "queue":
        _owe(job, Owed(before if missed else start, last))
    elif job.spec.overlap == "kill" and active is not None and active.run.phase not in WAITING:
        state.owed = [Owed(before, last)]
        result = active.run.result
        if result is not None and active.run.phase in (Phase.RECOVERING, Phase.BACKOFF):
            attempts.end(jobs, job, active, *result)  # no program is cut off: it is what its last attempt was
        else:
            attempts.cancel(jobs, job, active, "cancelled", "the next run was due")
    else:
        _overlapped(jobs, job, active or job.rerun, first, last)


def _waits_before_gate(active: Active) -> bool:
    return active.run.phase is Phase.REFUSED and not active.run.begun


def _each(job: Job) -> bool:
    """Whether each instant is promised its run."""
    return job.spec.overlap == "queue" or job.spec.catch_up == "all"


def _owe(job: Job, owed: Owed) -> None:
    before = job.state.owed[-1] if job.state.owed else None
    if before is not None and before.to == owed.after and before.cause == owed.cause:
        before.to = owed.to
    else:
        job.state.owed.append(owed)


def _only_last(jobs: Jobs, job: Job, first: float, last: float) -> None:
    if first != last:
        reason = "of those that were missed only the last one is run"
        jobs.note("run_skipped", job, {"scheduled": first, "before": last, "reason": reason})


def skipped(jobs: Jobs, job: Job, scheduled: float, reason: str) -> None:
    jobs.note("run_skipped", job, {"scheduled": scheduled, "reason": reason})


def _overlapped(jobs: Jobs, job: Job, active: Active | None, first: float, last: float) -> None:
    """Not run: said once for each run that is in the way, and counted."""
    if active is None:
        return
    run = active.run
    if not run.skipped:
        how = "waits" if run.phase in WAITING else "is under way"
        skipped(jobs, job, first, f"run {run.id} {how}")
    every = job.spec.every
    run.skipped += 1 if every is None else round((last - first) / every) + 1
    jobs.touch(f"run/{job.name}/{run.id}")


# What is owed.


def begin(jobs: Jobs, job: Job) -> None:
    """If no run is under way, the next one is made."""
    state = job.state
    if job.active is not None or job.rerun is not None or jobs.head.ending or state.leaving:
        return
    if state.manual:
        manual = state.manual.pop(0)
        active = new_run(jobs, job, "manual")
        active.run.args = manual.args
        jobs.do(fx.Reply(manual.request, [{"name": job.name, "ok": True, "reason": None, "run": active.run.id}]))
        return
    if state.wish != "up":
        return
    paused = state.not_before is not None and state.not_before > jobs.now.wall
    again = state.again
    if again is not None and job.spec.catch_up == "last" and state.owed:
        # One is made up for, and it is the last: that of an earlier time is not gone on with.
        if again.scheduled is not None:
            skipped(jobs, job, again.scheduled, "of those that were missed only the last one is run")
        again = state.again = None
    if again is not None:
        if not paused:
            _go_on_with(jobs, job, again)
    elif state.owed:
        if not (paused and job.spec.every is not None):
            _next_owed(jobs, job)
    elif state.start_owed and not paused:
        new_run(jobs, job, "start")


def _go_on_with(jobs: Jobs, job: Job, again: Again) -> None:
    job.state.again = None
    active = new_run(jobs, job, "interrupted", again.scheduled)
    active.run.of = again.of
    active.run.stages = again.stages
    active.run.attempt = again.attempt - 1


def _next_owed(jobs: Jobs, job: Job) -> None:
    state, instants = job.state, job.instants
    while state.owed:
        owed = state.owed[0]
        instant = None if instants is None else instants.next_after(owed.after)
        if instant is None or instants is None or instant > owed.to:
            state.owed.pop(0)
            continue
        following = instants.next_after(instant)
        if following is None or following > owed.to:
            state.owed.pop(0)
        else:
            owed.after = instant
        new_run(jobs, job, owed.cause, instant)
        return
    jobs.save(job)


def make(jobs: Jobs, job: Job, cause: Cause, scheduled: float | None) -> Active:
    """A run that is nobody's yet."""
    wall = jobs.now.wall
    jobs.head.number += 1
    jobs.touch("head")
    run = Run(job=job.name, id=run_id(wall, jobs.head.number), cause=cause, scheduled=scheduled, created=wall)
    jobs.under_way += 1
    jobs.save(job)
    jobs.note("run_due", job, {"run": run.id, "cause": cause, "scheduled": scheduled})
    return Active(run, job.spec)


def new_run(jobs: Jobs, job: Job, cause: Cause, scheduled: float | None = None) -> Active:
    """The job's run, which waits for its turn."""
    state = job.state
    active = job.active = make(jobs, job, cause, scheduled)
    run = active.run
    jobs.touch(f"work/{job.name}/{run.id}")
    if cause != "manual":
        state.start_owed = False
    if scheduled is not None:
        state.scheduled = scheduled
        if job.spec.jitter and cause in ("schedule", "catch_up"):
            until = scheduled + job.spec.jitter * share(f"{jobs.head.seed}/{job.name}/{scheduled}")
            if until > jobs.now.wall:
                run.phase, run.until, run.reason = Phase.DELAYED, until, "jitter"
                jobs.moved(job, active)
                return active
    attempts.queue(jobs, job, active)
    return active


def owe_first(job: Job, instants: Timetable, run: Run) -> None:
    """The instant of a run that did not begin is owed again, before all others."""
    if run.scheduled is None:
        return
    state = job.state
    # Any time before it with no other between: half of the way back to where the last decision lies.
    after = run.scheduled - 0.5
    while instants.next_after(after) != run.scheduled:
        after = (after + run.scheduled) / 2
    cause: Cause = "schedule" if run.cause == "schedule" else "catch_up"
    state.owed.insert(0, Owed(after, run.scheduled, cause))


# When the next one is.


def next_run(job: Job, wall: float) -> float | None:
    """When it is due next; what is due already is not."""
    state, instants = job.state, job.instants
    if instants is None or state.wish == "down" or state.leaving:
        return None
    ahead = job.ahead
    if ahead is None or ahead > wall:
        return ahead
    if job.spec.every is not None and state.not_before is not None and state.not_before > wall:
        return state.not_before
    return instants.next_after(wall)


def owes(job: Job) -> bool:
    """Whether there is a run that is to begin as soon as it may."""
    return bool(job.state.owed or job.state.again or job.state.start_owed or job.state.manual)


def first_owed(job: Job) -> float | None:
    """The earliest instant that should have been run by now."""
    state, instants = job.state, job.instants
    if state.again is not None and state.again.scheduled is not None:
        return state.again.scheduled
    if instants is None:
        return None
    return instants.next_after(state.owed[0].after) if state.owed else job.ahead
