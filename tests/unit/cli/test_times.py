"""Times as people write and read them."""

from __future__ import annotations

import calendar
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_tree.cli import times
from supervisor_tree.cli.errors import CommandError


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("1.5h", 5400), ("90", 90), ("250ms", 0.25), ("2 d", 172800), ("1w", 604800)]
)
def test_durations_are_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert times.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "10 parsecs", "-5s", "1m30s"])
def test_what_is_no_duration_is_a_usage_error_with_a_mend(text: str) -> None:
    with pytest.raises(CommandError) as caught:
        times.duration(text)
    assert caught.value.code == "usage"
    assert "30s" in caught.value.mend


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_utc_times_are_read_as_the_c_library_reads_them(at: int) -> None:
    parts = time.gmtime(at)
    assert times.unix(time.strftime("%Y-%m-%dT%H:%M:%SZ", parts)) == calendar.timegm(parts)
    assert times.unix(times.rfc3339(at)) == at


def test_an_offset_is_taken_off() -> None:
    assert times.unix("2026-11-22T14:05:00+02:00") == times.unix("2026-11-22T12:05:00Z")
    assert times.unix("2026-11-22T14:05:00.250-05:30") == times.unix("2026-11-22T19:35:00Z") + 0.25


def test_a_moment_is_so_long_ago_or_a_time_of_today_or_a_date() -> None:
    now = times.unix("2026-11-22T14:05:00")
    assert times.moment("10m", now) == now - 600
    assert times.moment("14:00", now) == now - 300
    assert times.moment("14:00:30", now) == now - 270
    assert times.moment("2026-11-22", now) == times.unix("2026-11-22T00:00:00")
    assert times.moment("2026-11-22T12:00:00Z", now) == times.unix("2026-11-22T12:00:00Z")
    with pytest.raises(CommandError):
        times.moment("yesterday", now)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.85, "850ms"),
        (42.9, "42s"),
        (60, "1m"),
        (185, "3m 5s"),
        (7800, "2h 10m"),
        (86400 * 4 + 3600 * 3, "4d 3h"),
        (86400 * 400, "400d"),
    ],
)
def test_spans_take_two_units_at_most(seconds: float, text: str) -> None:
    assert times.span(seconds) == text


def test_relative_times_say_before_or_after() -> None:
    assert times.relative(100, 285) == "3m 5s ago"
    assert times.relative(112, 100) == "in 12s"
    assert times.relative(100, 100.2) == "just now"
    assert times.relative(100.5, 100) == "in 500ms"


def test_clock_says_the_date_only_of_other_days() -> None:
    now = times.unix("2026-11-22T14:05:00")
    assert times.clock(now - 60, now) == "14:04:00"
    assert times.clock(now - 86400, now) == "2026-11-21 14:05:00"
