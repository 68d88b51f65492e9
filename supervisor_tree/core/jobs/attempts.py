"""A run from its turn to its end: attempts and what comes of them.

* An attempt that fails: recovery is asked first, then there is another one after the backoff, or the run has
  failed. It begins at the first stage not done; where the job's own `verify` failed, at the first.
* Recovery is asked about a success, too, where `outcome` names it: a rule may be meant for it.
* The backoff ladder counts failed attempts in a row, over runs, and a success leaves it.
* Whether a failed run is worth an alert is decided once, at its end: it is the `alert_after`th in a row, or ended as
  no outcome names it; not where its recovery has run the job again, and that succeeded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor_tree.core.backoff import delay
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs import showing, stages
from supervisor_tree.core.jobs.job import Again, Job
from supervisor_tree.core.jobs.outcomes import outcome
from supervisor_tree.core.jobs.records import RunState
from supervisor_tree.core.jobs.run import Active, Phase, Stage, Task

if TYPE_CHECKING:
    from supervisor_tree.core.jobs.jobs import Jobs

KEPT_DURATIONS = 10
"""So many durations of successful runs say what is usual, …"""
ENOUGH_DURATIONS = 3
"""… once there are so many of them: …"""
LONGER = 2.0
"""… not longer than so many times the longest of them, …"""
LEAST = 60.0
"""… and never less than so many seconds."""


# Its turn.


def queue(jobs: Jobs, job: Job, active: Active) -> None:
    """It waits for one of `max_runs`."""
    run = active.run
    run.phase = Phase.QUEUED
    run.until = run.status = None
    jobs.head.place += 1
    run.place = jobs.head.place
    jobs.touch("head")
    run.reason = None
    if jobs.slots + len(jobs.queue) >= jobs.head.max_runs:  # those before it in the queue are served first
        count = jobs.head.max_runs
        run.reason = f"{count} run{'s are' if count > 1 else ' is'} under way, and tree.max_runs allows no more"
        jobs.note("run_waiting", job, {"run": run.id, "reason": run.reason})
    jobs.queue[job.name] = None
    jobs.moved(job, active)


def leave_queue(jobs: Jobs, job: Job, active: Active) -> None:
    """It waits for nothing any more, and counts for nothing."""
    run = active.run
    if run.phase is Phase.QUEUED:
        jobs.queue.pop(job.name, None)
    if run.phase in (Phase.ASKING, Phase.REFUSED):
        jobs.do(fx.ForgetGate(job.name, run.id))
    give_slot_back(jobs, active)


def give_slot_back(jobs: Jobs, active: Active) -> None:
    if active.run.slot:
        active.run.slot = False
        jobs.slots -= 1


# An attempt.


def begin(jobs: Jobs, job: Job, active: Active) -> None:
    """The next attempt, by the job's present specification."""
    run, spec, now = active.run, job.spec, jobs.now
    active.spec = spec
    jobs.touch(f"work/{job.name}/{run.id}")
    run.attempt += 1
    run.phase = Phase.RUNNING
    run.reason = run.status = run.result = None
    run.stages = stages.laid_out(spec, run.stages)
    run.stage = 0
    run.exit = run.signal = run.outcome = None
    run.unexpected = run.mended = False
    run.since, run.duration = now.mono, None
    run.deadline = None if spec.timeout is None else now.mono + spec.timeout
    run.usual = None
    durations = job.state.durations
    if run.cause != "rerun" and len(durations) >= ENOUGH_DURATIONS:
        run.usual = now.mono + max(LEAST, LONGER * max(durations))
    fields = {"run": run.id, "attempt": run.attempt, "cause": run.cause, "scheduled": run.scheduled}
    if run.started is None:
        run.started = now.wall
        jobs.note("run_started", job, fields)
    else:
        jobs.note("run_retried", job, fields)
    if run.cause != "rerun":
        job.state.started = now.wall
        job.state.missed = False
        jobs.save(job)
    stages.go_on(jobs, job, active)


# The end of an attempt.


def succeeded(jobs: Jobs, job: Job, active: Active) -> None:
    run, state = active.run, job.state
    _settle_times(jobs, active)
    _take_exit(active)
    if active.spec.staged and run.exit is None and run.signal is None:
        run.exit = 0  # only stages that are not critical ran, and failed
    if run.cause != "rerun":
        state.streak = state.failures = 0
        state.not_before = None
        if run.duration is not None and not any(stage.kept for stage in run.stages):
            state.durations = [*state.durations[1 - KEPT_DURATIONS :], run.duration]
        if active.spec.recovers and run.outcome is not None:
            run.result = ("succeeded", None)
            give_slot_back(jobs, active)
            _ask_recovery(jobs, job, active)
            return
    end(jobs, job, active, "succeeded", None)


