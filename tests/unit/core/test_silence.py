"""The ledger of silence against a naive model: one that looks at everybody, every time."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from supervisor_tree.core.silence import Silence

NAMES = st.sampled_from("abcdef")
LIMITS = st.sampled_from([0.5, 1.0, 2.0, 7.0])


@dataclass
class Model:
    limit: float
    since: float
    heard: float


class Ledger(RuleBasedStateMachine):
    """Whatever is done, whoever is overdue is found at once, and nobody else is."""

    def __init__(self) -> None:
        super().__init__()
        self.silence: Silence[str] = Silence()
        self.model: dict[str, Model] = {}
        self.anew = float("-inf")
        self.now = 100.0

    def due(self, one: Model) -> float:
        return max(one.since, one.heard, self.anew) + one.limit

    @rule(step=st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0, 10.0]))
    def time_passes(self, step: float) -> None:
        self.now += step

    @rule(who=NAMES, limit=LIMITS)
    def watch(self, who: str, limit: float) -> None:
        self.silence.watch(who, limit, self.now)
        self.model[who] = Model(limit, self.now, self.now)

    @rule(who=NAMES)
    def end(self, who: str) -> None:
        self.silence.end(who)
        self.model.pop(who, None)

    @rule(who=NAMES, age=st.sampled_from([0.0, 0.0, 0.25, 2.0, 20.0]))
    def hear(self, who: str, age: float) -> None:
        self.silence.hear(who, self.now - age)
        if who in self.model:
            self.model[who].heard = max(self.model[who].heard, self.now - age)

    @rule(ahead=st.sampled_from([0.0, 1.0]))
    def begin_anew(self, ahead: float) -> None:
        self.anew = max(self.anew, self.now + ahead)
        self.silence.anew(self.now + ahead)

    @rule()
    def look(self) -> None:
        found = {overdue.who: overdue for overdue in self.silence.overdue(self.now)}
        expected = {who for who, one in self.model.items() if self.due(one) <= self.now}
        assert found.keys() == expected
        for who, overdue in found.items():
            one = self.model[who]
            assert overdue.silent == self.now - one.heard
            assert overdue.limit == one.limit
            one.since = self.now

    @invariant()
    def nobody_is_overdue_before_the_next_look(self) -> None:
        first = self.silence.next()
        if not self.model:
            assert first is None
        else:
            assert first is not None
            assert first <= min(self.due(one) for one in self.model.values())

    @invariant()
    def it_knows_whom_it_watches(self) -> None:
        assert len(self.silence) == len(self.model)
        for who in "abcdef":
            assert (who in self.silence) == (who in self.model)
            assert self.silence.limit(who) == (self.model[who].limit if who in self.model else None)
            assert self.silence.heard(who) == (self.model[who].heard if who in self.model else None)

    @precondition(lambda self: self.model)
    @rule()
    def after_all_limits_all_are_overdue(self) -> None:
        self.now += 30.0
        self.look()


TestLedger = Ledger.TestCase


def test_silence_that_goes_on_is_reported_once_a_limit() -> None:
    silence: Silence[str] = Silence()
    silence.watch("a", 2.0, 0.0)
    reported = [each for each in range(100) if silence.overdue(each / 10)]
    assert reported == [20, 40, 60, 80]


def test_a_limit_begins_with_the_watch() -> None:
    silence: Silence[str] = Silence()
    silence.watch("a", 2.0, 50.0)
    assert not silence.overdue(51.9)
    assert [overdue.silent for overdue in silence.overdue(52.0)] == [2.0]


@given(st.integers(1, 500), st.integers(1, 40))
def test_beats_re_arm_nothing(workers: int, beats: int) -> None:
    """Everybody beats all the time: the heap is touched once a limit for each, however often they beat."""
    silence: Silence[int] = Silence()
    for who in range(workers):
        silence.watch(who, 10.0, 0.0)
    first = silence.next()
    for beat in range(beats):
        for who in range(workers):
            silence.hear(who, (beat + 1) * 9.0 / beats)
        assert silence.next() == first
    assert not silence.overdue(10.0)


def test_what_ended_is_let_go_of() -> None:
    """Workers that crash faster than their limits pass leave nothing behind."""
    silence: Silence[str] = Silence()
    for start in range(10_000):
        silence.watch("a", 3600.0, float(start))
        silence.watch(f"b{start}", 3600.0, float(start))
        silence.end(f"b{start}")
    assert len(silence) == 1
    assert len(silence._heap) < 200
