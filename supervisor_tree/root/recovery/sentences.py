"""Journal lines of recoveries in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Line = dict[str, Any]


def _ended(line: Line) -> str:
    if line.get("cancelled"):
        return "was cancelled"
    failures = line.get("failures") or 0
    original = f"; the original exit code {line['exit']} stands" if line.get("exit") is not None else ""
    how = f"ended, {failures} step{'' if failures == 1 else 's'} failed" if failures else "ended"
    return how + original


def _matched(line: Line) -> str:
    return f", matched {', '.join(line['matched'])}" if line.get("matched") else ""


def _of(line: Line) -> str:
    return f"recovery {line.get('rule')} of {line['name']}"


SENTENCES: dict[str, Callable[[Line], str]] = {
    "recovery_triggered": lambda line: f"{_of(line)} was triggered: {line.get('why')}{_matched(line)}",
    "recovery_step": lambda line: (
        f"{_of(line)}, {str(line['verb']).replace('_', ' ')}"
        f"{' failed' if line.get('ok') is False else ''}: {line.get('text')}"
    ),
    "recovery_ended": lambda line: f"{_of(line)} {_ended(line)}",
    "recovery_suppressed": lambda line: f"{_of(line)} was not done: {line.get('reason')}",
}
