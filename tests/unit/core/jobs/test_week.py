"""A week in no time: the jobs of the four systems on a laptop that sleeps, is switched off, and loses its root.

The week of 26 October 2026: on Sunday, 1 November, the clocks of New York and Chicago are set back.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from supervisor_tree import config
from supervisor_tree.config import schedules
from supervisor_tree.core.events import Exit
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs import events as ev
from supervisor_tree.core.jobs.jobs import Jobs
from supervisor_tree.core.jobs.spec import JobSpec, Now
from tests.unit.core.jobs.world import BAD, DAY, HOUR, MINUTE, OK, Daily, World

NEW_YORK = ZoneInfo("America/New_York")
TREE = """
[tree]
max_runs = 4
[defaults]
timezone = "America/New_York"
[jobs.pre-market]
schedule = "15 9 * * mon-fri"
calendar = "XNYS"
command = "check"
outcome = { 0 = "healthy", 1 = "degraded", 2 = "unhealthy", other = "unexpected" }
recover = ["guardian"]
[jobs.schedule-once]
every = "10m"
command = "post"
timeout = "10m"
require = [{ tcp = "127.0.0.1:9222", status = "CDP_DOWN" }]
backoff = { first = "60s", initial = "60s", factor = 2.0, max = "300s", jitter = 0.2 }
[jobs.nightly]
schedule = "0 0 * * *"
timezone = "America/Chicago"
missed_after = "26h"
retries = 2
backoff = "1h"
timeout = "4h"
verify = [{ output = "COMPLETED SUCCESSFULLY" }]
stages = [
  { name = "export", command = "export", retries = 1, backoff = "5s" },
  { name = "train", command = "train ${self.instance}", instances = ["1w", "1m", "3m"], at_least = 1 },
  { name = "evaluate", command = "evaluate", critical = false },
]
[jobs.hourly]
schedule = "30 * * * *"
catch_up = "none"
command = "h"
[jobs.ledger]
schedule = "0 */6 * * *"
catch_up = "all"
command = "l"
[jobs.login]
command = "login"
[recover.guardian]
steps = [{ wait = "5s" }]
"""


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()


class Week:
    def __init__(self, tmp_path: Path) -> None:
        (tmp_path / "tree.toml").write_text(TREE)
        jobs = config.load([str(tmp_path / "tree.toml")], {}).jobs
        tables = {name: table for name, one in jobs.items() if (table := schedules.timetable(one)) is not None}
        specs = [schedules.job_spec(one) for one in jobs.values()]
        self.ends: dict[str, list[Exit]] = {}
        self.world = World(*specs, timetables=tables, max_runs=4, wall=at("2026-10-26T02:00"), program=self.program)
        self.world.verifies = {}

    def program(self, task: fx.StartTask) -> tuple[float, Exit]:
        seconds = {"nightly": 20 * MINUTE, "schedule-once": 45.0}.get(task.job, 30.0)
        ends = self.ends.get(task.name)
        return seconds, ends.pop(0) if ends else OK

    def until(self, text: str) -> None:
        self.world.go(at(text) - self.world.wall)

    def sleep_until(self, text: str) -> None:
        self.world.sleep(at(text) - self.world.wall)

    def off_until(self, text: str) -> None:
        self.world.kill_tree(at(text) - self.world.wall)

    def began(self, job: str) -> list[str]:
        """Scheduled instant of each run that began, in New York."""
        return [dt.datetime.fromtimestamp(one, NEW_YORK).strftime("%a %H:%M") for one in self.world.scheduled(job)]


def test_a_week(tmp_path: Path) -> None:
    week = Week(tmp_path)
    world = week.world
    # Monday: the check finds something, is recovered, and stands as it ended.
    week.ends["pre-market"] = [Exit(code=2, reason="exit status 2")]
    steps = [{"verb": "wait", "ok": True}]
    world.recover = lambda record: steps
    week.until("2026-10-26T10:00")
    assert [(one.state, one.outcome, one.steps) for one in world.ended if one.job == "pre-market"] == [
        ("failed", "unhealthy", steps)
    ]
    # The browser is down for an hour: its job waits, and each time says what for.
    world.open_gate("schedule-once", ("require tcp 127.0.0.1:9222: refused", "CDP_DOWN"))
    week.until("2026-10-26T11:00")
    waited = [one for one in world.ended if one.job == "schedule-once" and one.state == "skipped"]
    assert [one.status for one in waited] == ["CDP_DOWN"] * 5
    world.open_gate("schedule-once")
    # Monday night: the lid is closed in the middle of the training, and opened in the morning.
    week.until("2026-10-27T01:30")
    assert "nightly:train@1w" in world.alive
    week.sleep_until("2026-10-27T08:00")
    week.until("2026-10-27T12:00")
    # Tuesday night: export fails twice, so the run is tried again after an hour; then the root is replaced.
    week.ends["nightly:export"] = [BAD, BAD]
    week.until("2026-10-28T02:30")
    world.root_replaced()
    week.until("2026-10-28T23:00")
    # Wednesday, 23:00: switched off, until Friday morning before the market opens.
    week.off_until("2026-10-30T08:00")
    week.until("2026-10-30T23:30")
    # Saturday, in the night: the power fails in the middle of the training, for ten minutes.
    week.until("2026-10-31T01:50")
    week.off_until("2026-10-31T02:00")
    # And through the hour that comes twice, to Monday.
    week.until("2026-11-02T12:00")

    # Thursday's was made up for on Friday, at the start.
    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Mon"]
    assert week.began("pre-market") == [f"{day} 09:15" for day in days]
    assert [one.cause for one in world.ended if one.job == "pre-market"].count("catch_up") == 1
    assert week.began("nightly") == [
        "Tue 01:00",  # began on time, asleep for hours, went on
        "Wed 01:00",
        "Fri 01:00",  # of Thursday and Friday the last one
        "Sat 01:00",
        "Sat 01:00",  # interrupted, and gone on with
        "Sun 01:00",  # 00:00 in Chicago, an hour before its clocks are set
        "Mon 01:00",
    ]
    states = [(one.state, one.attempt) for one in world.ended if one.job == "nightly"]
    assert states == [
        ("succeeded", 1),
        ("succeeded", 2),
        ("succeeded", 1),
        ("interrupted", 1),
        ("succeeded", 1),
        ("succeeded", 1),
        ("succeeded", 1),
    ]
    again = next(one for one in world.ended if one.cause == "interrupted" and one.job == "nightly")
    assert [stage.kept for stage in again.stages] == [True, False, False]
    assert Counter(task.name for _, task in world.started if task.run == again.run)["nightly:export"] == 0
    assert [one["missed_after"] for one in world.said("run_missed", "nightly")] == [26 * HOUR], "said once, on Friday"

    # `ledger` is made up for wholly: each six hours of the clock, 01:00 once or twice makes no difference to it.
    ledger = world.scheduled("ledger")
    assert len(ledger) == len(set(ledger)) == 4 * 7 + 2
    assert [dt.datetime.fromtimestamp(one, NEW_YORK).hour % 6 for one in ledger] == [0] * len(ledger)

    # `hourly` is made up for not at all, and keeps its pace through the hour that comes twice.
    hourly = world.scheduled("hourly")
    assert len(hourly) == len(set(hourly))
    sunday = [one for one in week.began("hourly") if one.startswith("Sun 01")]
    assert sunday == ["Sun 01:30", "Sun 01:30"]
    assert not [one for one in hourly if at("2026-10-28T23:00") < one < at("2026-10-30T08:00")]
    assert not [one for one in hourly if at("2026-10-27T01:30") < one < at("2026-10-27T08:00") - 60]

    posts = world.scheduled("schedule-once")
    assert all(later - sooner >= 599 for sooner, later in pairwise(posts))
    assert world.jobs.job("login", world.now).state == "idle"  # type: ignore[union-attr]
    assert world.jobs.next_run("nightly", world.wall) == at("2026-11-03T01:00")


def test_the_same_week_with_a_new_root_for_every_event(tmp_path: Path) -> None:
    """Nothing is known but what was written down."""
    week = Week(tmp_path)
    week.world.replace = True
    week.until("2026-10-26T04:00")
    week.sleep_until("2026-10-27T08:00")
    week.until("2026-10-27T10:00")
    assert week.began("nightly") == ["Tue 01:00"]
    assert week.began("pre-market") == ["Mon 09:15", "Tue 09:15"]
    assert len(week.began("ledger")) == 5


# What it costs.


class Counted(Daily):
    asked = 0

    def next_after(self, wall: float) -> float:
        Counted.asked += 1
        return super().next_after(wall)


def test_a_thousand_idle_jobs_cost_nothing() -> None:
    specs = [JobSpec(name=f"job{number}", schedule="s", missed_after=2 * DAY) for number in range(1000)]
    tables = {spec.name: Counted(number * 60.0) for number, spec in enumerate(specs)}
    world = World(*specs, timetables=tables, wall=1_763_337_600.0 + 23 * HOUR)
    Counted.asked = 0
    began = time.perf_counter()
    for _ in range(1000):
        world.pass_time(1.0)
        world.tell(ev.ClockTicked())
    took = time.perf_counter() - began
    assert Counted.asked == 0
    assert not world.jobs.take_changes()
    assert took < 2.0, "a tick is a look at the tops of two heaps"


def test_one_of_a_thousand_costs_one() -> None:
    """A run touches the records of its job only."""
    specs = [JobSpec(name=f"job{number}", schedule="s") for number in range(1000)]
    jobs = Jobs(specs, {spec.name: Daily(number * 60.0) for number, spec in enumerate(specs)}, 4)
    now = Now(10.0, 1_763_337_600.0 - 1)
    jobs.handle(ev.TreeStarted(), now)
    jobs.take_changes()
    effects = jobs.handle(ev.ClockTicked(), Now(11.0, 1_763_337_600.0))
    task = next(one for one in effects if isinstance(one, fx.StartTask))
    assert {key.partition("/")[2].partition("/")[0] for key, _ in jobs.take_changes()} == {"", "job0"}
    jobs.handle(ev.TaskStarted("job0", task.run, "job0", task.start), Now(11.0, 1_763_337_600.0))
    effects = jobs.handle(ev.TaskEnded("job0", task.run, "job0", task.start, OK), Now(12.0, 1_763_337_601.0))
    assert [type(one).__name__ for one in effects] == ["RunEnded", "SetClock"] or [
        type(one).__name__ for one in effects
    ] == ["RunEnded"]


@pytest.mark.parametrize("months", [1, 12])
def test_a_year_of_missed_minutes_is_found_at_once(months: int) -> None:
    class Minutes(Counted):
        pass

    world = World(JobSpec(name="job", schedule="s"), timetables={"job": Minutes(period=60.0)})
    Counted.asked = 0
    world.sleep(months * 30 * DAY)
    assert len(world.scheduled()) == 1
    assert Counted.asked < 200
