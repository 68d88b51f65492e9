"""What a rule would do, without doing it: for `ctl recover --dry-run` and `--replay`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from supervisor_tree.core.recovery.outcomes import Result, outcome
from supervisor_tree.core.recovery.progress import Past
from supervisor_tree.core.recovery.rules import Rule, answers_run, matched, skipped


class StepForecast(Struct, frozen=True, kw_only=True):
    step: int
    does: str
    skipped: str | None
    """Why it would not be done."""


class Forecast(Struct, frozen=True, kw_only=True):
    """One rule and one result."""

    rule: str
    outcome: str | None
    fires: str | None
    """Why; None: it does not."""
    refused: str | None = None
    """Why it would not be answered all the same: cooldown, max."""
    matched: tuple[str, ...] = ()
    steps: tuple[StepForecast, ...] = ()


def forecast(
    rule: Rule, result: Result, table: Mapping[str, str], text: str, past: Past, now: float, named: str | None = None
) -> Forecast:
    """What would happen after this result at ``now``; where something would, ``past`` counts it.

    Args:
        table: the names that `outcome` gives.
        named: what a run was called at its time; None: what ``table`` calls it.
    """
    named = named or outcome(table, result)
    why = answers_run(rule, result, named, table)
    if why is None:
        return Forecast(rule=rule.name, outcome=named, fires=None)
    refused = past.refuses(rule, now)
    if refused is None:
        past.begin(rule, "", now)
        past.end(now)
    names = matched(rule, text)
    steps = tuple(
        StepForecast(step=number, does=step.words, skipped=skipped(step, names))
        for number, step in enumerate(rule.steps, 1)
    )
    return Forecast(rule=rule.name, outcome=named, fires=why, refused=refused, matched=names, steps=steps)
