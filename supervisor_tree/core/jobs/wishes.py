"""What operators ask of jobs. `stop`/`start` and `hold`/`release` are about the schedule, and last; `run` works in all.

Each request ends with one `Reply`: a stop or cancel when nothing of the run is left, the others at once. A request that
is under way already is answered where it began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor_tree.core.events import By
from supervisor_tree.core.jobs import attempts, due
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs import events as ev
from supervisor_tree.core.jobs.job import Again, Job, Manual
from supervisor_tree.core.jobs.records import RunState
from supervisor_tree.core.jobs.run import WAITING, Active, Phase, Run
from supervisor_tree.core.jobs.snapshot import Pending

if TYPE_CHECKING:
    from supervisor_tree.core.jobs.jobs import Jobs


_LEAVES = "it is not in the tree file any more: it is gone when its run has ended"


def result(name: str, reason: str | None = None, run: str | None = None) -> dict[str, Any]:
    return {"name": name, "ok": reason is None, "reason": reason, "run": run}


def answer(jobs: Jobs, request: str, name: str, reason: str | None = None, run: str | None = None) -> None:
    jobs.do(fx.Reply(request, [result(name, reason, run)]))


# The schedule.


def wished(jobs: Jobs, event: ev.Request) -> None:
    """`stop`, `start`, `hold`, `release`."""
    if event.request in jobs.requests:
        return
    stops = isinstance(event, ev.StopRequested)
    refused = {name: _refusal(jobs, name, stops=stops) for name in event.jobs}
    known = [name for name, reason in refused.items() if reason is None]
    results = [result(name, reason) for name, reason in refused.items()]
    jobs.requests[event.request] = Pending(known if stops else [], results)
    jobs.touch("request/" + event.request)
    for name in known:
        if not jobs.jobs[name].state.leaving:
            _WISHES[type(event)](jobs, jobs.jobs[name], event.by)
        if stops:
            cancel_all(jobs, jobs.jobs[name], "cancelled", _words("stopped", event.by))
    settle(jobs, event.request, None)


def _refusal(jobs: Jobs, name: str, *, stops: bool) -> str | None:
    """Why nothing can be asked of a job; of one that leaves the end of its run can."""
    job = jobs.jobs.get(name)
    if job is None:
        return "no such job"
    return _LEAVES if job.state.leaving and not stops else None


def _stop(jobs: Jobs, job: Job, by: By) -> None:
    """What is owed is let go of: after a start only what comes then counts."""
    state = job.state
    if state.wish != "down":
        jobs.note("job_stopped", job, _who(by))
    state.wish, state.by = "down", by
    state.owed, state.again, state.start_owed = [], None, False
    for manual in state.manual:
        answer(jobs, manual.request, job.name, "stopped meanwhile")
    state.manual = []
    jobs.save(job)


def _start(jobs: Jobs, job: Job, by: By) -> None:
    state = job.state
    if state.wish == "down":
        forget_past(jobs, job)
    if state.wish != "up":
        jobs.note("job_started", job, _who(by))
    state.wish, state.by = "up", None
    jobs.save(job)


def forget_past(jobs: Jobs, job: Job) -> None:
    """Instants until now don't count. One of `every` that never ran is due at once."""
    state, wall, every = job.state, jobs.now.wall, job.spec.every
    if every is not None and state.scheduled is None and state.started is None:
        state.anchor, state.seen = wall, wall - every / 2
    else:
        state.seen = max(state.seen, wall)


def _hold(jobs: Jobs, job: Job, by: By) -> None:
    """One that is stopped stays so: there is nothing to hold."""
    state = job.state
    if state.wish != "up":
        return
    state.wish, state.by = "hold", by
    jobs.note("job_held", job, _who(by))
    active = job.active
    if active is not None and active.run.phase in WAITING and not active.run.begun and active.run.cause != "manual":
        put_back(jobs, job, active)
    jobs.save(job)


def put_back(jobs: Jobs, job: Job, active: Active) -> None:
    """A run that only waits is owed again."""
    run, instants = active.run, job.instants
    attempts.end(jobs, job, active, "skipped", "held before it began")
    if run.cause == "interrupted" and run.of is not None:
        job.state.again = Again(run.of, run.scheduled, run.attempt + 1, run.stages)
    elif run.scheduled is None:
        job.state.start_owed = job.state.start_owed or run.cause == "start"
    elif instants is not None:
        due.owe_first(job, instants, run)


