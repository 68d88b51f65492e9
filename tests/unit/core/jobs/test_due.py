"""When there is a run: schedules, sleep, death, clocks that are set, overlap."""

from __future__ import annotations

import pytest

from supervisor_tree.core.events import By
from supervisor_tree.core.jobs import events as ev
from supervisor_tree.core.jobs.spec import CatchUp, JobSpec, Overlap, StageSpec
from supervisor_tree.core.spec import Backoff
from tests.unit.core.jobs.world import BAD, DAY, HOUR, MINUTE, MONDAY, OK, At, Daily, World

NIGHTLY = JobSpec(name="job", schedule="0 2 * * *")
AT_TWO = {"job": Daily(2 * HOUR)}


def nightly(**keys: object) -> JobSpec:
    return JobSpec(**{"name": "job", "schedule": "0 2 * * *", **keys})  # type: ignore[arg-type]


def twos(*days: int) -> list[float]:
    return [MONDAY + day * DAY + 2 * HOUR for day in days]


def test_each_night_once() -> None:
    world = World(NIGHTLY, timetables=AT_TWO)
    assert world.jobs.next_run("job", world.wall) == MONDAY + 2 * HOUR
    assert world.state() == "scheduled"
    world.go(7 * DAY)
    assert world.scheduled() == twos(0, 1, 2, 3, 4, 5, 6)
    assert [wall for wall, _ in world.started] == world.scheduled()
    assert {record.cause for record in world.ended} == {"schedule"}
    assert set(world.states()) == {"succeeded"}


def test_a_new_job_has_no_past() -> None:
    world = World(nightly(catch_up="all"), timetables=AT_TWO, wall=MONDAY + 3 * HOUR)
    world.go(1)
    assert not world.started


def test_at_once_and_never_again() -> None:
    world = World(nightly(), timetables={"job": At(MONDAY + HOUR)})
    world.go(2 * HOUR)
    assert world.scheduled() == [MONDAY + HOUR]
    assert world.state() == "idle"
    world.kill_tree(DAY)
    world.go(DAY)
    assert world.scheduled() == [MONDAY + HOUR]


def test_every_is_due_at_once_and_keeps_its_pace() -> None:
    """70 s of work every 60 s: each second time, and not later and later."""
    world = World(JobSpec(name="job", every=60.0, schedule="every 1m"), program=lambda task: (70.0, OK))
    world.go(600)
    assert [instant - MONDAY for instant in world.scheduled()] == [0, 120, 240, 360, 480, 600]
    assert [wall - MONDAY for wall, _ in world.started] == [0, 120, 240, 360, 480, 600]
    assert len(world.said("run_skipped")) == 5
    assert [record.skipped for record in world.ended] == [1] * 5


def test_every_of_ten_milliseconds_loses_none() -> None:
    world = World(JobSpec(name="job", every=0.01, schedule="every 10ms"), program=lambda task: (0.004, OK))
    world.go(10)
    assert len(world.started) == 1001
    assert len(set(world.scheduled())) == 1001


def test_every_counts_on_over_the_death_of_the_tree() -> None:
    spec = JobSpec(name="job", every=300.0, schedule="every 5m")
    world = World(spec)
    world.go(310)
    world.kill_tree(100)
    world.go(400)
    assert [instant - MONDAY for instant in world.scheduled()] == [0, 300, 600]
    world.kill_tree(3000)
    world.go(1)
    assert world.scheduled()[-1] - MONDAY == 3600, "of those that it missed the last one, at once"
    world.go(300)
    assert world.scheduled()[-1] - MONDAY == 3900


