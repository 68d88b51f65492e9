"""The life of a run: which event means what in which phase. The table is at the end; this is its essay.

delayed → queued → asking (→ refused → …) → running ⇄ verifying → over
                                               └→ stopping → over
             ▲                                 └→ recovering → backoff ┐
             └─────────────────────────────────────────────────────────┘

* A job has one run at most that is under way or waits, and, while that one recovers, one repetition of it. So no two
  programs of a job run at once, but instances of one stage.
* An event about a run that is over, or a program that was not started last, is dropped before the table is asked.
* A cancel wins over a time-out, the first cancel over later ones. A run that is stopping ends when the last of its
  programs has, and as what was said when it was stopped, whatever their statuses.
* Gates are asked when it is the run's turn, so at most as late as it begins; while one is closed the run gives its
  turn away. A retry asks again.
* Time-outs and retries of stages go by the monotonic clock; schedules and backoff by the wall clock, for they
  outlive the tree and go on while the machine sleeps.
* What was under way when the tree ended is `interrupted`, and is run again as `catch_up` says.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from supervisor_tree.core.jobs import attempts, due, late, stages, wishes
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs import events as ev
from supervisor_tree.core.jobs.job import Job, JobState
from supervisor_tree.core.jobs.run import WAITING, Active, Phase, Task

if TYPE_CHECKING:
    from supervisor_tree.core.jobs.jobs import Jobs

Rule = Callable[["Jobs", Job, Active, Any], None]
"""One cell: what an event about a run means in one phase."""


def handle(jobs: Jobs, event: ev.Event) -> None:
    """Apply the table of runs, or the rule of what is about no single run."""
    rules = TABLE.get(type(event))
    if rules is not None:
        job = jobs.jobs.get(event.job)  # type: ignore[union-attr]
        for active in () if job is None else (job.active, job.rerun):
            if active is not None and job is not None and active.run.id == event.run:  # type: ignore[union-attr]
                rules[active.run.phase](jobs, job, active, event)
                return
    elif jobs.head.begun or type(event) in _BEFORE:
        _RULES[type(event)](jobs, event)


# About all.


def tree_started(jobs: Jobs, event: ev.TreeStarted) -> None:
    head = jobs.head
    head.begun, head.ending = True, False
    head.offset = jobs.now.wall - jobs.now.mono
    jobs.touch("head")
    for request in jobs.requests:
        jobs.touch("request/" + request)
    jobs.requests.clear()
    for job in list(jobs.jobs.values()):
        due.mend_times(jobs, job)
        job.state.manual = []
        for active in (job.rerun, job.active):
            if active is not None:
                _interrupted(jobs, job, active)
        if not job.state.leaving:
            due.introduce(jobs, job)
            due.after_death(job)
            job.state.start_owed = job.spec.run_at_start and job.state.wish == "up"
            late.check_missed(jobs, job)
        jobs.stir(job.name)


def _interrupted(jobs: Jobs, job: Job, active: Active) -> None:
    """Whatever ran is dead: the tree is."""
    for stage in active.run.stages:
        if stage.state == "running":
            stage.state, stage.reason = "interrupted", "the tree ended"
            for task in stage.tasks:
                if task.state in ("alive", "again"):
                    task.state, task.at = "failed", None
    attempts.end(jobs, job, active, "interrupted", "the tree ended while it was under way", ended=False)


def ticked(jobs: Jobs, event: ev.ClockTicked) -> None:
    """Who has something to do now is found by the time."""


def shutdown(jobs: Jobs, event: ev.ShutdownRequested) -> None:
    if jobs.head.ending:
        return
    jobs.head.ending = True
    jobs.touch("head")
    for job in list(jobs.jobs.values()):
        for manual in job.state.manual:
            wishes.answer(jobs, manual.request, job.name, "the tree is shutting down")
        job.state.manual = []
        wishes.cancel_all(jobs, job, "interrupted", "the tree was shut down")
        jobs.save(job)
    if not jobs.under_way:
        jobs.all_ended()


def reconfigured(jobs: Jobs, event: ev.Reconfigured) -> None:
    jobs.head.max_runs = event.max_runs
    jobs.touch("head")
    named = {spec.name: spec for spec in event.jobs}
    for job in list(jobs.jobs.values()):
        if job.name not in named:
            _leave(jobs, job, cancel=job.name in event.removed)
    order: dict[str, Job] = {}
    for name, spec in named.items():
        known = jobs.jobs.pop(name) if name in jobs.jobs else None
        job = order[name] = known or Job(spec, None, JobState())
        job.spec, job.timetable, job.state.leaving = spec, event.timetables.get(name), False
        if jobs.head.begun:
            due.introduce(jobs, job)
        jobs.save(job)
    jobs.jobs = {**order, **jobs.jobs}
    for name in jobs.jobs:
        jobs.stir(name)


def _leave(jobs: Jobs, job: Job, *, cancel: bool) -> None:
    """It ends with what of it runs; what only waits ends now, with ``cancel`` all of it."""
    job.state.leaving = True
    for manual in job.state.manual:
        wishes.answer(jobs, manual.request, job.name, "the job was removed")
    job.state.manual = []
    for active in (job.rerun, job.active):
        if active is not None and (cancel or active.run.phase in WAITING or active.run.phase is Phase.BACKOFF):
            attempts.cancel(jobs, job, active, "cancelled", "the job was removed")
    jobs.save(job)


# Looking at a job: whatever its state and the time want. Done again it does nothing.


def look(jobs: Jobs, job: Job) -> None:
    state = job.state
    if state.leaving and job.active is None and job.rerun is None:
        forget(jobs, job)
        return
    for active in (job.active, job.rerun):
        if active is not None:
            _by_time(jobs, job, active)
    late.check_missed(jobs, job)
    due.decide(jobs, job)
    due.begin(jobs, job)
    late.check_overdue(jobs, job)
    jobs.look_at(job, min(_next_mono(job.active), _next_mono(job.rerun)), late.next_look(jobs, job))


def _by_time(jobs: Jobs, job: Job, active: Active) -> None:
    run, now = active.run, jobs.now
    if run.usual is not None and run.usual <= now.mono and run.since is not None:
        run.usual = None
        fields = {"run": run.id, "running": now.mono - run.since, "longest": max(job.state.durations, default=None)}
        jobs.note("run_longer_than_usual", job, fields)
        jobs.moved(job, active)
    if run.deadline is not None and run.deadline <= now.mono:
        _time_up(jobs, job, active)
    elif run.phase is Phase.RUNNING and _next_retry(active) <= now.mono:
        stages.go_on(jobs, job, active)
    elif (run.phase is Phase.DELAYED and (run.until or 0.0) <= now.wall) or (
        run.phase is Phase.BACKOFF and (job.state.not_before or 0.0) <= now.wall
    ):
        attempts.queue(jobs, job, active)


def _time_up(jobs: Jobs, job: Job, active: Active) -> None:
    """The job's `timeout`: its programs are killed, whole."""
    run = active.run
    reason = f"timed out after {active.spec.timeout:g} s"
    run.deadline = None
    run.ending = ("timed_out", reason)
    if run.alive:
        attempts.stop(jobs, job, active, 0.0)
    else:
        attempts.all_stopped(jobs, job, active)


