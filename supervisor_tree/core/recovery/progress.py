"""How often a rule may be answered, and how far one recovery has come."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from supervisor_tree.core.recovery.rules import Rule, Step, skipped


class Past(Struct, omit_defaults=True):
    """When one rule was answered before. Times in seconds, of one clock."""

    starts: list[float] = []
    """Oldest first, as many as `max` asks for."""
    ended: float | None = None
    under_way: str | None = None
    """The recovery that is."""

    def refuses(self, rule: Rule, now: float) -> str | None:
        """Why the rule is not answered now; None: it may be. A time in the future is of a clock that was set back."""
        if self.under_way is not None:
            return "a recovery by this rule is under way"
        if rule.cooldown is not None and self.ended is not None and 0 <= now - self.ended < rule.cooldown:
            return f"cooldown: {_seconds(rule.cooldown - (now - self.ended))} of {_seconds(rule.cooldown)} left"
        if rule.max is not None and rule.per is not None:
            lately = [at for at in self.starts if 0 <= now - at < rule.per]
            if len(lately) >= rule.max:
                return f"{len(lately)} recoveries within {_seconds(rule.per)}: no more than max = {rule.max}"
        return None

    def begin(self, rule: Rule, id_: str, now: float) -> None:
        self.starts = [*self.starts, now][-(rule.max or 1) :]
        self.under_way = id_

    def end(self, now: float) -> None:
        self.ended, self.under_way = now, None

    def cut_off(self) -> None:
        """Whoever was about it is gone, and nobody knows when it ended: it counts from its beginning."""
        if self.under_way is not None and self.starts:
            self.ended = self.starts[-1]
        self.under_way = None

    def moved(self, by: float) -> Past:
        """The same on a clock that is ahead by so many seconds."""
        ended = None if self.ended is None else self.ended + by
        return Past([at + by for at in self.starts], ended, self.under_way)


class Recovery(Struct, kw_only=True, omit_defaults=True):
    """One recovery under way, with everything that a new root needs to go on with it."""

    id: str
    rule: Rule
    """As it was when this began: a reload does not change it under way."""
    about: str
    """The job, worker or script that it is for."""
    why: str
    """What made it fire."""
    exit: int | None = None
    outcome: str | None = None
    matched: tuple[str, ...] = ()
    started: float = 0.0
    """Wall clock."""
    run: str | None = None
    """Of a job."""
    attempt: int = 0
    next: int = 0
    """The step that comes next, or is under way."""
    begun: dict[str, Any] | None = None
    """What the step under way was begun with; None: it is not begun."""
    results: list[dict[str, Any]] = []
    ended: bool = False

    def step(self) -> tuple[int, Step] | None:
        """The step to do next; None: all are done. Steps whose `if` is not met are noted and passed over."""
        while not self.ended and self.next < len(self.rule.steps):
            step = self.rule.steps[self.next]
            why = skipped(step, self.matched)
            if why is None:
                return self.next, step
            self._note(step, None, f"skipped: {why}")
        self.ended = True
        return None

    def begin(self, **with_: Any) -> None:
        """The present step is about to be done."""
        self.begun = with_

    def done(self, ok: bool, text: str, **more: Any) -> dict[str, Any]:
        """The present step has ended. A failed one ends the whole only with `stop_on_failure`."""
        step = self.rule.steps[self.next]
        result = self._note(step, ok, text, **more)
        if not ok and self.rule.stop_on_failure:
            self.ended = True
        return result

    def _note(self, step: Step, ok: bool | None, text: str, **more: Any) -> dict[str, Any]:
        result = {"rule": self.rule.name, "step": self.next + 1, "verb": step.verb, "ok": ok, "text": text, **more}
        self.results.append(result)
        self.next += 1
        self.begun = None
        return result

    @property
    def failures(self) -> int:
        return sum(result["ok"] is False for result in self.results)


def _seconds(value: float) -> str:
    if value < 60:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if value < 3600 else f"{value / 3600:.3g} h"
