"""What is said of jobs and their runs."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_tree.core.jobs.records import JobRecord, RunRecord
from supervisor_tree.root.jobs.explaining import explain
from supervisor_tree.root.jobs.sentences import SENTENCES
from supervisor_tree.root.sentences import sentence


def ended(state: str, reason: str | None, **more: Any) -> str:
    run = {"state": state, "cause": "schedule", "duration": 2.0, **more}
    return SENTENCES["run_ended"]({"name": "job", "run": run, "reason": reason})


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (ended("succeeded", None, skipped=1), "a run of job succeeded after 2 s; it was due once meanwhile"),
        (ended("succeeded", None, skipped=7), "a run of job succeeded after 2 s; it was due 7 times meanwhile"),
        (ended("timed_out", "timed out after 2 s"), "a run of job timed out after 2 s"),
        (ended("failed", "exit status 7"), "a run of job failed after 2 s: exit status 7"),
    ],
)
def test_how_a_run_ended(said: str, sentence: str) -> None:
    assert said == sentence


def summary(state: str, why: str, **more: Any) -> str:
    last = RunRecord(job="job", run="1", state=state, cause="schedule", reason=why)  # type: ignore[arg-type]
    job = JobRecord(name="job", state="scheduled", schedule="every 1s", last=last, **more)
    return str(explain(job, [])["summary"])


def test_why_says_each_thing_once() -> None:
    assert summary("failed", "exit status 7", failures=4, reason="backoff after 4 failures in a row") == (
        "job is scheduled: backoff after 4 failures in a row; its last run failed: exit status 7"
    )
    assert summary("failed", "exit status 7", failures=4) == (
        "job is scheduled; its last run failed: exit status 7; 4 failures in a row"
    )
    assert summary("cancelled", "the next run was due") == (
        "job is scheduled; its last run was cancelled: the next run was due"
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            {"event": "logger_cut", "name": "job", "stream": "out", "bytes": 50_000_000},
            "a line of job was longer than a log file may be, and is cut after 50000000 bytes",
        ),
        ({"event": "file_not_written", "path": "/x", "error": "Is a directory"}, "/x can't be written: Is a directory"),
        (
            {"event": "wishes_not_written", "error": "No space left on device"},
            "what was stopped or is held can't be written down for the next start: No space left on device",
        ),
        ({"event": "logger_blocking", "name": "a", "reason": "No space"}, "a has to wait with its output: No space"),
        (
            {"event": "logger_stalled", "name": None, "reason": "the disk has not answered for 5 s"},
            "output is written late: the disk has not answered for 5 s",
        ),
        ({"event": "upgrade_refused", "why": "it can't start"}, "the upgrade was refused: it can't start"),
        ({"event": "wishes_written"}, "what was stopped or is held is written down again"),
    ],
)
def test_what_a_full_disk_and_a_long_line_lead_to_is_told_in_words(line: dict[str, Any], told: str) -> None:
    assert sentence(line) == told
