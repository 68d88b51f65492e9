"""`why JOB`: how a job is, what led there, and what comes next."""

from __future__ import annotations

import time
from typing import Any

from supervisor_tree.core.jobs.records import JobRecord
from supervisor_tree.root.words import duration

Line = dict[str, Any]

_NOISE = ("run_due", "activity", "activities_dropped")
_FAILED = ("failed", "timed_out")


def concerns(line: Line, job: str) -> bool:
    """Whether a line is part of the story of a job."""
    if line["event"] in _NOISE:
        return False
    return line.get("name") == job or line["event"] == "tree_started" or job in (line.get("names") or ())


def explain(job: JobRecord, chain: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer of `why`."""
    now = time.time()
    return {
        "name": job.name,
        "state": job.state,
        "summary": _summary(job, now),
        "reason": job.reason,
        "chain": chain,
        "next": _next(job, now),
    }


def output(job: JobRecord, lines: list[Line]) -> list[str]:
    """The last lines of the run that failed last, while that is how things are."""
    if job.last is None or job.last.state not in _FAILED:
        return []
    ended = (line for line in reversed(lines) if line["event"] == "run_ended" and line["run"]["run"] == job.last.run)
    line = next(ended, None)
    return [] if line is None else list(line.get("output_tail") or ())


def _summary(job: JobRecord, now: float) -> str:
    said = f"{job.name} is {job.state}" + (f": {job.reason}" if job.reason else "")
    if job.running is not None and job.running.started is not None:
        said += f", for {duration(max(0.0, now - job.running.started))} (run {job.running.run})"
        if job.running.reason and job.running.reason != job.reason:
            said += f": {job.running.reason}"
    if job.last is not None:
        when = f" {duration(max(0.0, now - job.last.ended))} ago" if job.last.ended is not None else ""
        was = "was " if job.last.state in ("interrupted", "cancelled", "skipped") else ""
        said += f"; its last run {was}{job.last.state.replace('_', ' ')}{when}"
        if job.last.reason and job.last.state != "succeeded":
            said += f": {job.last.reason}"
    if job.failures > 1 and f"{job.failures} failures in a row" not in said:
        said += f"; {job.failures} failures in a row"
    if job.missed:
        said += "; it has missed its time"
    return said


def _next(job: JobRecord, now: float) -> str:
    if job.state == "removed":
        return f"it is gone when its run has ended: `supervisor-tree ctl runs {job.name} -f` shows how that gets on"
    if job.state == "running":
        return f"`supervisor-tree ctl runs {job.name} -f` shows how it gets on"
    if job.state == "stopped":
        return f"nothing until `supervisor-tree ctl start {job.name}`"
    if job.state == "held" and job.hold is None:
        return "nothing until it is set and `supervisor-tree ctl reload` has read that"
    if job.state == "held":
        return f"nothing until `supervisor-tree ctl release {job.name}`"
    if job.state == "waiting":
        return "it begins by itself when it need not wait any more"
    if job.next is not None:
        return f"the next run in {duration(max(0.0, job.next - now))} ({job.schedule})"
    return f"nothing is ahead: `supervisor-tree ctl run {job.name}` runs it"
