"""Cron, time zones, `at`, and what of a job's settings becomes what."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from cronsim import CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_tree import config
from supervisor_tree.config import schedules
from supervisor_tree.config.job_settings import JobSettings
from supervisor_tree.config.schedules import zones
from supervisor_tree.config.schedules.timetables import Cron, Merged, Once, parse
from supervisor_tree.core.jobs.instants import last_until
from supervisor_tree.core.jobs.spec import StageSpec

NEW_YORK = ZoneInfo("America/New_York")


def utc(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


def next_texts(table: Cron | Merged, after: str, count: int = 3, zone: ZoneInfo = NEW_YORK) -> list[str]:
    wall = dt.datetime.fromisoformat(after).replace(tzinfo=zone).timestamp()
    found = []
    for _ in range(count):
        instant = table.next_after(wall)
        if instant is None:
            break
        found.append(dt.datetime.fromtimestamp(instant, zone).isoformat())
        wall = instant
    return found


# The gap of 2026-03-08 (02:00 → 03:00) and the hour that comes twice on 2026-11-01 (02:00 → 01:00).


def test_a_time_that_the_clocks_leave_out_is_run_when_they_have_been_set() -> None:
    table = Cron("30 2 * * *", NEW_YORK)
    assert next_texts(table, "2026-03-07T03:00") == [
        "2026-03-08T03:00:00-04:00",
        "2026-03-09T02:30:00-04:00",
        "2026-03-10T02:30:00-04:00",
    ]


def test_a_time_that_comes_twice_is_run_once() -> None:
    table = Cron("30 1 * * *", NEW_YORK)
    assert next_texts(table, "2026-10-31T03:00", 2) == ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"]


def test_asked_from_inside_the_hour_that_comes_twice() -> None:
    """cronsim answers a time in the past here."""
    second = dt.datetime(2026, 11, 1, 1, 45, tzinfo=NEW_YORK, fold=1).timestamp()
    found = Cron("50 1 * * *", NEW_YORK).next_after(second)
    assert found == dt.datetime(2026, 11, 2, 1, 50, tzinfo=NEW_YORK).timestamp()


def test_what_runs_each_hour_keeps_its_pace() -> None:
    table = Cron("30 * * * *", NEW_YORK)
    assert next_texts(table, "2026-11-01T00:30") == [
        "2026-11-01T01:30:00-04:00",
        "2026-11-01T01:30:00-05:00",
        "2026-11-01T02:30:00-05:00",
    ]
    assert next_texts(table, "2026-03-08T00:30", 2) == ["2026-03-08T01:30:00-05:00", "2026-03-08T03:30:00-04:00"]


def test_half_an_hour_of_daylight_saving() -> None:
    """Lord Howe: 02:00 → 01:30 on 2026-04-05."""
    lord_howe = ZoneInfo("Australia/Lord_Howe")
    assert next_texts(Cron("*/15 1-2 * * *", lord_howe), "2026-04-05T01:15", 6, lord_howe) == [
        "2026-04-05T01:30:00+11:00",
        "2026-04-05T01:45:00+11:00",
        "2026-04-05T01:30:00+10:30",
        "2026-04-05T01:45:00+10:30",
        "2026-04-05T02:00:00+10:30",
        "2026-04-05T02:15:00+10:30",
    ]


def fields(most: int, least: int = 0) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    plain = st.one_of(
        number.map(str),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.lists(number, min_size=2, max_size=3, unique=True).map(lambda numbers: ",".join(map(str, numbers))),
    )
    return st.one_of(plain, st.just("*"), st.sampled_from([7, 15, 20]).map(lambda step: f"*/{min(step, most)}"))


CHANGES = [
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("America/St_Johns", "2026-11-01T04:30"),
    ("Antarctica/Troll", "2026-10-25T01:00"),
    ("Pacific/Apia", "2011-12-30T10:00"),
    ("America/Santiago", "2026-09-06T04:00"),
    ("UTC", "2026-06-01T00:00"),
]


@settings(max_examples=80, deadline=None)
@given(
    change=st.sampled_from(CHANGES),
    minute=fields(59),
    hour=st.one_of(fields(23), st.sampled_from(["0", "1", "2", "3", "0-3", "1,2"])),
    offset=st.floats(-3 * 3600, 3 * 3600),
    day=st.sampled_from(["*", "*", "sun", "sat-mon", "1-5"]),
)
def test_every_instant_as_in_a_scan_of_all_minutes(
    change: tuple[str, str], minute: str, hour: str, offset: float, day: str
) -> None:
    """Against brute force: of all minutes around a change of the clocks, those at which it is to run."""
    name, around = change
    zone = ZoneInfo(name)
    middle = utc(around)
    start, end = middle - 30 * 3600, middle + 30 * 3600
    expected = scan(f"{minute} {hour} * * {day}", zone, start, end)
    table = Cron(f"{minute} {hour} * * {day}", zone)
    found = []
    wall = start
    while True:
        instant = table.next_after(wall)
        if instant is None or instant > end:
            break
        assert instant > wall
        found.append(instant)
        wall = instant
    assert found == expected
    # And from anywhere between, not only from one to the next.
    asked = middle + offset
    assert table.next_after(asked) == next((one for one in expected if one > asked), table.next_after(asked))


def scan(line: str, zone: ZoneInfo, start: float, end: float) -> list[float]:
    """The rules of Debian's cron, minute by minute."""
    parsed = parse(line)
    fixed = not any(field.startswith("*") for field in line.split()[:2])
    found: set[float] = set()
    shown_before: set[dt.datetime] = set()
    wall = start - 26 * 3600
    last: dt.datetime | None = None
    while wall <= end:
        local = dt.datetime.fromtimestamp(wall, zone).replace(tzinfo=None, fold=0)
        if last is not None and fixed and local > last + dt.timedelta(minutes=1):
            # The clocks have been set forward: what they left out is run now.
            skipped = last + dt.timedelta(minutes=1)
            while skipped < local:
                if matches(parsed, skipped):
                    found.add(wall)
                skipped += dt.timedelta(minutes=1)
        if matches(parsed, local) and not (fixed and local in shown_before):
            found.add(wall)
        shown_before.add(local)
        last = local
        wall += 60
    return sorted(one for one in found if start < one <= end)


