"""Which journal lines are worth waking somebody: the one table of automatic alerts.

Each kind of line is judged alone, by a function of its fields: a `Problem` begins, or goes on; an `Over` ends what
was wrong; a `Relapse` says that what seemed over is not. What follows (who is told, when, how often) is `alerting`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from supervisor_tree.core.severity import Severity, severity

Fields = Mapping[str, Any]

CRASH_LOOP = 5
"""The restart in a row from which it is told: with the default backoff a worker has been down for about 7 s by then."""
HELD_FOR = 60.0
"""Seconds for which something may be held by what its start needs before it is told: at boot a disk or a network may
take a moment."""
DAY = 86400.0


class Problem(Struct, frozen=True, kw_only=True):
    """Something is wrong with ``about`` (None: with the tree itself)."""

    kind: str
    about: str | None
    severity: Severity
    detail: str = ""
    """Which of several of one kind."""
    again: bool = False
    """That it is said once more is news, as for a job that fails each night; else it is only counted."""
    after: float = 0.0
    """Told when it still holds after so many seconds."""
    ends: bool = True
    """There will be an `Over`; else it is told and done with."""
    quiet: float = 0.0
    """Least seconds between two of the same, where `repeat` does not say it: an hour, if this is not more."""

    @property
    def key(self) -> str:
        return ":".join((self.kind, self.about or "", self.detail)).rstrip(":")


class Over(Struct, frozen=True, kw_only=True):
    """These kinds of problem of ``about`` are over (None: all of them)."""

    about: str | None
    kinds: frozenset[str] | None = None
    detail: str | None = None
    steady: bool = False
    """Only when it stays so for as long as its backoff wants it to (`backoff.reset`)."""


class Relapse(Struct, frozen=True):
    """What has seemed over for ``about`` is not."""

    about: str | None


Finding = Problem | Over | Relapse

_RUN_STATE = frozenset(("crash_loop", "failed", "gave_up", "hung", "not_ready", "leftover", "limit", "held"))
"""What is over when a worker runs well again."""
_FAILURES = frozenset(("job_failing", "job_unexpected_exit", "run_longer_than_usual", "limit"))
"""What is over when a run succeeds. (`job_unexpected_exit` was told apart once, and may be in a file still.)"""
_UNDER_WAY = frozenset(("run_longer_than_usual", "limit"))
"""What is over when a run is, however it ended."""
_MISSED = frozenset(("run_missed", "run_overdue"))


def judge(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    """What a journal line means for whoever is to be told of trouble; mostly nothing."""
    rule = RULES.get(event)
    if rule is None or (name is not None and name.startswith(":")):
        return ()
    return rule(event, name, fields)


def _problem(**more: Any) -> Callable[[str, str | None, Fields], tuple[Finding, ...]]:
    def rule(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
        return (Problem(kind=event, about=name, severity=severity(event, {**fields, "name": name}), **more),)

    return rule


def _over(*kinds: str, steady: bool = False) -> Callable[[str, str | None, Fields], tuple[Finding, ...]]:
    def rule(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
        return (Over(about=name, kinds=frozenset(kinds) or None, steady=steady),)

    return rule


def _runs_well(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    return (Over(about=name, kinds=frozenset(("held",))), Over(about=name, kinds=_RUN_STATE, steady=True))


def _relapse(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    return (Relapse(name),)


def _restart(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    if int(fields.get("attempt") or 0) < CRASH_LOOP:
        return ()
    return (Problem(kind="crash_loop", about=name, severity="error"),)


def _given_up(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    child = str(fields.get("child") or name or "").rpartition("/")[2]
    return (Problem(kind="gave_up", about=child, severity=severity("gave_up", {"name": name}), again=True),)


def _held(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    if fields.get("by"):
        return (Over(about=name, kinds=_RUN_STATE),)  # hands off: whoever said so knows
    return (Problem(kind="held", about=name, severity="warning", after=HELD_FOR),)


def _limit(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    if fields.get("then") == "fail":
        return ()  # the run fails: that is told, if it is to be
    return (Problem(kind="limit", about=name, severity=severity(event, fields), detail=_limited(name, fields)),)


def _limit_kept(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    return (Over(about=name, kinds=frozenset(("limit",)), detail=_limited(name, fields)),)


def _limited(name: str | None, fields: Fields) -> str:
    """Of a job each stage and instance has its own."""
    kind, program = str(fields.get("kind")), fields.get("program")
    return kind if program in (None, name) else f"{kind} of {program}"


def _failing(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    ends = not fields.get("removed")  # of a job that is gone no run will succeed
    return (Problem(kind=event, about=name, severity=severity(event, fields), again=True, ends=ends),)


def _probe_failed(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    if fields.get("then") not in ("alert", "hold"):
        return ()  # it is restarted: what is told is that it does not help
    return (Problem(kind="probe", about=name, severity=severity(event, fields), detail=str(fields.get("probe") or "")),)


def _probe_passed(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    return (Over(about=name, kinds=frozenset(("probe",)), detail=str(fields.get("probe") or "")),)


def _run_ended(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    run = fields.get("run")
    state = run.get("state") if isinstance(run, Mapping) else None
    kinds = _FAILURES if state == "succeeded" else _UNDER_WAY
    return (Over(about=name, kinds=kinds),)


def _root_lost(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    if fields.get("reason") == "upgrade":
        return ()
    return (Problem(kind=event, about=None, severity="warning", ends=False),)


def _our_error(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    where = str(fields.get("where") or "")
    return (Problem(kind=event, about=None, severity="error", detail=where, ends=False),)


def _not_kept(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    return (Problem(kind=event, about=None, severity="error", detail=str(fields.get("what") or "")),)


def _kept_again(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    return (Over(about=None, kinds=frozenset(("state_not_kept",)), detail=str(fields.get("what") or "")),)


def _target_unknown(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    target = str(fields.get("target") or "")
    return (Problem(kind=event, about=None, severity="error", detail=target, ends=False),)


def _stopped(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    """Somebody wants it down. A stop of the tree's own (a strategy's, at the end of all) ends no trouble."""
    return (Over(about=name),) if fields.get("by") else ()


def _wished(event: str, name: str | None, fields: Fields) -> tuple[Finding, ...]:
    return (Over(about=name),) if fields.get("wish") == "down" else ()


RULES: dict[str, Callable[[str, str | None, Fields], tuple[Finding, ...]]] = {
    # Workers and supervisors
    "restart_scheduled": _restart,
    "gave_up": _given_up,
    "failed": _problem(),
    "hung": _problem(again=True),
    "held": _held,
    "leftover": _problem(),
    "limit_exceeded": _limit,
    "limit_kept_again": _limit_kept,
    "probe_failed": _probe_failed,
    "probe_passed": _probe_passed,
    "child_started": _runs_well,  # of one that says itself when it is ready this is no sign: the shell leaves it out
    "ready": _runs_well,
    "supervisor_started": _over("gave_up", steady=True),
    "child_exited": _relapse,
    "supervisor_ended": _relapse,
    "completed": _over(),
    "stopped": _stopped,
    "wish_changed": _wished,
    "removed": _over(),
    # Jobs
    "job_failing": _failing,
    "run_missed": _problem(again=True),
    "run_overdue": _problem(again=True),
    "run_longer_than_usual": _problem(),
    "run_started": _over(*_MISSED),
    "run_ended": _run_ended,
    "job_stopped": _over(*_MISSED, *_FAILURES),
    # Recovery and activity
    "recovery_suppressed": _problem(ends=False, again=True),
    "no_activity": _problem(again=True),
    "activity_resumed": _over("no_activity"),
    "source_not_asked": _problem(),
    "source_asked_again": _over("source_not_asked"),
    "alert_target_unknown": _target_unknown,
    "files_not_removed": _problem(ends=False, quiet=DAY),
    # The tree's own processes and files
    "root_lost": _root_lost,
    "last_life_cut_off": _problem(ends=False),
    "internal_error": _our_error,
    "unreachable": _problem(ends=False),
    "zygote_failed": _problem(ends=False),
    "logger_dropping": _problem(),
    "logger_recovered": _over("logger_dropping"),
    "journal_damaged": _problem(ends=False, again=True),
    "view_behind": _problem(after=HELD_FOR),
    "view_caught_up": _over("view_behind"),
    "job_state_unreadable": _problem(again=True),
    "job_files_not_written": _problem(),
    "job_files_written": _over("job_files_not_written"),
    "wishes_not_written": _problem(),
    "wishes_written": _over("wishes_not_written"),
    "state_not_kept": _not_kept,
    "state_kept_again": _kept_again,
}