@pytest.mark.parametrize(("catch_up", "made_up"), [("none", []), ("last", [3]), ("all", [1, 2, 3])])
@pytest.mark.parametrize("how", ["sleep", "power off", "dead supervisor"])
def test_what_was_missed(catch_up: CatchUp, made_up: list[int], how: str) -> None:
    world = World(nightly(catch_up=catch_up), timetables=AT_TWO, program=lambda task: (MINUTE, OK))
    world.go(3 * HOUR)
    if how == "sleep":
        world.sleep(3 * DAY)
    else:
        world.kill_tree(3 * DAY, power_off=how == "power off")
    world.go(HOUR)
    assert world.scheduled() == twos(0, *made_up)
    assert [record.cause for record in world.ended[1:]] == ["catch_up"] * len(made_up)
    world.go(DAY)
    assert world.scheduled() == twos(0, *made_up, 4)
    if catch_up == "none":
        assert world.said("run_skipped")[0]["scheduled"] == twos(3)[0]
    elif catch_up == "last":
        assert world.said("run_skipped")[0]["scheduled"] == twos(1)[0]
        assert world.said("run_skipped")[0]["before"] == twos(3)[0]


def test_late_by_half_a_minute_is_not_missed() -> None:
    world = World(nightly(catch_up="none"), timetables=AT_TWO)
    world.go(HOUR)
    world.sleep(HOUR + 30)
    assert world.scheduled() == twos(0)


@pytest.mark.parametrize(
    ("catch_up", "after"), [("none", []), ("last", [2]), ("all", [1, 2])], ids=["none", "last", "all"]
)
def test_asleep_in_the_middle_of_a_run(catch_up: CatchUp, after: list[int]) -> None:
    """The run goes on when the machine wakes; what it slept through is made up for after it, never beside it."""
    world = World(nightly(catch_up=catch_up), timetables=AT_TWO, program=lambda task: (2 * HOUR, OK))
    world.go(2 * HOUR + MINUTE)
    world.sleep(2 * DAY + 4 * HOUR)
    assert len(world.alive) == 1
    world.go(10 * HOUR)
    assert world.scheduled() == twos(0, *after)


@pytest.mark.parametrize(
    ("overlap", "instants", "states"),
    [
        ("skip", [0, 2], ["succeeded"]),
        ("queue", [0, 1], ["succeeded"]),
        ("kill", [0, 1, 2], ["cancelled", "cancelled"]),
    ],
)
def test_overlap(overlap: Overlap, instants: list[int], states: list[str]) -> None:
    """90 minutes of work each hour."""
    world = World(nightly(overlap=overlap), timetables={"job": Daily(period=HOUR)}, program=lambda task: (5400.0, OK))
    world.go(3.9 * HOUR)
    assert [(instant - MONDAY) / HOUR - 1 for instant in world.scheduled()] == instants
    assert world.states() == states
    if overlap == "skip":
        assert world.said("run_skipped")[0]["reason"] == f"run {world.ended[0].run} is under way"
    if overlap == "queue":
        record = world.jobs.job("job", world.now)
        assert record is not None
        assert record.running is not None
        assert record.running.scheduled == MONDAY + 2 * HOUR
        world.go(10 * HOUR)
        assert len(world.scheduled()) == 9, "none is lost"


def test_a_run_that_is_killed_by_the_next_has_its_time_to_end() -> None:
    world = World(
        nightly(overlap="kill", shutdown=30.0), timetables={"job": Daily(period=HOUR)}, program=lambda task: (9e9, OK)
    )
    world.stops = lambda stop: 1000.0
    world.go(2 * HOUR + 29)
    assert len(world.started) == 1
    world.go(2)
    assert len(world.started) == 2
    assert world.ended[0].reason == "the next run was due"
    assert world.ended[0].signal == "SIGKILL"


def test_a_run_that_waits_for_its_retry_has_failed_when_the_next_takes_its_place() -> None:
    spec = nightly(overlap="kill", retries=5, backoff=Backoff(first=2 * HOUR, initial=2 * HOUR, max=2 * HOUR))
    world = World(spec, timetables={"job": Daily(period=HOUR)}, program=lambda task: (1.0, BAD))
    world.go(3 * HOUR + 5)
    assert world.states() == ["failed", "failed"]
    assert [fields["failures"] for fields in world.said("job_failing")] == [1, 2]