def over(jobs: Jobs, job: Job, active: Active, how: RunState, reason: str | None) -> None:
    """An attempt has failed."""
    run, state = active.run, job.state
    _settle_times(jobs, active)
    _take_exit(active, timed_out=how == "timed_out")
    run.result = (how, reason)
    run.reason = reason
    if run.cause == "rerun":
        end(jobs, job, active, how, reason)
        return
    state.streak += 1
    state.not_before = jobs.now.wall + pause(jobs, job)
    jobs.save(job)
    _note_unexpected(jobs, job, active)
    give_slot_back(jobs, active)
    if active.spec.recovers:
        _ask_recovery(jobs, job, active)
    else:
        after_recovery(jobs, job, active)


def _ask_recovery(jobs: Jobs, job: Job, active: Active) -> None:
    active.run.phase = Phase.RECOVERING
    jobs.do(recover(active))
    jobs.save(job)
    jobs.moved(job, active)


def recover(active: Active) -> fx.Recover:
    """The record that the rules look at is that of the attempt, as if the run had ended with it."""
    record = showing.run(active)
    if active.run.result is not None:
        record.state, record.reason = active.run.result
    return fx.Recover(record)


def not_verified(jobs: Jobs, job: Job, active: Active, reason: str) -> None:
    """The job's own `verify` judges all of its stages: the next attempt begins at the first."""
    over(jobs, job, active, "failed", f"verify: {reason}")
    for stage in active.run.stages:
        stage.state = "waiting"


def after_recovery(jobs: Jobs, job: Job, active: Active) -> None:
    """Another attempt, or the end."""
    run, state = active.run, job.state
    how, reason = run.result or ("failed", None)
    if how == "succeeded" or run.attempt > active.spec.retries or state.leaving:
        end(jobs, job, active, how, reason)
        return
    wait = max(0.0, (state.not_before or 0.0) - jobs.now.wall)
    run.phase = Phase.BACKOFF
    run.reason = f"{reason or how}; attempt {run.attempt + 1} of {active.spec.retries + 1} in {wait:.6g} s"
    jobs.note("run_waiting", job, {"run": run.id, "reason": run.reason})
    jobs.moved(job, active)


def pause(jobs: Jobs, job: Job) -> float:
    """The least delay after as many failed attempts in a row as there are."""
    return delay(job.spec.backoff, max(1, job.state.streak), f"jobs/{job.name}", jobs.head.seed)


def _settle_times(jobs: Jobs, active: Active) -> None:
    run = active.run
    if run.since is not None:
        run.duration = jobs.now.mono - run.since
    run.deadline = run.usual = run.stop_by = None


def _take_exit(active: Active, *, timed_out: bool = False) -> None:
    """What the run says of itself: how the program ended that failed it, else the last one of what succeeded."""
    run = active.run
    chosen: Task | None = None
    for number, (stage, of) in enumerate(stages.pairs(active)):
        ended = [task for task in stage.tasks if task.ended is not None]
        failed = [task for task in ended if task.state == "failed"]
        if stage.state == "succeeded":
            done = [task for task in ended if task.state == "done"]
            chosen = max(done, key=lambda task: task.ended or 0.0, default=chosen)
        elif failed and (of.critical or (number == run.stage and stage.state != "failed")):
            chosen = failed[0]
    if chosen is not None:
        run.exit, run.signal = chosen.exit, chosen.signal
        run.outcome = outcome(active.spec.outcome, chosen.exit, chosen.signal, timed_out)


def _note_unexpected(jobs: Jobs, job: Job, active: Active) -> None:
    run, table = active.run, active.spec.outcome
    named = run.outcome is not None and run.outcome != table.get("other")
    if table and not named:
        run.unexpected = True
        fields = {"run": run.id, "exit": run.exit, "signal": run.signal, "outcome": run.outcome, "reason": run.reason}
        jobs.note("job_unexpected_exit", job, fields)


# The end of a run.


