"""What the view makes of a line of the journal: a row of `system_events`, and the heartbeat of a job's run.

A line says all that is needed: nothing is looked up in the configuration, which may be another one by now.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from supervisor_tree.core.severity import severity
from supervisor_tree.store.segments import Line

_RUNS = ("run_ended", "run_skipped", "run_waiting")
_WITHOUT = ("time", "event", "event_type", "severity")
"""They have columns of their own."""


class Heartbeat(NamedTuple):
    """What `job_heartbeats` learns of a run."""

    job_name: str
    status: str
    result: Literal["success", "failure", "none"]
    """What becomes of `last_success`, `last_failure` and `consecutive_failures`; none: nothing."""
    error: str | None
    at: str


class Row(NamedTuple):
    """A row of `system_events` and the line that it comes from."""

    seq: int
    crc: int
    event_type: str
    event_data: str
    severity: str
    created_at: str
    """RFC 3339, UTC."""
    heartbeat: Heartbeat | None


def row(line: Line) -> Row:
    """What becomes of one line."""
    told: dict[str, Any] = msgspec.json.decode(line.line)
    kind, at = str(told["event"]), str(told["time"])
    data = {key: value for key, value in told.items() if key not in _WITHOUT}
    event_type = told.get("event_type")
    if kind == "activity":
        event_type = told.get("activity")  # POST_SUCCESS: what a program says of itself is called as it says
    heartbeat = None
    if kind in _RUNS:
        names = told.get("record") or {}
        run = told.get("run")
        run = run if isinstance(run, dict) else {}
        status, result, details = _said(kind, told, run)
        if status is not None and result is not None:
            heard = {"status": status, "details": details, "timestamp": at}
            data = {**heard, **data, **heard}
            event_type = event_type or names.get("event_type")
            job = str(names.get("job_name") or told.get("name"))
            heartbeat = Heartbeat(job, status, result, None if result == "success" else details, at)
    return Row(
        line.seq,
        line.crc,
        str(event_type or kind),
        msgspec.json.encode(data).decode(),
        severity(kind, told),
        at,
        heartbeat,
    )


def _said(
    kind: str, told: dict[str, Any], run: dict[str, Any]
) -> tuple[str | None, Literal["success", "failure", "none"] | None, str | None]:
    """Status, result and details of a run; a status of None: this is no heartbeat.

    OK, what the failing probe says (`status`), or ERROR. A run that was cancelled, or did not begin because the one
    before it still ran, says nothing of the job; nor does a recovery's rerun, which is recorded apart. One that was
    interrupted did not fail."""
    state = run.get("state") or {"run_waiting": "waiting", "run_skipped": "skipped"}.get(kind)
    status = told.get("status") or run.get("status")
    said = str(status) if status else None
    reason = told.get("reason") or run.get("reason")
    details = str(reason) if reason else _outcome(run)
    if state == "cancelled" or run.get("cause") == "rerun":
        return None, None, details
    if state == "succeeded":
        return "OK", "success", details
    if state == "waiting":
        # It becomes a failure when it is skipped; by then the status has been seen.
        return said, "none", details
    if state == "skipped":
        return said, "failure", details
    if state == "interrupted":
        return said or "ERROR", "none", details
    return said or "ERROR", "failure", details


def _outcome(run: dict[str, Any]) -> str | None:
    if run.get("outcome"):
        return str(run["outcome"])
    if run.get("signal") is not None:
        return f"killed by {run['signal']}"
    if run.get("exit") is not None:
        return f"exit status {run['exit']}"
    return str(run["state"]).replace("_", " ") if run.get("state") else None