def test_the_wall_clock_set_back_runs_nothing_twice() -> None:
    world = World(nightly(catch_up="all"), timetables={"job": Daily(period=HOUR)})
    world.go(5 * HOUR + 1)
    world.set_clock(-2 * HOUR)
    world.go(4 * HOUR)
    assert [(instant - MONDAY) / HOUR for instant in world.scheduled()] == [1, 2, 3, 4, 5, 6, 7]


def test_a_clock_that_was_wrong_by_years_does_not_silence_a_schedule() -> None:
    world = World(NIGHTLY, timetables=AT_TWO, wall=MONDAY + 3650 * DAY)
    world.go(DAY)
    world.set_clock(-3650 * DAY)
    world.go(DAY)
    assert len(world.started) == 2
    assert world.said("clock_set_back")


@pytest.mark.parametrize("replaced", [False, True])
def test_every_does_not_mind_a_clock_that_is_set_back(replaced: bool) -> None:
    world = World(JobSpec(name="job", every=60.0, schedule="every 1m"))
    world.go(150)
    if replaced:
        world.wall -= 5 * HOUR
        world.root_replaced()
    else:
        world.set_clock(-5 * HOUR)
    before = world.mono
    world.go(300)
    assert world.mono == before + 300
    assert len(world.started) == 3 + 5


def test_every_after_a_clock_that_was_set_back_while_the_tree_was_dead() -> None:
    world = World(JobSpec(name="job", every=60.0, schedule="every 1m"))
    world.go(150)
    world.kill_tree(-5 * HOUR)
    world.go(300)
    assert len(world.started) == 3 + 5


def test_the_wall_clock_set_forward_is_as_a_sleep() -> None:
    world = World(NIGHTLY, timetables=AT_TWO)
    world.go(HOUR)
    world.set_clock(2 * HOUR)
    assert world.scheduled() == twos(0)
    assert world.ended == []
    world.go(DAY)
    assert world.scheduled() == twos(0, 1)


def test_backoff_is_the_least_delay_after_a_failure() -> None:
    """S3: 60 s, then 60, 120, 240, 300; then at its pace again."""
    backoff = Backoff(first=60.0, initial=60.0, factor=2.0, max=300.0)
    results = iter([BAD] * 5)
    world = World(
        JobSpec(name="job", every=10.0, schedule="every 10s", backoff=backoff, catch_up="all"),
        program=lambda task: (1.0, next(results, OK)),
    )
    world.go(61 + 61 + 121 + 241 + 301)
    assert [round(wall - MONDAY) for wall, _ in world.started] == [0, 61, 122, 243, 484, 785]
    record = world.jobs.job("job", world.now)
    assert record is not None
    assert record.failures == 5
    world.go(60)
    assert len(world.started) == 6 + 6
    assert len(set(world.scheduled())) == 12


def test_backoff_is_kept_over_the_death_of_the_tree_and_a_clock_that_is_set_back() -> None:
    world = World(
        JobSpec(name="job", every=10.0, schedule="every 10s", backoff=Backoff(first=HOUR, initial=HOUR, max=HOUR)),
        program=lambda task: (1.0, BAD),
    )
    world.go(100)
    world.kill_tree(100)
    world.go(1000)
    world.set_clock(-DAY)
    assert len(world.started) == 1
    world.go(HOUR - 1200)
    assert len(world.started) == 1
    world.go(2)
    assert len(world.started) == 2


def test_run_at_start_once_for_each_start_of_the_tree() -> None:
    spec = nightly(run_at_start=True)
    world = World(spec, timetables=AT_TWO, replace=True)
    world.go(MINUTE)
    assert [record.cause for record in world.ended] == ["start"]
    world.kill_tree(HOUR)
    world.go(MINUTE)
    assert [record.cause for record in world.ended] == ["start", "start"]
    world.kill_tree(2 * HOUR)
    world.go(MINUTE)
    assert [record.cause for record in world.ended] == ["start", "start", "catch_up"], "one is enough"


