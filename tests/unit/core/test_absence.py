"""Nothing useful for too long: strict, repeated, over; sleep counts, time for which the tree was down does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor_tree.core.absence import STRICT, Absence

HOUR = 3600.0
SIX = 6 * HOUR


def test_no_alarm_at_the_start_and_one_after_the_threshold() -> None:
    watch = Absence(since=0.0)
    assert not watch.due(SIX, None)
    watch.passed(SIX)
    assert not watch.due(SIX, None)  # strict: more than six hours
    watch.passed(SIX * STRICT + 1)
    assert watch.due(SIX, None)
    assert watch.gap > SIX


def test_it_is_told_once_or_every_repeat_until_it_is_over() -> None:
    watch = Absence(since=0.0)
    watch.passed(SIX * 1.1)
    watch.told()
    assert not watch.due(SIX, None)
    assert watch.left(SIX, None) is None
    watch.passed(HOUR - 1)
    assert not watch.due(SIX, HOUR)
    assert watch.left(SIX, HOUR) == 1.0
    watch.passed(1)
    assert watch.due(SIX, HOUR)
    watch.told()
    assert watch.times == 2
    assert watch.active(100.0)
    assert not watch.due(SIX, HOUR)
    assert not watch.active(101.0)  # nothing to end any more
    assert watch.times == 0


def test_sleep_counts_and_is_known() -> None:
    watch = Absence(since=0.0)
    watch.passed(SIX * 1.1, slept=5 * HOUR)
    assert watch.due(SIX, None)
    assert watch.slept == 5 * HOUR


def test_time_for_which_the_tree_was_down_is_told_and_does_not_count() -> None:
    watch = Absence(since=0.0, last=0.0, quiet=HOUR)
    watch.was_down(100 * HOUR)
    assert not watch.due(SIX, None)
    watch.passed(SIX)
    assert watch.due(SIX, None)
    assert watch.gap == 107 * HOUR


def test_a_database_knows_of_something_earlier_than_now() -> None:
    watch = Absence(since=0.0)
    watch.passed(SIX * 1.1)
    assert not watch.active(0.0, ago=2 * HOUR)  # told of nothing, so nothing is over
    assert not watch.due(SIX, None)
    assert watch.quiet == 2 * HOUR


def test_what_a_database_knew_before_the_alarm_does_not_end_it() -> None:
    watch = Absence(since=0.0, last=0.0)
    watch.passed(SIX * 1.1)
    watch.told()
    assert not watch.active(0.0, ago=SIX * 1.2)
    assert watch.told_at is not None
    assert watch.active(1.0, ago=60.0)


def test_what_happened_before_it_was_watched_is_in_the_gap() -> None:
    watch = Absence(since=0.0)
    watch.passed(1.0)
    watch.active(-HOUR, ago=HOUR)
    assert watch.gap == HOUR
    assert watch.quiet == 1.0


@given(st.lists(st.tuples(st.sampled_from(["pass", "down", "active"]), st.floats(0, 1e6)), max_size=30))
def test_it_is_due_only_after_more_than_the_threshold_of_quiet(steps: list[tuple[str, float]]) -> None:
    watch = Absence(since=0.0)
    quiet = gap = 0.0
    for what, seconds in steps:
        if what == "pass":
            watch.passed(seconds)
            quiet, gap = quiet + seconds, gap + seconds
        elif what == "down":
            watch.was_down(seconds)
            gap += seconds
        else:
            watch.active(1.0)
            quiet = gap = 0.0
        assert watch.due(1000.0, None) == (quiet > 1000.0 * (1 + STRICT))
        assert abs(watch.gap - gap) < 1e-3
        if watch.due(1000.0, None):
            assert watch.gap > 1000.0
