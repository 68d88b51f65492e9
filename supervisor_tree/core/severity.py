"""How bad what a journal line tells is: one table for alerts, the SQL view and `ctl events`.

A line that says its severity itself (`alert_raised`, `no_activity`, `limit_exceeded`) is believed; of any other
the kind decides, and for a few of them how the thing ended. Kinds that are not in the table are `info`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeGuard

Severity = Literal["info", "warning", "error", "critical"]
Fields = Mapping[str, Any]

LEVELS: tuple[Severity, ...] = ("info", "warning", "error", "critical")
"""From the least to the worst."""


def severity(kind: str, fields: Fields) -> Severity:
    """The severity of one journal line: its kind, and all that it says (``name`` may be among the fields)."""
    said = fields.get("severity")
    if _is_level(said):
        return said
    found = _TABLE.get(kind, "info")
    return found if isinstance(found, str) else found(fields)


def at_least(one: Severity, other: Severity) -> bool:
    """Whether ``one`` is as bad as ``other``, or worse."""
    return LEVELS.index(one) >= LEVELS.index(other)


def _is_level(value: Any) -> TypeGuard[Severity]:
    return value in LEVELS


_RUNS: dict[str, Severity] = {"failed": "error", "timed_out": "error", "interrupted": "warning", "skipped": "warning"}


def _run(fields: Fields) -> Severity:
    run = fields.get("run")
    return _RUNS.get(str(run.get("state")), "info") if isinstance(run, Mapping) else "info"


def _exit(fields: Fields) -> Severity:
    return "info" if fields.get("normal") else "warning"


def _probe(fields: Fields) -> Severity:
    return "error" if fields.get("then") in ("restart", "hold") else "warning"


def _tree_ended(fields: Fields) -> Severity:
    return "info" if fields.get("why") == "shutdown" or not fields.get("status") else "critical"


def _given_up(fields: Fields) -> Severity:
    return "critical" if fields.get("name") in (None, "root") else "error"


def _step(fields: Fields) -> Severity:
    return "warning" if fields.get("ok") is False else "info"


_TABLE: dict[str, Severity | Callable[[Fields], Severity]] = {
    # Workers and supervisors
    "child_exited": _exit,
    "failed": "error",
    "start_failed": "error",
    "restart_scheduled": "warning",
    "gave_up": _given_up,
    "escalated": "error",
    "hung": "error",
    "not_ready": "error",
    "kill_requested": "warning",
    "left_alone": "warning",
    "unwell": "warning",
    "unhealthy": "warning",
    "held": lambda fields: "info" if fields.get("by") else "warning",
    "leftover": "error",
    "limit_exceeded": "warning",
    "probe_failed": _probe,
    # Jobs
    "run_ended": _run,
    "run_skipped": "warning",
    "run_missed": "error",
    "run_overdue": "warning",
    "run_longer_than_usual": "warning",
    "run_retried": "warning",
    "stage_ended": lambda fields: "warning" if fields.get("state") in ("failed", "timed_out") else "info",
    "job_failing": "error",
    "job_unexpected_exit": "error",
    "job_state_unreadable": "error",
    "job_files_not_written": "warning",
    "not_kept_awake": "warning",
    # Recovery
    "recovery_triggered": "warning",
    "recovery_step": _step,
    "recovery_ended": _step,
    "recovery_suppressed": "error",
    # Alerts and activity
    "alert_raised": "warning",
    "alert_not_sent": "error",
    "alert_target_unknown": "error",
    "alerts_folded": "warning",
    "no_activity": "warning",
    "source_not_asked": "warning",
    "files_not_removed": "warning",
    # The tree's own processes and files
    "tree_ended": _tree_ended,
    "root_lost": "warning",
    "logger_restarted": "warning",
    "logger_dropping": "error",
    "logger_stalled": "error",
    "logger_blocking": "error",
    "zygote_failed": "error",
    "zygote_lost": "warning",
    "zygote_killed": "warning",
    "swept": "warning",
    "last_life_cut_off": "warning",
    "unreachable": "error",
    "heartbeats_unreachable": "error",
    "hello_refused": "warning",
    "limits_not_watched": "warning",
    "watch_failed": "warning",
    "watch_slowed": "warning",
    "reload_refused": "warning",
    "upgrade_refused": "warning",
    "output_incomplete": "warning",
    "incident_not_written": "warning",
    "file_not_written": "warning",
    "wishes_not_written": "error",
    "state_not_kept": "error",
    "file_put_aside": "error",
    "journal_damaged": "error",
    "journal_not_checked": "warning",
    "view_behind": "warning",
    "view_made_anew": "warning",
    "internal_error": "error",
}