def test_jitter_spreads_and_is_no_second_run() -> None:
    specs = [JobSpec(name=f"job{number}", schedule="0 2 * * *", jitter=600.0) for number in range(50)]
    world = World(*specs, timetables={spec.name: Daily(2 * HOUR) for spec in specs})
    world.go(2 * HOUR + 600)
    delays = sorted(wall - MONDAY - 2 * HOUR for wall, _ in world.started)
    assert len(delays) == 50
    assert 0 <= delays[0] < 120
    assert 480 < delays[-1] <= 600
    assert all(task.job in {spec.name for spec in specs} for _, task in world.started)


def test_missed_is_known_at_once_and_said_once() -> None:
    world = World(nightly(missed_after=26 * HOUR, catch_up="none"), timetables=AT_TWO)
    world.go(3 * HOUR)
    world.kill_tree(27 * HOUR)
    assert len(world.said("run_missed")) == 1
    assert world.said("run_missed")[0]["started"] == MONDAY + 2 * HOUR
    record = world.jobs.job("job", world.now)
    assert record is not None
    assert record.missed
    world.kill_tree(HOUR)
    world.go(HOUR)
    world.root_replaced()
    assert len(world.said("run_missed")) == 1
    world.go(DAY)
    record = world.jobs.job("job", world.now)
    assert record is not None
    assert not record.missed
    world.sleep(27 * HOUR)
    assert len(world.said("run_missed")) == 2, "at the wake"


def test_missed_while_awake() -> None:
    world = World(nightly(missed_after=26 * HOUR, gated=True), timetables=AT_TWO)
    world.gates["job"] = ("the disk is not mounted", None)
    world.go(26 * HOUR - 1)
    assert not world.said("run_missed")
    world.go(2)
    assert len(world.said("run_missed")) == 1


def test_a_closed_gate_makes_it_wait_until_the_next_is_due() -> None:
    world = World(nightly(gated=True), timetables=AT_TWO)
    world.gates["job"] = ("require tcp 127.0.0.1:9222: refused", "CDP_DOWN")
    world.go(2 * HOUR + MINUTE)
    record = world.jobs.record("job")
    assert record is not None
    assert (record.state, record.reason, record.status) == (
        "waiting",
        "require tcp 127.0.0.1:9222: refused",
        "CDP_DOWN",
    )
    assert world.state() == "waiting"
    world.go(MINUTE)
    assert len(world.said("run_overdue")) == 1
    overdue = world.jobs.job("job", world.now)
    assert overdue is not None
    assert overdue.overdue == 2 * MINUTE
    world.go(DAY)
    assert world.states() == ["skipped"]
    assert (world.ended[0].reason, world.ended[0].status) == ("require tcp 127.0.0.1:9222: refused", "CDP_DOWN")
    assert not world.started
    world.open_gate("job")
    assert world.scheduled() == twos(1)
    assert len(world.asked) == 1, "consent ends the asking"


@pytest.mark.parametrize("keys", [{"overlap": "queue"}, {"catch_up": "all"}])
def test_a_closed_gate_loses_none_where_each_is_promised(keys: dict[str, str]) -> None:
    spec = nightly(gated=True, **keys)
    world = World(spec, timetables=AT_TWO)
    world.gates["job"] = ("no", None)
    world.go(2 * DAY + 3 * HOUR)
    world.open_gate("job")
    world.go(MINUTE)
    assert world.scheduled() == (twos(0, 1, 2) if "overlap" in keys else twos(0))


