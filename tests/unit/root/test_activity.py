"""Clocks of `[activity]`, and what databases answer."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from supervisor_tree.config.job_settings import ActivitySettings, ActivitySource
from supervisor_tree.core.absence import Absence
from supervisor_tree.root.activity import activity
from supervisor_tree.root.activity.activity import Activity
from supervisor_tree.root.activity.asking import moment
from supervisor_tree.root.moments import Moment

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()


def test_sleep_is_time_and_known_as_sleep() -> None:
    before = Moment(wall=NOON, up=1000.0, awake=1000.0, boot="a")
    after = Moment(wall=NOON + 7 * 3600, up=1000.0 + 7 * 3600, awake=1000.0 + 3600, boot="a")
    assert before.seconds_to(after) == 7 * 3600
    assert before.slept_to(after) == 6 * 3600


def test_a_wall_clock_that_is_set_is_no_time() -> None:
    before = Moment(wall=0.0, up=10.0, awake=10.0, boot="a")  # a machine without a clock, before it knows the time
    after = Moment(wall=NOON, up=15.0, awake=15.0, boot="a")
    assert before.seconds_to(after) == 5.0
    assert before.slept_to(after) == 0.0
    assert after.seconds_to(before) == 0.0


def test_over_a_boot_the_wall_clock_is_all_there_is() -> None:
    before = Moment(wall=NOON, up=90_000.0, awake=80_000.0, boot="a")
    after = Moment(wall=NOON + 600, up=30.0, awake=30.0, boot="b")
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


def _asked(*, quiet: float, told: bool, failing: bool, seconds_ago: float) -> tuple[Activity, activity._Watch]:
    """A watch (`within` an hour) on a database that was asked so many seconds ago."""
    loop = SimpleNamespace(time=lambda: 1000.0)
    plan = SimpleNamespace(state_dir="/nowhere", activity={})
    known = Activity(cast("Any", SimpleNamespace(loop=loop, plan=plan)))
    settings = ActivitySettings(any=(ActivitySource(sql="SELECT 1"),), within=3600.0)
    watch = activity._Watch(settings, Absence(since=NOON, quiet=quiet, told_at=quiet if told else None))
    watch.asked = 1000.0 - seconds_ago
    watch.failing = {"sql": 900.0} if failing else {}
    known._watches["posts"] = watch
    return known, watch


def test_a_database_that_is_down_is_asked_every_few_seconds_and_not_without_a_pause() -> None:
    known, watch = _asked(quiet=4000.0, told=False, failing=True, seconds_ago=1.0)
    assert known._wait("posts", watch) == 4.0
    known, watch = _asked(quiet=4000.0, told=True, failing=True, seconds_ago=7.0)
    assert known._wait("posts", watch) == 0.0
    known._asking.add("posts")  # it takes its time to answer: nothing is to be done meanwhile
    assert known._wait("posts", watch) > 1.0
    # Another source was active meanwhile.
    known, watch = _asked(quiet=10.0, told=False, failing=True, seconds_ago=7.0)
    assert known._wait("posts", watch) > 1.0


def test_a_database_is_asked_when_it_is_due_and_now_and_then_while_it_is_told_of() -> None:
    known, watch = _asked(quiet=4000.0, told=False, failing=False, seconds_ago=1.0)
    assert known._wait("posts", watch) == 0.0
    known, watch = _asked(quiet=4000.0, told=True, failing=False, seconds_ago=100.0)
    assert known._wait("posts", watch) == 200.0