def matches(parsed: object, local: dt.datetime) -> bool:
    days = parsed.match_day(local.date())  # type: ignore[attr-defined]
    return local.minute in parsed.minutes and local.hour in parsed.hours and days  # type: ignore[attr-defined]


@settings(max_examples=60, deadline=None)
@given(after=st.floats(1.7e9, 1.8e9), length=st.floats(0, 40 * 86400), minute=fields(59), hour=fields(23))
def test_the_last_one_is_found_without_asking_for_each(after: float, length: float, minute: str, hour: str) -> None:
    table = Counting(Cron(f"{minute} {hour} * * *", NEW_YORK))
    found = last_until(table, after, after + length)
    asked = table.asked
    table.asked = 0
    one = table.next_after(after)
    all_: list[float] = []
    while one is not None and one <= after + length and len(all_) < 3000:
        all_.append(one)
        one = table.next_after(one)
    if len(all_) == 3000:
        return
    assert (found and found[1]) == (all_[-1] if all_ else None)
    if found:
        assert found[0] < found[1]
        assert table.next_after(found[0]) == found[1]
    assert asked < 150


class Counting:
    def __init__(self, table: Cron) -> None:
        self.table = table
        self.asked = 0

    def next_after(self, wall: float) -> float | None:
        self.asked += 1
        return self.table.next_after(wall)