def _next_retry(active: Active) -> float:
    """When a program of the present stage is tried again."""
    run = active.run
    if run.stage >= len(run.stages):
        return inf
    return min((task.at for task in run.stages[run.stage].tasks if task.at is not None), default=inf)


def _next_mono(active: Active | None) -> float:
    if active is None:
        return inf
    run = active.run
    times = [run.deadline, run.usual, _next_retry(active) if run.phase is Phase.RUNNING else None]
    return min((time for time in times if time is not None), default=inf)


def forget(jobs: Jobs, job: Job) -> None:
    """The job is not in the tree file, and nothing of it runs."""
    del jobs.jobs[job.name]
    jobs.touch("job/" + job.name)
    jobs.touch("last/" + job.name)


def granted(jobs: Jobs, job: Job) -> None:
    """It is the turn of the job's run."""
    active = job.active
    if active is None:
        return
    active.run.slot = True
    jobs.slots += 1
    if job.spec.gated:
        active.run.phase = Phase.ASKING
        active.run.reason = "waiting for `needs` and `require` to be asked"
        jobs.do(fx.AskGate(job.name, active.run.id))
        jobs.moved(job, active)
    else:
        attempts.begin(jobs, job, active)


def resume(jobs: Jobs, job: Job, active: Active) -> None:
    """All effects about a run whose answers are still to come."""
    run = active.run
    if run.phase in (Phase.ASKING, Phase.REFUSED):
        jobs.do(fx.AskGate(job.name, run.id))
    elif run.phase is Phase.VERIFYING:
        asked = run.stages[run.stage].name if run.stage < len(run.stages) else ""
        jobs.do(fx.Verify(job.name, run.id, asked))
    elif run.phase is Phase.RECOVERING:
        jobs.do(attempts.recover(active))
    for stage, of in stages.pairs(active):
        for task in stage.tasks:
            if task.state == "alive":
                stages.start_task(jobs, job, active, stage, of, task)
                if run.phase is Phase.STOPPING:
                    grace = None if run.stop_by is None else max(0.0, run.stop_by - jobs.now.mono)
                    jobs.do(fx.StopTask(job.name, run.id, task.name, task.start, grace))


# Rules of runs. The names say what has happened.


def nothing(jobs: Jobs, job: Job, active: Active, event: Any) -> None:
    """On purpose: it means nothing in this phase, or nothing any more."""


def answered(jobs: Jobs, job: Job, active: Active, event: ev.GateAnswered) -> None:
    if event.refusal is None:
        attempts.begin(jobs, job, active)
    else:
        attempts.give_slot_back(jobs, active)
        active.run.phase = Phase.REFUSED
        refused(jobs, job, active, event)