def cancel(jobs: Jobs, job: Job, active: Active, how: RunState, reason: str) -> None:
    """The run is to end, as ``how``, whatever it does."""
    run = active.run
    alive = run.alive
    if not alive:
        if run.phase in (Phase.RUNNING, Phase.VERIFYING):
            run.ending = (how, reason)
            all_stopped(jobs, job, active)
        else:
            end(jobs, job, active, how, reason)
        return
    hurried = run.phase is Phase.STOPPING
    if not hurried or run.ending is None or run.ending[0] == "timed_out":
        run.ending = (how, reason)
    if hurried:
        jobs.moved(job, active)
        return
    stop(jobs, job, active, active.spec.shutdown)


def stop(jobs: Jobs, job: Job, active: Active, grace: float | None) -> None:
    """Ask all its programs to end; `Run.ending` is set."""
    run = active.run
    run.phase = Phase.STOPPING
    run.deadline = run.usual = None
    run.stop_by = None if grace is None else jobs.now.mono + grace
    for stage in run.stages:
        for task in stage.tasks:
            if task.state == "alive":
                jobs.do(fx.StopTask(job.name, run.id, task.name, task.start, grace))
    jobs.moved(job, active)


def all_stopped(jobs: Jobs, job: Job, active: Active) -> None:
    """Nothing of a run that was to end is left."""
    run = active.run
    how, reason = run.ending or ("cancelled", "")
    run.ending = None
    stage = run.stages[run.stage] if run.stage < len(run.stages) else None
    if stage is not None and not stage.over:
        stage.ended, stage.reason = jobs.now.wall, reason
        for task in stage.tasks:
            if task.state == "again":
                task.state, task.at = "failed", None
        if how == "timed_out":
            stage.state = "timed_out"
        else:
            stage.state = "interrupted" if how == "interrupted" else "cancelled"
        stages.note_ended(jobs, job, active, stage)
    if how == "timed_out":
        over(jobs, job, active, how, reason)
    else:
        _settle_times(jobs, active)
        _take_exit(active)
        run.outcome = None
        end(jobs, job, active, how, reason)


def end(jobs: Jobs, job: Job, active: Active, how: RunState, reason: str | None, *, ended: bool = True) -> None:
    """The run is over. ``ended`` False: nobody knows when."""
    run, state = active.run, job.state
    leave_queue(jobs, job, active)
    run.result, run.reason = (how, reason), reason
    if active is job.active:
        if how == "interrupted":
            _keep_for_later(job, active)
        if how in ("failed", "timed_out"):
            state.failures += 1
        job.active = None
    else:
        job.rerun = None
        if job.active is not None:
            job.active.run.mended = how == "succeeded"
            jobs.touch(f"run/{job.name}/{job.active.run.id}")
    run.phase = Phase.OVER
    jobs.under_way -= 1
    record = showing.run(active)
    record.ended = jobs.now.wall if ended else None
    if run.cause != "rerun":
        job.last = record
        jobs.touch("last/" + job.name)
    jobs.save(job)
    jobs.gone(job, active)
    fields = {"run": run.id, "reason": reason}
    if how == "skipped":
        jobs.note("run_skipped", job, {"scheduled": run.scheduled, "status": run.status, **fields})
    jobs.do(fx.RunEnded(record))
    if how in ("failed", "timed_out") and run.cause != "rerun":
        _note_failing(jobs, job, active)
    jobs.run_over(job.name)


def _note_failing(jobs: Jobs, job: Job, active: Active) -> None:
    run, failures = active.run, job.state.failures
    if run.mended or (failures < active.spec.alert_after and not run.unexpected):
        return
    fields: dict[str, Any] = {"failures": failures, "run": run.id, "reason": run.reason}
    fields |= {"exit": run.exit, "signal": run.signal, "outcome": run.outcome, "unexpected": run.unexpected}
    if job.state.leaving:
        fields["removed"] = True
    jobs.note("job_failing", job, fields)


def _keep_for_later(job: Job, active: Active) -> None:
    """It is run again in the tree's next life, unless a person began it or nothing is ever made up for."""
    run = active.run
    if run.cause == "manual" or active.spec.catch_up == "none":
        return
    attempt = run.attempt + (run.phase in (Phase.BACKOFF, Phase.RECOVERING))
    done = [] if _all_over(run.stages) else run.stages
    job.state.again = Again(run.id, run.scheduled, max(1, attempt), done)


def _all_over(those: list[Stage]) -> bool:
    """What is missing is the job's own `verify`: it judges all of them."""
    return all(stage.over for stage in those)