def test_no_more_than_max_runs_first_come_first_served() -> None:
    specs = [JobSpec(name=f"job{number}", every=DAY, schedule="every 1d") for number in range(5)]
    world = World(*specs, max_runs=2, program=lambda task: (100.0, OK))
    world.go(350)
    assert [(wall - MONDAY, task.job) for wall, task in world.started] == [
        (0, "job0"),
        (0, "job1"),
        (100, "job2"),
        (100, "job3"),
        (200, "job4"),
    ]
    assert world.said("run_waiting", "job2")[0]["reason"] == "2 runs are under way, and tree.max_runs allows no more"


def test_runs_that_are_due_together_and_have_room_do_not_wait() -> None:
    specs = [JobSpec(name=f"job{number}", every=DAY, schedule="every 1d") for number in range(5)]
    world = World(*specs, max_runs=5)
    world.go(5)
    assert len(world.started) == 5
    assert not any(world.said("run_waiting", spec.name) for spec in specs)


def test_a_run_before_a_closed_gate_takes_nobodys_turn() -> None:
    shut = JobSpec(name="shut", every=DAY, schedule="every 1d", gated=True)
    other = JobSpec(name="other", every=DAY, schedule="every 1d")
    world = World(shut, other, max_runs=1)
    world.gates["shut"] = ("no", None)
    world.kill_tree(0)
    world.go(5)
    assert {task.job for _, task in world.started} == {"shut", "other"}


def test_stop_lets_go_and_hold_keeps() -> None:
    world = World(NIGHTLY, timetables=AT_TWO)
    world.tell(ev.StopRequested("1", ("job",), By(who="ann", at=1.0, why="tests")))
    assert world.replies["1"] == [{"name": "job", "ok": True, "reason": None, "run": None}]
    assert world.state() == "stopped"
    assert world.jobs.next_run("job", world.wall) is None
    world.kill_tree(HOUR)
    world.go(2 * DAY)
    assert world.state() == "stopped"
    record = world.jobs.job("job", world.now)
    assert record is not None
    assert record.reason == "stopped by ann: tests"
    world.tell(ev.StartRequested("2", ("job",)))
    world.go(MINUTE)
    assert not world.started, "what fell due in the stop is not made up for"
    world.tell(ev.HoldRequested("3", ("job",), By(who="bob")))
    world.go(2 * DAY)
    assert not world.started
    assert world.state() == "held"
    world.tell(ev.ReleaseRequested("4", ("job",)))
    assert len(world.scheduled()) == 1, "what fell due in the hold is"
    assert [note.kind for _, note in world.notes if note.kind.startswith("job_")] == [
        "job_stopped",
        "job_started",
        "job_held",
        "job_released",
    ]


def test_stop_cancels_the_run_and_is_answered_when_it_has_ended() -> None:
    world = World(NIGHTLY, timetables=AT_TWO, program=lambda task: (9e9, OK))
    world.stops = lambda stop: 3.0
    world.go(3 * HOUR)
    world.tell(ev.StopRequested("1", ("job", "nobody")))
    assert "1" not in world.replies
    assert world.jobs.pending_requests() == ["1"]
    world.root_replaced()
    world.go(4)
    assert [(one["name"], one["ok"]) for one in world.replies["1"]] == [("job", True), ("nobody", False)]
    assert world.states() == ["cancelled"]


def test_hold_lets_a_run_end() -> None:
    world = World(NIGHTLY, timetables=AT_TWO, program=lambda task: (HOUR, OK))
    world.go(2.5 * HOUR)
    world.tell(ev.HoldRequested("1", ("job",)))
    world.go(HOUR)
    assert world.states() == ["succeeded"]


def test_hold_of_one_that_waits_keeps_its_instant() -> None:
    world = World(nightly(gated=True), timetables=AT_TWO)
    world.gates["job"] = ("no", None)
    world.go(3 * HOUR)
    world.tell(ev.HoldRequested("1", ("job",)))
    world.open_gate("job")
    world.go(HOUR)
    assert not world.started
    world.tell(ev.ReleaseRequested("2", ("job",)))
    assert world.scheduled() == twos(0)


