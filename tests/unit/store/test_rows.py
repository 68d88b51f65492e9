"""What a line of the journal becomes in the view."""

from __future__ import annotations

import json
from typing import Any

import pytest

from supervisor_tree.store.segments import Line
from supervisor_tree.store.view.rows import Heartbeat, Row, row

AT = "2026-11-22T14:05:00.000Z"


def of(event: str, **fields: Any) -> Row:
    told = {"time": AT, "seq": 7, "event": event, "name": "job", **fields}
    return row(Line(7, 99, json.dumps(told).encode()))


def test_any_line_is_a_row() -> None:
    made = of("child_exited", name="web", exit="exit status 1", normal=False)
    assert made[:3] == (7, 99, "child_exited")
    assert json.loads(made.event_data) == {"seq": 7, "name": "web", "exit": "exit status 1", "normal": False}
    assert (made.severity, made.created_at, made.heartbeat) == ("warning", AT, None)


def test_a_line_may_name_its_event_type_and_severity() -> None:
    made = of(
        "no_activity", event_type="ALERT_NO_ACTIVITY", severity="critical", hours_since_post=7.5, threshold_hours=6
    )
    assert (made.event_type, made.severity) == ("ALERT_NO_ACTIVITY", "critical")
    assert json.loads(made.event_data)["hours_since_post"] == 7.5


def test_an_activity_is_called_as_the_program_says() -> None:
    made = of("activity", name="bot", activity="POST_SUCCESS", fields={"id": 5})
    assert made.event_type == "POST_SUCCESS"
    assert json.loads(made.event_data)["fields"] == {"id": 5}


RECORD = {"event_type": "RUNNER_DAEMON_HEARTBEAT", "job_name": "runner_daemon"}


@pytest.mark.parametrize(
    ("event", "run", "fields", "expected"),
    [
        ("run_ended", {"state": "succeeded"}, {}, ("OK", "success", "succeeded")),
        ("run_ended", {"state": "failed", "exit": 3}, {}, ("ERROR", "failure", "exit status 3")),
        ("run_ended", {"state": "failed", "signal": "SIGSEGV"}, {}, ("ERROR", "failure", "killed by SIGSEGV")),
        ("run_ended", {"state": "failed", "outcome": "degraded"}, {}, ("ERROR", "failure", "degraded")),
        ("run_ended", {"state": "timed_out"}, {"reason": "after 60 s"}, ("ERROR", "failure", "after 60 s")),
        ("run_ended", {"state": "failed"}, {"status": "STALE"}, ("STALE", "failure", "failed")),
        ("run_ended", {"state": "interrupted"}, {}, ("ERROR", "none", "interrupted")),
        ("run_waiting", None, {"status": "CDP_DOWN", "reason": "no answer"}, ("CDP_DOWN", "none", "no answer")),
        ("run_skipped", None, {"status": "CDP_DOWN", "reason": "no answer"}, ("CDP_DOWN", "failure", "no answer")),
        ("run_waiting", {"state": "waiting", "status": "X"}, {"status": None}, ("X", "none", "waiting")),
        ("run_skipped", None, {"reason": "the one before still runs"}, None),
        ("run_waiting", None, {"reason": "max_runs"}, None),
        ("run_ended", {"state": "cancelled"}, {}, None),
        ("run_ended", {"state": "succeeded", "cause": "rerun"}, {}, None),
    ],
)
@pytest.mark.parametrize("record", [None, RECORD, {"event_type": None, "job_name": None}])
def test_a_run_is_a_heartbeat(
    record: Any, event: str, run: Any, fields: dict[str, Any], expected: tuple[str, str, str | None] | None
) -> None:
    made = of(event, run=run, record=record, **fields)
    if expected is None:
        assert (made.event_type, made.heartbeat) == (event, None)
        return
    status, result, details = expected
    named = record is RECORD
    assert made.event_type == ("RUNNER_DAEMON_HEARTBEAT" if named else event)
    data = json.loads(made.event_data)
    assert (data["status"], data["details"], data["timestamp"]) == (status, details, AT)
    error = None if result == "success" else details
    assert made.heartbeat == Heartbeat("runner_daemon" if named else "job", status, result, error, AT)  # type: ignore[arg-type]
