"""Records: what is told of runs and jobs."""

from __future__ import annotations

from supervisor_tree.core.jobs import due
from supervisor_tree.core.jobs.job import Job
from supervisor_tree.core.jobs.records import (
    JobRecord,
    JobState,
    RunRecord,
    RunState,
    StageRecord,
    TaskRecord,
)
from supervisor_tree.core.jobs.run import Active, Phase, Run, Stage, Task
from supervisor_tree.core.jobs.spec import Now, StageSpec

_RUNNING = frozenset({Phase.RUNNING, Phase.VERIFYING, Phase.STOPPING, Phase.RECOVERING})


def run_state(run: Run) -> RunState:
    if run.phase is Phase.OVER and run.result is not None:
        return run.result[0]
    return "running" if run.phase in _RUNNING else "waiting"


def run(active: Active) -> RunRecord:
    """A record of its own: it does not change with the run."""
    one, spec = active.run, active.spec
    return RunRecord(
        job=one.job,
        run=one.id,
        state=run_state(one),
        cause=one.cause,
        scheduled=one.scheduled,
        created=one.created,
        started=one.started,
        duration=one.duration,
        exit=one.exit,
        signal=one.signal,
        outcome=one.outcome,
        attempt=one.attempt,
        attempts=1 if one.cause == "rerun" else spec.retries + 1,
        reason=one.reason,
        status=one.status,
        skipped=one.skipped,
        of=one.of,
        args=list(one.args),
        stages=_stages(one, spec.stages) if spec.staged else [],
        steps=list(one.steps),
    )


def _stages(one: Run, specs: tuple[StageSpec, ...]) -> list[StageRecord]:
    known = {stage.name: stage for stage in one.stages}
    return [_stage(known.get(spec.name) or Stage(name=spec.name), spec) for spec in specs]


def _stage(stage: Stage, spec: StageSpec) -> StageRecord:
    single = stage.tasks[0] if spec.instances is None and stage.tasks else None
    return StageRecord(
        name=stage.name,
        state=stage.state,
        critical=spec.critical,
        started=stage.started,
        ended=stage.ended,
        exit=single.exit if single is not None else None,
        signal=single.signal if single is not None else None,
        tries=max((task.tries for task in stage.tasks), default=0),
        reason=stage.reason or (single.reason if single is not None else None),
        kept=stage.kept,
        instances=None if spec.instances is None else [_task(task, stage) for task in stage.tasks],
    )


def _task(task: Task, stage: Stage) -> TaskRecord:
    record = TaskRecord(
        instance=task.instance or "",
        started=task.started,
        ended=task.ended,
        exit=task.exit,
        signal=task.signal,
        tries=task.tries,
        reason=task.reason,
    )
    if task.state == "alive":
        record.state = "running"
    elif task.state == "done":
        record.state = "succeeded"
    elif task.state == "failed":
        stopped = stage.state in ("interrupted", "cancelled")
        record.state = stage.state if stopped else "timed_out" if task.timed_out else "failed"
    return record


def job(one: Job, now: Now) -> JobRecord:
    state = one.state
    active = one.active
    record = JobRecord(
        name=one.name,
        state=_job_state(one, now),
        schedule=one.spec.schedule,
        next=due.next_run(one, now.wall),
        last=one.last,
        running=None if active is None else run(active),
        missed=state.missed,
        overdue=_overdue(one, now),
        failures=state.failures,
        hold=state.by if state.wish != "up" else None,
    )
    record.reason = _reason(one, record, now)
    return record


def _job_state(one: Job, now: Now) -> JobState:
    if one.state.leaving:
        return "removed"
    if one.active is not None:
        return "running" if run_state(one.active.run) == "running" else "waiting"
    if one.rerun is not None:
        return "running"
    if one.state.wish == "down":
        return "stopped"
    if one.state.wish == "hold":
        return "held"
    return "scheduled" if due.next_run(one, now.wall) is not None or due.owes(one) else "idle"


def _overdue(one: Job, now: Now) -> float | None:
    """How late the first run is that should have started."""
    since: float | None = None
    if one.active is not None:
        waiting = one.active.run
        if not waiting.begun:
            since = waiting.until or waiting.scheduled
    elif one.state.wish != "down":
        since = due.first_owed(one)
    late = None if since is None else now.wall - since
    return late if late is not None and late > due.LATE else None


def _reason(one: Job, record: JobRecord, now: Now) -> str | None:
    state = one.state
    if state.leaving:
        return "it is not in the tree file any more, and gone when its run has ended"
    if one.active is not None and record.state == "waiting":
        return one.active.run.reason
    if state.wish != "up":
        by = state.by
        verb = "stopped" if state.wish == "down" else "hold"
        who = f" by {by.who}" if by is not None and by.who else ""
        why = f": {by.why}" if by is not None and by.why else ""
        return f"{verb}{who}{why}"
    if one.active is None and one.spec.every is not None and (state.not_before or 0.0) > now.wall:
        return f"backoff after {state.streak} failure{'s in a row' if state.streak != 1 else ''}"
    return None