def test_hold_of_one_that_was_interrupted_and_waits_keeps_what_is_done() -> None:
    stages = (StageSpec(name="a"), StageSpec(name="b"))
    world = World(nightly(gated=True, stages=stages), timetables=AT_TWO, program=lambda task: (HOUR, OK))
    world.go(3.5 * HOUR)
    world.gates["job"] = ("no", None)
    world.kill_tree(MINUTE)
    assert world.state() == "waiting"
    world.tell(ev.HoldRequested("1", ("job",)))
    assert world.state() == "held"
    world.open_gate("job")
    world.tell(ev.ReleaseRequested("2", ("job",)))
    world.go(2 * HOUR)
    assert [task.name for _, task in world.started] == ["job:a", "job:b", "job:b"]


def test_run_by_hand_in_every_state() -> None:
    world = World(nightly(gated=True), timetables=AT_TWO, program=lambda task: (10.0, OK))
    world.tell(ev.RunRequested("1", "job", ("--now",)))
    assert world.started[0][1].args == ("--now",)
    assert world.replies["1"][0]["run"] == world.started[0][1].run
    world.tell(ev.RunRequested("2", "job"))
    assert not world.replies["2"][0]["ok"]
    assert "under way" in world.replies["2"][0]["reason"]
    world.go(20)
    world.tell(ev.StopRequested("3", ("job",)))
    world.tell(ev.RunRequested("4", "job"))
    world.go(20)
    world.tell(ev.HoldRequested("5", ("job",)))
    world.tell(ev.RunRequested("6", "job"))
    world.go(20)
    assert [(record.state, record.cause) for record in world.ended] == [("succeeded", "manual")] * 3
    world.tell(ev.RunRequested("7", "nobody"))
    assert not world.replies["7"][0]["ok"]
    assert world.state() == "stopped"


def test_run_by_hand_takes_the_place_of_one_that_only_waits() -> None:
    world = World(nightly(gated=True, retries=3, backoff=Backoff(first=HOUR)), timetables=AT_TWO)
    world.gates["job"] = ("no", None)
    world.go(3 * HOUR)
    world.program = lambda task: (1.0, BAD)
    world.tell(ev.RunRequested("1", "job"))
    assert world.states() == ["skipped"]
    world.open_gate("job")
    world.go(60)
    assert world.jobs.record("job") is not None, "it waits for its second attempt"
    world.tell(ev.RunRequested("2", "job"))
    assert world.states() == ["skipped", "failed"]
    assert world.replies["2"][0]["ok"]


@pytest.mark.parametrize(("overlap", "states"), [("queue", ["succeeded"]), ("kill", ["cancelled"])])
def test_run_by_hand_beside_one_under_way(overlap: Overlap, states: list[str]) -> None:
    world = World(nightly(overlap=overlap), timetables=AT_TWO, program=lambda task: (100.0, OK))
    world.go(2 * HOUR + 50)
    world.tell(ev.RunRequested("1", "job"))
    world.go(60)
    assert world.states() == states
    assert world.replies["1"][0]["ok"]
    assert len(world.started) == 2


def test_reconfigured_with_another_schedule_counts_from_now_on() -> None:
    world = World(NIGHTLY, timetables=AT_TWO)
    world.go(3 * HOUR)
    world.timetables = {"job": Daily(HOUR)}
    world.specs = (nightly(schedule="0 1 * * *", catch_up="all"),)
    world.tell(ev.Reconfigured(world.specs, world.timetables, 100))
    world.go(HOUR)
    assert len(world.started) == 1
    assert world.jobs.next_run("job", world.wall) == MONDAY + DAY + HOUR
    world.go(DAY)
    assert world.scheduled()[-1] == MONDAY + DAY + HOUR


def test_reconfigured_without_a_change_changes_nothing() -> None:
    world = World(NIGHTLY, timetables=AT_TWO, program=lambda task: (HOUR, OK))
    world.go(2 * HOUR + 1)
    world.tell(ev.Reconfigured((NIGHTLY,), AT_TWO, 100))
    world.go(HOUR)
    assert world.states() == ["succeeded"]
    assert len(world.started) == 1


