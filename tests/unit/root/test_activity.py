"""Clocks of `[activity]`, and what databases answer."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from supervisor_tree.root.activity.activity import Stamp
from supervisor_tree.root.activity.asking import moment

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()


def test_sleep_is_time_and_known_as_sleep() -> None:
    before = Stamp(wall=NOON, up=1000.0, awake=1000.0, boot="a")
    after = Stamp(wall=NOON + 7 * 3600, up=1000.0 + 7 * 3600, awake=1000.0 + 3600, boot="a")
    assert before.seconds_to(after) == 7 * 3600
    assert before.slept_to(after) == 6 * 3600


def test_a_wall_clock_that_is_set_is_no_time() -> None:
    before = Stamp(wall=0.0, up=10.0, awake=10.0, boot="a")  # a machine without a clock, before it knows the time
    after = Stamp(wall=NOON, up=15.0, awake=15.0, boot="a")
    assert before.seconds_to(after) == 5.0
    assert before.slept_to(after) == 0.0
    assert after.seconds_to(before) == 0.0


def test_over_a_boot_the_wall_clock_is_all_there_is() -> None:
    before = Stamp(wall=NOON, up=90_000.0, awake=80_000.0, boot="a")
    after = Stamp(wall=NOON + 600, up=30.0, awake=30.0, boot="b")
    assert before.seconds_to(after) == 600.0
    assert before.slept_to(after) == 0.0


@pytest.mark.parametrize(
    "value",
    [
        NOON,
        int(NOON),
        NOON * 1000,
        str(int(NOON)),
        "2026-11-22 12:00:00",
        "2026-11-22T12:00:00Z",
        " 2026-11-22T13:00:00+01:00 ",
        datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
        datetime(2026, 11, 22, 12, 0, tzinfo=UTC).replace(tzinfo=None),
    ],
)
def test_a_moment_in_whatever_form(value: Any) -> None:
    assert moment(value) == NOON


def test_a_day_is_its_beginning_and_nothing_is_nothing() -> None:
    assert moment(date(2026, 11, 22)) == NOON - 12 * 3600
    assert moment(None) is None
    assert moment("") is None


@pytest.mark.parametrize("value", ["soon", b"x", [1]])
def test_what_is_no_moment_is_said(value: Any) -> None:
    with pytest.raises(ValueError, match="which is no time"):
        moment(value)
