"""JOB and RUN of configuration §4 as JSON, and a run in the form of S2's `last_run_status.json`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from supervisor_tree.core.events import By
from supervisor_tree.core.jobs.records import JobRecord, RunRecord, StageRecord, TaskRecord
from supervisor_tree.root.clocks import rfc3339

_SETTLED = {"succeeded": True, "failed": False, "timed_out": False, "interrupted": False, "cancelled": False}


def run_json(run: RunRecord) -> dict[str, Any]:
    """A RUN."""
    return {
        "job": run.job,
        "run": run.run,
        "state": run.state,
        "cause": run.cause,
        "scheduled": _time(run.scheduled),
        "created": _time(run.created),
        "started": _time(run.started),
        "ended": _time(run.ended),
        "duration": run.duration,
        "exit": run.exit,
        "signal": run.signal,
        "outcome": run.outcome,
        "attempt": run.attempt,
        "attempts": run.attempts,
        "reason": run.reason,
        "status": run.status,
        "skipped": run.skipped,
        "of": run.of,
        "args": run.args,
        "log": run.log,
        "stages": [_stage_json(stage) for stage in run.stages],
        "steps": run.steps,
    }


def job_json(job: JobRecord, said: str | None) -> dict[str, Any]:
    """A JOB. ``said``: what its program says that it is doing."""
    return {
        "name": job.name,
        "type": "job",
        "state": job.state,
        "schedule": job.schedule or None,
        "next": _time(job.next),
        "last": None if job.last is None else run_json(job.last),
        "running": None if job.running is None else run_json(job.running),
        "missed": job.missed,
        "overdue": job.overdue,
        "failures": job.failures,
        "hold": _hold(job.hold),
        "reason": job.reason,
        "status": said,
    }


def status_json(run: RunRecord) -> dict[str, Any]:
    """`last_run_status.json`: what watchdogs of pipelines read. What is not known yet is null."""
    failed = next((stage for stage in run.stages if stage.critical and _SETTLED.get(stage.state) is False), None)
    success = _SETTLED.get(run.state)
    return {
        "job": run.job,
        "run_id": run.run,
        "state": run.state,
        "start_time": _iso(run.started),
        "end_time": _iso(run.ended),
        "success": success,
        "failed_stage": failed.name if failed is not None and success is not True else None,
        "error": None if success is not False else run.reason or (failed.reason if failed is not None else None),
        "attempt": run.attempt,
        "exit": run.exit,
        "log": run.log,
        "stages": [_status_stage(stage) for stage in run.stages],
    }


def _status_stage(stage: StageRecord) -> dict[str, Any]:
    told = _status_part(stage, stage.name)
    if stage.instances is not None:
        told["instances"] = [_status_part(task, task.instance) for task in stage.instances]
    return told


def _status_part(part: StageRecord | TaskRecord, name: str) -> dict[str, Any]:
    both = part.started is not None and part.ended is not None
    success = _SETTLED.get(part.state)
    return {
        "name": name,
        "success": success,
        "start_time": _iso(part.started),
        "end_time": _iso(part.ended),
        "duration_seconds": round(part.ended - part.started, 3) if both else None,  # type: ignore[operator]
        "error": part.reason if success is False else None,
        "retries": max(0, part.tries - 1),
    }


def _stage_json(stage: StageRecord) -> dict[str, Any]:
    return {
        "name": stage.name,
        "state": stage.state,
        "success": _SETTLED.get(stage.state),
        "critical": stage.critical,
        "started": _time(stage.started),
        "ended": _time(stage.ended),
        "exit": stage.exit,
        "signal": stage.signal,
        "tries": stage.tries,
        "reason": stage.reason,
        "kept": stage.kept,
        "instances": None if stage.instances is None else [_task_json(task) for task in stage.instances],
    }


def _task_json(task: TaskRecord) -> dict[str, Any]:
    return {
        "instance": task.instance,
        "state": task.state,
        "success": _SETTLED.get(task.state),
        "started": _time(task.started),
        "ended": _time(task.ended),
        "exit": task.exit,
        "signal": task.signal,
        "tries": task.tries,
        "reason": task.reason,
    }


def _hold(by: By | None) -> dict[str, Any] | None:
    if by is None:
        return None
    return {"by": by.who or None, "at": rfc3339(by.at) if by.at else None, "reason": by.why or None}


def _time(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


def _iso(at: float | None) -> str | None:
    """As `datetime.fromisoformat` of every Python reads it: before 3.11 that knows no Z."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