def test_every_changed_goes_on_from_the_last_run() -> None:
    world = World(JobSpec(name="job", every=HOUR, schedule="every 1h"))
    world.go(30 * MINUTE + 1)
    world.specs = (JobSpec(name="job", every=20 * MINUTE, schedule="every 20m"),)
    world.tell(ev.Reconfigured(world.specs, {}, 100))
    world.go(30 * MINUTE)
    assert [(instant - MONDAY) / MINUTE for instant in world.scheduled()] == [0, 40, 60]


def test_a_removed_job_ends_with_its_run_and_can_come_back() -> None:
    other = JobSpec(name="other", every=DAY, schedule="every 1d")
    world = World(NIGHTLY, timetables=AT_TWO, program=lambda task: (HOUR, OK))
    world.go(2 * HOUR + 1)
    world.specs, world.timetables = (other,), {}
    world.tell(ev.Reconfigured((other,), {}, 100))
    assert world.jobs.names() == ["other"]
    assert len(world.alive) == 2
    world.root_replaced()
    world.go(HOUR)
    assert world.states() == ["succeeded"]
    assert world.jobs.job("job", world.now) is None
    assert not [key for key in world.jobs.snapshot() if "job/job" in key]
    world.specs, world.timetables = (NIGHTLY, other), {**AT_TWO}
    world.tell(ev.Reconfigured(world.specs, AT_TWO, 100))
    world.go(DAY)
    assert len(world.scheduled()) == 2


def test_a_removed_job_is_shown_until_its_run_has_ended_and_can_be_stopped() -> None:
    world = World(NIGHTLY, timetables=AT_TWO, program=lambda task: (HOUR, OK), replace=True)
    world.go(2 * HOUR + 1)
    world.specs, world.timetables = (), {}
    world.tell(ev.Reconfigured((), {}, 100))
    assert (world.jobs.names(), world.jobs.leaving(), world.state()) == ([], ["job"], "removed")
    asked: list[ev.Event] = [
        ev.StartRequested("start", ("job",)),
        ev.HoldRequested("hold", ("job",)),
        ev.ReleaseRequested("release", ("job",)),
        ev.RunRequested("run", "job"),
    ]
    for event in asked:
        world.tell(event)
    assert {"gone when its run has ended" in replies[0]["reason"] for replies in world.replies.values()} == {True}
    world.tell(ev.StopRequested("stop", ("job",)))
    world.go(1.0)
    assert world.replies["stop"] == [{"name": "job", "ok": True, "reason": None, "run": None}]
    assert world.states() == ["cancelled"]
    assert world.jobs.leaving() == []
    world.tell(ev.StopRequested("once more", ("job",)))
    assert world.replies["once more"][0]["reason"] == "no such job"
    world.specs, world.timetables = (NIGHTLY,), {**AT_TWO}
    world.tell(ev.Reconfigured(world.specs, AT_TWO, 100))
    assert world.state() == "scheduled", "the stop was about its last run"


def test_autostart_false_is_stopped_until_it_is_started() -> None:
    world = World(nightly(autostart=False, run_at_start=True), timetables=AT_TWO)
    world.go(DAY)
    assert not world.started
    assert world.state() == "stopped"
    world.tell(ev.StartRequested("1", ("job",)))
    world.go(DAY)
    assert len(world.scheduled()) == 1
    world.kill_tree(1)
    assert world.state() != "stopped"


def test_nothing_happens_before_the_tree_has_started() -> None:
    world = World(JobSpec(name="job", every=1.0, schedule="every 1s"), start=False)
    world.tell(ev.StartRequested("1", ("job",)))
    world.tell(ev.ClockTicked())
    world.go(10)
    assert not world.started
    world.tell(ev.TreeStarted())
    world.go(1)
    assert world.started
