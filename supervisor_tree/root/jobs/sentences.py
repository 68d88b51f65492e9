"""Journal lines about jobs and their runs, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor_tree.root.words import duration

Line = dict[str, Any]

_CAUSES = {
    "schedule": "",
    "catch_up": ", for its time was missed",
    "start": ", for the tree was started",
    "manual": ", asked for by hand",
    "interrupted": ", for the one before was interrupted",
    "rerun": ", by a recovery",
}
_ENDS = {
    "succeeded": "succeeded",
    "failed": "failed",
    "timed_out": "timed out",
    "interrupted": "was interrupted",
    "cancelled": "was cancelled",
}


def _because(line: Line) -> str:
    return f": {line['reason']}" if line.get("reason") else ""


def _unexpected(line: Line) -> str:
    return " (unexpected: its `outcome` does not name it)" if line.get("unexpected") else ""


def _by(line: Line) -> str:
    by = f" by {line['by']}" if line.get("by") else ""
    why = line.get("why") or line.get("reason")
    return f"{by}: {why}" if why else by


def _run_ended(line: Line) -> str:
    run = line["run"]
    took = f" after {duration(float(run['duration']))}" if run.get("duration") is not None else ""
    attempt = f" (attempt {run['attempt']} of {run['attempts']})" if (run.get("attempts") or 1) > 1 else ""
    named = f", {run['outcome']}" if run.get("outcome") else ""
    times = run.get("skipped") or 0
    skipped = f"; it was due {'once' if times == 1 else f'{times} times'} meanwhile" if times else ""
    what = "repetition" if run["cause"] == "rerun" else "run"
    said_before = run["state"] == "timed_out" and str(line.get("reason")).startswith("timed out")
    because = "" if said_before else _because(line)
    return f"a {what} of {line['name']} {_ENDS[run['state']]}{took}{attempt}{named}{because}{skipped}"


def _started(line: Line) -> str:
    return f"a run of {line['name']} began{_CAUSES[line['cause']]}"


def _stage(line: Line) -> str:
    state = str(line["state"]).replace("_", " ")
    return f"{line['name']}: stage {line['stage']} {state}{_because(line)}"


SENTENCES: dict[str, Callable[[Line], str]] = {
    "run_due": lambda line: f"a run of {line['name']} is due{_CAUSES[line['cause']]}",
    "run_waiting": lambda line: f"a run of {line['name']} waits{_because(line)}",
    "run_started": _started,
    "run_retried": lambda line: f"{line['name']} is tried again (attempt {line['attempt']})",
    "stage_started": lambda line: f"{line['name']}: stage {line['stage']} began",
    "stage_ended": _stage,
    "run_ended": _run_ended,
    "run_skipped": lambda line: f"a run of {line['name']} was skipped{_because(line)}",
    "run_missed": lambda line: (
        f"{line['name']} has missed its run: none has started for {duration(float(line['missed_after']))}"
    ),
    "run_overdue": lambda line: f"a run of {line['name']} is late{_because(line)}",
    "run_longer_than_usual": lambda line: (
        f"a run of {line['name']} takes longer than usual: {duration(float(line['running']))} by now, the longest of "
        f"the last ones took {duration(float(line['longest']))}"
    ),
    "job_failing": lambda line: (
        f"{line['name']} keeps failing, {line['failures']} times in a row{_because(line)}{_unexpected(line)}"
        if line["failures"] > 1
        else f"{line['name']} has failed{_because(line)}{_unexpected(line)}"
    ),
    "job_unexpected_exit": lambda line: f"{line['name']} ended as its `outcome` does not name it{_because(line)}",
    "job_stopped": lambda line: f"the schedule of {line['name']} was stopped{_by(line)}",
    "job_started": lambda line: f"the schedule of {line['name']} was started{_by(line)}",
    "job_held": lambda line: f"the schedule of {line['name']} is held{_by(line)}",
    "job_released": lambda line: f"the schedule of {line['name']} was released{_by(line)}",
    "clock_set_back": lambda line: (
        f"the clock was set back by {duration(float(line['by']))}: {line['name']} goes on from the new time"
    ),
    "job_files_not_written": lambda line: (
        f"files of jobs can't be written, and wait: {line.get('error')}"
        + (f" ({line['file']})" if line.get("file") else "")
    ),
    "job_files_written": lambda line: "files of jobs are written again",
    "job_state_unreadable": lambda line: (
        f"{line['file']} can't be read ({line['error']}): when jobs have run is not known"
        + (f"; it is kept as {line['moved_to']}" if line.get("moved_to") else "")
    ),
    "not_kept_awake": lambda line: f"the machine is not kept awake: {line['reason']}",
    "output_incomplete": lambda line: (
        f"{line['name']} has ended, and its output was not complete after {duration(float(line['waited']))}"
    ),
}
