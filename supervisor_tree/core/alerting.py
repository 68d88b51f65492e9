"""Who is told of trouble, when, and how often: the memory of what is wrong, as a pure machine.

Times are wall-clock seconds, because a condition outlives the machine's uptime. Rules:

1. What is new is told after `GATHER` seconds, together with all else that comes up by then: two hundred workers that
   fail at once are one message. Under a storm the messages come 2, 4, 8 … 60 s apart; what is critical does not wait.
2. What goes on is told again every `repeat` while it lasts; without `repeat` only when there is news (a job failed once
   more), at most once an hour. What came in between is counted, and the count is told. What has become worse is told at
   once.
3. That it is over is told, if it was told that it began. One that comes and goes is not told of at each turn: with
   every relapse its end must hold longer (5, 10, 20 … 60 minutes) before it is believed.
4. What does not last (an alert of a recovery step) is told once; of the same within `repeat` (or an hour) only the
   count is told, when that time is over.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from msgspec import Struct

from supervisor_tree.core.alert_rules import Over, Problem, Relapse
from supervisor_tree.core.severity import Severity, at_least

GATHER = 1.0
"""Seconds from the first sign of something to the message."""
_PAUSE, _PAUSE_MOST, _CALM = 2.0, 60.0, 300.0
"""Seconds between two messages: at first, at most; and after how many without one all is as at first."""
_HOLD, _HOLD_MOST = 300.0, 3600.0
"""Seconds for which an end must hold after the first relapse, and at most."""
_REST = 3600.0
"""Seconds between two messages about the same, where `repeat` does not say it."""
_REMEMBERED = 6 * 3600.0
"""Seconds for which relapses are remembered."""


Step = Literal["tell", "end", "forget", "wait"]


class Condition(Struct, kw_only=True):
    """Something that is wrong, or was until lately. This is the state that is kept."""

    key: str
    kind: str
    about: str | None
    severity: Severity
    title: str
    since: float
    last: float
    """When it was last said."""
    count: int = 1
    """How often it was said since it began."""
    unsaid: int = 0
    """How often since it was last told."""
    due: float | None = None
    """When it is to be told."""
    told: float | None = None
    told_as: Severity | None = None
    ends: bool = True
    quiet: float = 0.0
    relapses: int = 0
    over: float | None = None
    """When it counts as over, if nothing comes in between."""
    closed: float | None = None
    """It was over then: remembered for its relapses only."""
    said: bool = True
    """The journal has that it was raised; False of what is only told if it lasts."""
    context: dict[str, Any] = {}


class Telling(Struct):
    """What is to be told now."""

    begun: list[Condition]
    ended: list[Condition]


class Alerting:
    """All that is wrong with one tree."""

    def __init__(self, *, level: Severity = "warning", repeat: float | None = None) -> None:
        self.level = level
        self.repeat = repeat
        self.conditions: dict[str, Condition] = {}
        self._about: dict[str | None, dict[str, None]] = {}
        """Keys by whom they are about: a line about one of ten thousand does not look at all of them."""
        self._changed: dict[str, None] = {}
        self._now: float | None = None
        self._last_message: float | None = None
        self._pause = 0.0

    # State

    def load(self, condition: Condition) -> None:
        """One that a root or a tree before us knew of."""
        self._put(condition)

    def _put(self, condition: Condition) -> None:
        self.conditions[condition.key] = condition
        self._about.setdefault(condition.about, {})[condition.key] = None

    def take_changes(self) -> list[tuple[str, Condition | None]]:
        """Keys of what has changed since the last call, with what it is now; None: it is forgotten."""
        changed, self._changed = self._changed, {}
        return [(key, self.conditions.get(key)) for key in changed]

    # What happens

    def clock(self, now: float) -> None:
        """A wall clock that was set back takes all times with it: nothing waits for the day to come round again."""
        if self._now is not None and now < self._now - 1.0:
            self._shift(now - self._now)
        self._now = now

    def problem(self, problem: Problem, title: str, now: float, context: dict[str, Any] | None = None) -> bool:
        """Something is wrong. Answers whether that is news (to be told, or counted as something new); of what is only
        told if it lasts it is none yet."""
        self.clock(now)
        key = problem.key
        was = self.conditions.get(key)
        if was is None or was.closed is not None:
            condition = Condition(
                key=key,
                kind=problem.kind,
                about=problem.about,
                severity=problem.severity,
                title=title,
                since=now,
                last=now,
                due=now + problem.after if at_least(problem.severity, self.level) else None,
                ends=problem.ends,
                quiet=problem.quiet,
                relapses=was.relapses + 1 if was is not None else 0,
                said=problem.after == 0,
                context=context or {},
            )
            self._put(condition)
            self._changed[key] = None
            return condition.said
        was.count += 1
        was.unsaid += 1
        was.last = now
        if was.over is not None:
            was.over = None
            was.relapses += 1
        news = problem.again
        if at_least(problem.severity, was.severity):
            news = news or problem.severity != was.severity
            was.severity, was.title, was.context = problem.severity, title, context or was.context
        if was.told is None:
            if was.due is None and at_least(was.severity, self.level):
                was.due = now + problem.after
        elif was.told_as is not None and at_least(was.severity, self.level) and was.severity != was.told_as:
            was.due = now
        elif news:
            was.due = was.told + self._rest(was)
        self._changed[key] = None
        return news and was.said

    def resolve(self, over: Over, now: float, steady: float = 0.0) -> None:
        """Some of what was wrong is over; ``steady``: if it stays so for these seconds."""
        self.clock(now)
        for condition in self._of(over.about):
            if (
                condition.closed is None
                and condition.ends
                and (over.kinds is None or condition.kind in over.kinds)
                and (over.detail is None or condition.key == f"{condition.kind}:{over.about or ''}:{over.detail}")
            ):
                at = now + (steady if over.steady else 0.0) + _hold(condition.relapses)
                if condition.over is None or at < condition.over:
                    condition.over = at
                    self._changed[condition.key] = None

    def relapse(self, relapse: Relapse, now: float) -> None:
        """What seemed over is not."""
        self.clock(now)
        for condition in self._of(relapse.about):
            if condition.over is not None and condition.closed is None:
                condition.over = None
                self._changed[condition.key] = None

    def _of(self, about: str | None) -> list[Condition]:
        return [self.conditions[key] for key in self._about.get(about, ())]

    # What follows

    def next(self) -> float | None:
        """When `take` has something to give, or something is to be forgotten; None: never, as things are."""
        times = [step[0] for each in self.conditions.values() if (step := self._step(each)) is not None]
        return min(times, default=None)

    def _step(self, one: Condition) -> tuple[float, Step] | None:
        """What comes next of this one, and when."""
        if one.closed is not None:
            return one.closed + _REMEMBERED, "forget"
        if one.told is None:
            if one.over is not None and (one.due is None or one.over <= one.due):
                return one.over, "forget"  # it was over before it was worth telling
            if one.due is not None:
                return self._from(one.due + GATHER, one.severity), "tell"
            return None if one.ends else (one.last, "forget")
        if one.over is not None:
            return self._from(one.over, "info"), "end"
        if one.due is not None:
            return self._from(one.due, one.severity), "tell"
        if one.ends:
            return None
        return one.told + self._rest(one), "tell" if one.unsaid else "forget"

    def _from(self, at: float, severity: Severity) -> float:
        """Not sooner than the pause after the last message allows."""
        if self._last_message is None or severity == "critical":
            return at
        return max(at, self._last_message + self._pause)

    def take(self, now: float) -> Telling:
        """What is to be told now. It counts as told once `told` is called: until then it is given again."""
        self.clock(now)
        telling = Telling([], [])
        waiting: list[Condition] = []
        for one in list(self.conditions.values()):
            at, step = self._step(one) or (math.inf, "wait")
            if step == "forget" and at <= now:
                self._forget(one.key)
            elif step == "tell":
                (telling.begun if at <= now else waiting).append(one)
            elif step == "end" and at <= now:
                telling.ended.append(one)
        if telling.begun or telling.ended:  # who has only just come up, or waits for the pause, needs no other message
            telling.begun += [one for one in waiting if one.due is not None and one.due <= now]
        return telling

    def told(self, telling: Telling, now: float) -> None:
        """This was told (it lies in the queue, from which nothing is lost)."""
        self.clock(now)
        for one in telling.begun:
            self._changed[one.key] = None
            one.told, one.told_as, one.said, one.unsaid, one.due = now, one.severity, True, 0, None
            if one.ends and self.repeat is not None:
                one.due = now + self.repeat
        for one in telling.ended:
            self._changed[one.key] = None
            one.closed, one.due = now, None
        if self._last_message is None or now - self._last_message > _CALM:
            self._pause = _PAUSE
        else:
            self._pause = min(2 * self._pause, _PAUSE_MOST)
        self._last_message = now

    def keep_about(self, known: set[str]) -> None:
        """What is about any other name is forgotten: the tree file has it no longer."""
        for one in list(self.conditions.values()):
            if one.about is not None and one.about not in known and one.ends:
                self._forget(one.key)

    def _rest(self, one: Condition) -> float:
        """Least seconds between two messages about the same."""
        return max(_REST, one.quiet) if self.repeat is None else self.repeat

    def _forget(self, key: str) -> None:
        condition = self.conditions.pop(key)
        del self._about[condition.about][key]
        if not self._about[condition.about]:
            del self._about[condition.about]
        self._changed[key] = None

    def _shift(self, seconds: float) -> None:
        for one in self.conditions.values():
            one.since += seconds
            one.last += seconds
            for name in ("due", "told", "over", "closed"):
                at = getattr(one, name)
                if at is not None:
                    setattr(one, name, at + seconds)
            self._changed[one.key] = None
        if self._last_message is not None:
            self._last_message += seconds


def _hold(relapses: int) -> float:
    return 0.0 if relapses == 0 else float(min(_HOLD_MOST, _HOLD * 2 ** min(relapses - 1, 10)))
