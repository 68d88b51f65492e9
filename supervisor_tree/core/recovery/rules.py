"""One rule, `[recover.NAME]`, as plain data; whether it fires, and which of its steps are done."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from supervisor_tree.core.recovery.outcomes import OTHER, TIMEOUT, Result

OUTPUT, UNHEALTHY, EXIT, FAILED = TRIGGERS = ("output", "unhealthy", "exit", "failed")
"""What of a worker a rule may answer to: lines that it wrote, its health, an exit nobody asked for, giving up on it."""


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step: a verb and what it takes."""

    verb: str
    """clear_locks, restart, reload, alert, wait, rerun, command."""
    names: tuple[str, ...] = ()
    """Of restart and reload: children. Of clear_locks: globs. Of command: the program and its arguments."""
    level: str = ""
    """Of alert."""
    seconds: float = 0.0
    """Of wait."""
    timeout: float | None = None
    if_: str | None = None
    """The name in `match` that must have matched."""
    file: str | None = None
    """Of alert: also written there."""

    @property
    def words(self) -> str:
        """What it does, for people."""
        match self.verb:
            case "clear_locks":
                return f"clear locks {', '.join(self.names)}"
            case "restart" | "reload":
                return f"{self.verb} {', '.join(self.names)}"
            case "alert":
                return f"alert ({self.level})"
            case "wait":
                return f"wait {self.seconds:g} s"
            case "rerun":
                return "rerun"
        return f"command {' '.join(self.names)}"


class Rule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When to do what. Times in seconds."""

    name: str
    when: tuple[str, ...] | None = None
    match: dict[str, tuple[str, ...]] = {}
    ignore_case: bool = False
    count: int | None = None
    within: float | None = None
    cooldown: float | None = None
    max: int | None = None
    per: float | None = None
    steps: tuple[Step, ...] = ()
    stop_on_failure: bool = False


def answers_run(rule: Rule, result: Result, named: str | None, table: Mapping[str, str]) -> str | None:
    """Why this rule fires for a run that ended so; None when it does not.

    Args:
        named: what `outcome` calls the result.
        table: the whole of `outcome`, for the default of `when`: every failure that it names by its status. A crash
            of the program itself (another status, a signal, a timeout) is then nobody's finding to recover from.
    """
    key = result.key
    if rule.when is None:
        if key is None or key not in table or not result.failed or result.timed_out or result.signal is not None:
            return None
        return f"outcome {table[key]}"
    if named is not None and named in rule.when:
        return f"outcome {named}"
    return f"outcome {key}" if key is not None and key in rule.when else None


def answers_worker(rule: Rule, trigger: str, result: Result | None, table: Mapping[str, str]) -> str | None:
    """Why this rule fires for something that befell a worker; None when it does not.

    Args:
        trigger: one of `TRIGGERS`.
        result: with `exit`, how it ended: `when` may name outcomes of a worker, too, and by default means them.
    """
    if rule.when is not None and trigger in rule.when:
        return trigger
    if trigger == EXIT and result is not None:
        named = table.get(result.key or "") or (table.get(OTHER) if result.failed else None)
        return answers_run(rule, result, named, table)
    return None


def never_fires(rule: Rule, words: Collection[str]) -> list[str]:
    """The words of `when` that no outcome, status, signal or trigger is called: ``words`` are the outcomes' names."""
    known = {*words, *TRIGGERS, TIMEOUT}
    return [word for word in rule.when or () if word not in known and not _is_key(word)]


def _is_key(word: str) -> bool:
    return word.startswith("SIG") or (word.isascii() and word.isdigit() and int(word[:9]) <= 255)


class Patterns:
    """The patterns of one rule, compiled. `search` makes it usable where one pattern is expected."""

    def __init__(self, rule: Rule) -> None:
        flags = re.IGNORECASE if rule.ignore_case else 0
        self._all = {name: [re.compile(one, flags) for one in written] for name, written in rule.match.items()}

    def names(self, text: str) -> tuple[str, ...]:
        """The names of `match` whose patterns are found in the text, in the order of the file."""
        return tuple(name for name, patterns in self._all.items() if any(one.search(text) for one in patterns))

    def search(self, text: str) -> re.Match[str] | None:
        """The first match of any pattern."""
        found = (one.search(text) for patterns in self._all.values() for one in patterns)
        return next((match for match in found if match is not None), None)


def matched(rule: Rule, text: str) -> tuple[str, ...]:
    """The names of `match` that a run's output, both streams, brings up."""
    return Patterns(rule).names(text)


def skipped(step: Step, names: Collection[str]) -> str | None:
    """Why a step is not done when these names have matched; None: it is."""
    return None if step.if_ is None or step.if_ in names else f"{step.if_} did not match"


class Lines(Struct):
    """The lines of one worker that matched one rule: `count` of one name within `within` fire it."""

    times: dict[str, list[float]] = {}
    """By name of `match`: when each came, monotonic seconds, oldest first; no more than are needed."""

    def add(self, rule: Rule, names: Iterable[str], now: float) -> tuple[str, ...]:
        """A line came that matched ``names``. Returns the names that are over their count, empty before that."""
        most, within = rule.count or 1, rule.within
        reached = []
        for name in rule.match:
            times = self.times.get(name, [])
            if name in names:
                times = [*times, now][-most:]
            if within is not None:
                times = [at for at in times if now - at <= within]
            self.times[name] = times
            if len(times) >= most:
                reached.append(name)
        return tuple(reached)

    def clear(self) -> None:
        """The rule has been answered: what came before counts no more."""
        self.times.clear()