def _release(jobs: Jobs, job: Job, by: By) -> None:
    state = job.state
    if state.wish != "hold":
        return
    state.wish, state.by = "up", None
    jobs.note("job_released", job, _who(by))
    jobs.save(job)


_WISHES: dict[type, Any] = {
    ev.StopRequested: _stop,
    ev.StartRequested: _start,
    ev.HoldRequested: _hold,
    ev.ReleaseRequested: _release,
}


# A run.


def run_requested(jobs: Jobs, event: ev.RunRequested) -> None:
    job = jobs.jobs.get(event.job)
    if job is None or job.state.leaving:
        answer(jobs, event.request, event.job, "no such job" if job is None else _LEAVES)
        return
    state, active = job.state, job.active
    if any(one.request == event.request for one in state.manual):
        return
    if jobs.head.ending:
        answer(jobs, event.request, job.name, "the tree is shutting down")
        return
    manual = Manual(event.request, event.args, event.by)
    if active is not None and _only_waits(active.run):
        # Nothing of it runs: the person's run takes its place.
        run = active.run
        how: RunState = "skipped"
        reason = "a run asked for by hand took its place"
        if run.begun:
            how, because = run.result or ("failed", None)
            reason = because or how
        attempts.end(jobs, job, active, how, reason)
    elif active is not None or job.rerun is not None:
        if job.spec.overlap == "skip":
            run = (active or job.rerun).run  # type: ignore[union-attr]
            answer(jobs, event.request, job.name, f"run {run.id} is under way", run.id)
            return
        if job.spec.overlap == "kill":
            cancel_all(jobs, job, "cancelled", _words("another run was asked for", event.by))
    state.manual.append(manual)
    jobs.save(job)


def _only_waits(run: Run) -> bool:
    return run.phase in WAITING or run.phase is Phase.BACKOFF


def rerun_requested(jobs: Jobs, event: ev.RerunRequested) -> None:
    job = jobs.jobs.get(event.job)
    active = None if job is None else job.active
    if job is None or active is None or active.run.id != event.run or active.run.phase is not Phase.RECOVERING:
        answer(jobs, event.request, event.job, "this run is not being recovered")
    elif job.rerun is not None:
        answer(jobs, event.request, event.job, "it is being run again already", job.rerun.run.id)
    elif jobs.head.ending:
        answer(jobs, event.request, event.job, "the tree is shutting down")
    else:
        rerun = due.make(jobs, job, "rerun", active.run.scheduled)
        rerun.run.of = active.run.id
        rerun.run.args = active.run.args
        job.rerun = rerun
        answer(jobs, event.request, event.job, None, rerun.run.id)
        attempts.begin(jobs, job, rerun)


def cancel_requested(jobs: Jobs, event: ev.CancelRequested) -> None:
    if event.request in jobs.requests:
        return
    job = jobs.jobs.get(event.job)
    run = None if job is None or job.active is None else job.active.run
    if job is None:
        answer(jobs, event.request, event.job, "no such job")
    elif run is None or event.run not in (None, run.id):
        answer(jobs, event.request, event.job, "no such run is under way")
    else:
        jobs.requests[event.request] = Pending([job.name], [result(job.name, None, run.id)])
        jobs.touch("request/" + event.request)
        cancel_all(jobs, job, "cancelled", _words("cancelled", event.by))
        settle(jobs, event.request, None)


def cancel_all(jobs: Jobs, job: Job, how: RunState, reason: str) -> None:
    """The run, and its repetition by a recovery."""
    for active in (job.rerun, job.active):
        if active is not None:
            attempts.cancel(jobs, job, active, how, reason)


# Answers that wait for an end.


def run_over(jobs: Jobs, name: str) -> None:
    """A run of this job has ended."""
    for request in list(jobs.requests):
        settle(jobs, request, name)


def settle(jobs: Jobs, request: str, name: str | None) -> None:
    """Answer, if nothing that was to end is left."""
    pending = jobs.requests.get(request)
    if pending is None or (name is not None and name not in pending.open):
        return
    pending.open = [one for one in pending.open if _is_there(jobs, one)]
    jobs.touch("request/" + request)
    if not pending.open:
        del jobs.requests[request]
        jobs.do(fx.Reply(request, pending.results))


def _is_there(jobs: Jobs, name: str) -> bool:
    job = jobs.jobs.get(name)
    return job is not None and (job.active is not None or job.rerun is not None)


def _who(by: By) -> dict[str, Any]:
    return {"by": by.who, "reason": by.why}


def _words(what: str, by: By) -> str:
    return f"{what}{' by ' + by.who if by.who else ''}{': ' + by.why if by.why else ''}"