@pytest.mark.parametrize(
    ("line", "day"),
    [
        ("0 12 * * fri-mon", [4, 5, 6, 0]),
        ("0 12 * * sat,sun", [5, 6]),
        ("0 12 * * 7", [6]),
        ("0 12 * * sat-sun", [5, 6]),
        ("0 12 * * 5-7", [4, 5, 6]),
        ("@weekly", [6]),
        ("@daily", [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_days_of_the_week(line: str, day: list[int]) -> None:
    table = Cron(line, dt.UTC)
    wall, seen = utc("2026-11-22T13:00"), []
    for _ in range(14):
        wall = table.next_after(wall) or 0.0
        seen.append(dt.datetime.fromtimestamp(wall, dt.UTC).weekday())
    assert set(seen) == set(day)


@pytest.mark.parametrize(
    ("line", "date"),
    [
        ("0 0 L * *", "2026-11-30"),
        ("0 0 * * 5#3", "2026-12-18"),
        ("0 0 * * sunl", "2026-11-29"),
        ("0 0 29 2 *", "2028-02-29"),
    ],
)
def test_what_only_some_know(line: str, date: str) -> None:
    found = Cron(line, dt.UTC).next_after(utc("2026-11-25T00:00"))
    assert found == utc(f"{date}T00:00")


def test_nearly_the_end_of_time() -> None:
    assert Cron("0 0 * * *", dt.UTC).next_after(1e12) is None
    assert Cron("0 0 * * *", dt.UTC).next_after(-1e9) is not None


def test_several_and_once() -> None:
    table = Merged([Cron("0 0 * * *", NEW_YORK), Cron("0 12 * * *", NEW_YORK), Cron("0 0,12 * * *", NEW_YORK)])
    assert next_texts(table, "2026-11-20T13:00") == [
        "2026-11-21T00:00:00-05:00",
        "2026-11-21T12:00:00-05:00",
        "2026-11-22T00:00:00-05:00",
    ]
    once = Once(100.0)
    assert (once.next_after(99.0), once.next_after(100.0)) == (100.0, None)


# Of settings.


def load(tmp_path: Path, text: str) -> dict[str, JobSettings]:
    (tmp_path / "tree.toml").write_text(text)
    return config.load([str(tmp_path / "tree.toml")], {}).jobs


def test_settings_become_specifications(tmp_path: Path) -> None:
    jobs = load(
        tmp_path,
        """
        [jobs.nightly]
        schedule = ["0 0 * * *", "0 12 * * *"]
        timezone = "America/Chicago"
        calendar = "XNYS"
        backoff = "1h"
        retries = 2
        shutdown = "infinity"
        require = { env = "X" }
        stages = [
          { name = "export", command = "a", retries = 1, backoff = "5s" },
          { name = "train", command = "b ${self.instance}", instances = ["1w", "1m"], at_least = 1, critical = false },
        ]
        [jobs.tick]
        every = "90s"
        command = "c"
        [jobs.once]
        at = 2026-12-24T09:00:00
        timezone = "America/Chicago"
        command = "c"
        [jobs.hand]
        command = "c"
        """,
    )
    nightly = schedules.job_spec(jobs["nightly"])
    assert nightly.schedule == "0 0 * * *; 0 12 * * * (America/Chicago, XNYS days)"
    assert (nightly.shutdown, nightly.gated, nightly.staged) == (None, True, True)
    export, train = nightly.stages
    assert (export.retries, export.backoff.first) == (1, 5.0)
    assert (train.instances, train.at_least, train.critical, train.backoff.first) == (("1w", "1m"), 1, False, 3600.0)
    tick = schedules.job_spec(jobs["tick"])
    assert (tick.schedule, tick.every, tick.stages, tick.staged) == ("every 90s", 90.0, (StageSpec(),), False)
    assert schedules.timetable(jobs["tick"]) is None
    once = schedules.timetable(jobs["once"])
    assert once is not None
    assert once.next_after(0) == utc("2026-12-24T15:00")
    hand = schedules.job_spec(jobs["hand"])
    assert (hand.schedule, schedules.timetable(jobs["hand"])) == ("", None)
    assert msgspec.json.decode(msgspec.json.encode(nightly), type=type(nightly)) == nightly
    # 2026-11-26 is Thanksgiving.
    table = schedules.timetable(jobs["nightly"])
    assert table is not None
    wall, days = utc("2026-11-24T12:00"), []
    for _ in range(6):
        wall = table.next_after(wall) or 0.0
        days.append(dt.datetime.fromtimestamp(wall, ZoneInfo("America/Chicago")).strftime("%d %H"))
    assert days == ["24 12", "25 00", "25 12", "27 00", "27 12", "30 00"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.01, "10ms"), (60, "1m"), (90, "90s"), (3600, "1h"), (86400, "1d"), (604800, "1w"), (1.5, "1.5s")],
)
def test_durations_as_people_write_them(seconds: float, words: str) -> None:
    assert schedules.duration(seconds) == words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('schedule = "0 0 30 2 *"', '"0 0 30 2 *" is never due: bad day-of-month'),
        ('schedule = "0 0 * * *"\ncalendar = "XNYC"', 'no calendar that comes with the package (did you mean "XNYS"?)'),
        ('schedule = "0 0 * * *"\ncalendar = "moon"', "there are "),
        ('every = "5m"\ncalendar = "XNYS"', "goes with `schedule`"),
    ],
)
def test_check_refuses(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(config.ConfigError) as error:
        load(tmp_path, f'[jobs.a]\ncommand = "c"\n{line}\n')
    assert words in str(error.value)


def test_an_expression_that_never_comes_is_an_error() -> None:
    with pytest.raises(CronSimError):
        parse("0 0 31 4 *")


def test_the_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TZ", "America/Chicago")
    assert getattr(zones.machine_zone(), "key", None) == "America/Chicago"
    monkeypatch.delenv("TZ")
    link = tmp_path / "localtime"
    (tmp_path / "zoneinfo" / "Europe").mkdir(parents=True)
    (tmp_path / "zoneinfo" / "Europe" / "Berlin").write_bytes(b"")
    link.symlink_to(tmp_path / "zoneinfo" / "Europe" / "Berlin")
    monkeypatch.setattr(zones, "_LOCALTIME", str(link))
    assert getattr(zones.machine_zone(), "key", None) == "Europe/Berlin"
    monkeypatch.setattr(zones, "_LOCALTIME", str(tmp_path / "nothing"))
    assert zones.machine_zone() is dt.UTC
    copied = tmp_path / "copy"
    source = next((f"{base}/Europe/Berlin" for base in ("/usr/share/zoneinfo",) if os.path.exists(base)), None)
    if source is not None:
        copied.write_bytes(Path(source).read_bytes())
        monkeypatch.setattr(zones, "_LOCALTIME", str(copied))
        summer = dt.datetime(2026, 7, 1, tzinfo=zones.machine_zone()).utcoffset()
        assert summer == dt.timedelta(hours=2)


def test_every_calendar_that_is_offered_is_read() -> None:
    from supervisor_tree.config.schedules.calendars import calendar_of, names

    for name in names():
        calendar = calendar_of(name)
        assert calendar.first.isoformat() == "2025-01-01"
        assert all(day.weekday() < 5 for day in calendar.closed)
    assert calendar_of("nyse") is not None


def test_check_refuses_more_successes_than_instances(tmp_path: Path) -> None:
    job = '[jobs.a]\nstages = [{ name = "s", command = "c", instances = 2, at_least = %d }]\n'
    assert load(tmp_path, job % 2)["a"].stages[0].at_least == 2
    with pytest.raises(config.ConfigError, match=r"stages\[0\]\.at_least: can't be had of 2 instances"):
        load(tmp_path, job % 3)