def refused(jobs: Jobs, job: Job, active: Active, event: ev.GateAnswered) -> None:
    run = active.run
    if (run.reason, run.status) != (event.refusal, event.status):
        run.reason, run.status = event.refusal, event.status
        jobs.note("run_waiting", job, {"run": run.id, "reason": event.refusal, "status": event.status})
    jobs.moved(job, active)


def opened(jobs: Jobs, job: Job, active: Active, event: ev.GateAnswered) -> None:
    """It has its turn at once, or waits for it and asks again."""
    if event.refusal is not None:
        refused(jobs, job, active, event)
    elif jobs.slots < jobs.head.max_runs and not jobs.queue:
        active.run.slot = True
        jobs.slots += 1
        attempts.begin(jobs, job, active)
    else:
        attempts.queue(jobs, job, active)


def _task(active: Active, event: ev.TaskStarted | ev.TaskEnded) -> Task | None:
    for stage in active.run.stages:
        for task in stage.tasks:
            if task.name == event.name and task.start == event.start and task.state == "alive":
                return task
    return None


def task_started(jobs: Jobs, job: Job, active: Active, event: ev.TaskStarted) -> None:
    task = _task(active, event)
    if task is not None and not task.running:
        task.running, task.started = True, jobs.now.wall
        jobs.moved(job, active)


def task_ended(jobs: Jobs, job: Job, active: Active, event: ev.TaskEnded) -> None:
    task = _task(active, event)
    if task is None:
        return
    _take_end(jobs, task, event)
    if event.exit.normal and not event.timed_out:
        task.state, task.reason = "done", None
    else:
        stages.task_failed(jobs, job, active.spec.stages[active.run.stage], task)
    stages.go_on(jobs, job, active)


def stopped(jobs: Jobs, job: Job, active: Active, event: ev.TaskEnded) -> None:
    task = _task(active, event)
    if task is None:
        return
    _take_end(jobs, task, event)
    task.state = "failed"
    if active.run.alive:
        jobs.moved(job, active)
    else:
        attempts.all_stopped(jobs, job, active)


def _take_end(jobs: Jobs, task: Task, event: ev.TaskEnded) -> None:
    task.ended = jobs.now.wall
    task.exit, task.signal, task.timed_out = event.exit.code, event.signal, event.timed_out
    task.reason = f"timed out ({event.exit.reason})" if event.timed_out else event.exit.reason


def verified(jobs: Jobs, job: Job, active: Active, event: ev.Verified) -> None:
    run = active.run
    stage = run.stages[run.stage] if run.stage < len(run.stages) else None
    if event.stage != ("" if stage is None else stage.name):
        return
    run.phase = Phase.RUNNING
    if stage is None:
        if event.refusal is None:
            attempts.succeeded(jobs, job, active)
        else:
            attempts.not_verified(jobs, job, active, event.refusal)
        return
    if event.refusal is None:
        stages.succeeded(jobs, job, active)
    else:
        for task in stage.tasks:
            if task.state == "done":
                task.reason = f"verify: {event.refusal}"
                stages.task_failed(jobs, job, active.spec.stages[run.stage], task)
    stages.go_on(jobs, job, active)


def recovered(jobs: Jobs, job: Job, active: Active, event: ev.Recovered) -> None:
    active.run.steps += event.steps
    attempts.after_recovery(jobs, job, active)


_BEFORE = frozenset({ev.TreeStarted, ev.Reconfigured})
"""What is heeded before the tree has started."""

_RULES: dict[type, Callable[[Jobs, Any], None]] = {
    ev.TreeStarted: tree_started,
    ev.ClockTicked: ticked,
    ev.ShutdownRequested: shutdown,
    ev.Reconfigured: reconfigured,
    ev.RunRequested: wishes.run_requested,
    ev.RerunRequested: wishes.rerun_requested,
    ev.CancelRequested: wishes.cancel_requested,
    ev.StopRequested: wishes.wished,
    ev.StartRequested: wishes.wished,
    ev.HoldRequested: wishes.wished,
    ev.ReleaseRequested: wishes.wished,
}

_PHASES = tuple(phase for phase in Phase if phase is not Phase.OVER)

# fmt: off
_ROWS: dict[type, tuple[Rule, ...]] = {
    #                 delayed  queued   asking    refused  running       verifying stopping      recovering backoff
    ev.GateAnswered: (nothing, nothing, answered, opened,  nothing,      nothing,  nothing,      nothing,   nothing),
    ev.TaskStarted:  (nothing, nothing, nothing,  nothing, task_started, nothing,  task_started, nothing,   nothing),
    ev.TaskEnded:    (nothing, nothing, nothing,  nothing, task_ended,   nothing,  stopped,      nothing,   nothing),
    ev.Verified:     (nothing, nothing, nothing,  nothing, nothing,      verified, nothing,      nothing,   nothing),
    ev.Recovered:    (nothing, nothing, nothing,  nothing, nothing,      nothing,  nothing,      recovered, nothing),
}
# fmt: on

TABLE: dict[type, dict[Phase, Rule]] = {event: dict(zip(_PHASES, rules, strict=True)) for event, rules in _ROWS.items()}
