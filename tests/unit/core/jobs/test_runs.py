"""What happens to a run: attempts, stages, verify, time-outs, recovery, interruption."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_tree.core.events import By, Exit
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs import events as ev
from supervisor_tree.core.jobs.machine import TABLE
from supervisor_tree.core.jobs.records import RunRecord
from supervisor_tree.core.jobs.run import Phase
from supervisor_tree.core.jobs.spec import CatchUp, JobSpec, StageSpec
from supervisor_tree.core.spec import Backoff
from tests.unit.core.jobs.world import BAD, DAY, HOUR, MINUTE, MONDAY, OK, At, Daily, World

AT_TWO = {"job": Daily(2 * HOUR)}
CONSTANT = Backoff(first=HOUR, initial=HOUR, factor=1.0, max=HOUR)
SHORT = Backoff(first=5.0, initial=5.0, factor=1.0, max=5.0)
HORIZONS = ("1w", "1m", "3m", "6m", "12m")
PIPELINE = (
    StageSpec(name="export", retries=1, backoff=SHORT, timeout=1800.0),
    StageSpec(name="audit"),
    StageSpec(name="train", instances=HORIZONS, at_least=1, timeout=HOUR),
    StageSpec(name="predict"),
    StageSpec(name="evaluate", critical=False),
)


def job(**keys: Any) -> JobSpec:
    return JobSpec(**{"name": "job", "schedule": "0 2 * * *", **keys})


class Script:
    """Programs that end as they are told: by name, one after the other; else well, after a minute."""

    def __init__(self, **ends: list[Exit]) -> None:
        self.ends = {name.replace("__", ":").replace("_at_", "@"): iter(exits) for name, exits in ends.items()}
        self.seconds = MINUTE

    def __call__(self, task: fx.StartTask) -> tuple[float, Exit]:
        return self.seconds, next(self.ends.get(task.name, iter(())), OK)


def names(world: World) -> list[str]:
    return [task.name for _, task in world.started]


def test_every_event_means_something_in_every_phase() -> None:
    phases = set(Phase) - {Phase.OVER}
    assert all(set(rules) == phases for rules in TABLE.values())


def test_a_pipeline() -> None:
    world = World(job(stages=PIPELINE), timetables=AT_TWO, program=Script(), replace=True)
    world.go(3 * HOUR)
    assert names(world) == [
        "job:export",
        "job:audit",
        *(f"job:train@{one}" for one in HORIZONS),
        "job:predict",
        "job:evaluate",
    ]
    record = world.ended[0]
    assert record.state == "succeeded"
    assert [(stage.name, stage.state) for stage in record.stages] == [(one.name, "succeeded") for one in PIPELINE]
    assert record.duration == 9 * MINUTE
    assert record.ended == MONDAY + 2 * HOUR + 9 * MINUTE
    train = record.stages[2]
    assert train.instances is not None
    assert [(one.instance, one.state) for one in train.instances] == [(one, "succeeded") for one in HORIZONS]
    progress = [stage.state for shown in world.changed for stage in shown.stages if stage.name == "audit"]
    assert list(dict.fromkeys(progress)) == ["waiting", "running", "succeeded"]
    assert [fields["stage"] for fields in world.said("stage_ended")] == [one.name for one in PIPELINE]


def test_instances_side_by_side() -> None:
    stages = (StageSpec(name="train", instances=HORIZONS, parallel=2),)
    world = World(job(stages=stages), timetables=AT_TWO, program=Script())
    world.go(2 * HOUR + 1)
    assert len(world.alive) == 2
    world.go(3 * MINUTE)
    assert [round(wall - MONDAY - 2 * HOUR) for wall, _ in world.started] == [0, 0, 60, 60, 120]
    assert world.states() == ["succeeded"]


@pytest.mark.parametrize(("at_least", "bad", "state"), [(1, 4, "succeeded"), (1, 5, "failed"), (None, 1, "failed")])
def test_at_least_so_many(at_least: int | None, bad: int, state: str) -> None:
    stages = (StageSpec(name="train", instances=HORIZONS, at_least=at_least), StageSpec(name="predict"))
    script = Script(**{f"job__train_at_{one}": [BAD] for one in HORIZONS[:bad]})
    world = World(job(stages=stages), timetables=AT_TWO, program=script)
    world.go(3 * HOUR)
    assert world.states() == [state]
    assert len(world.started) == 5 + (state == "succeeded"), "all of them run, whatever becomes of one"
    if bad == 5:
        assert world.ended[0].reason == (
            "stage train: 5 of 5 failed (1w: exit status 1, 1m: exit status 1, 3m: exit status 1, …)"
        )


def test_a_stage_is_tried_again() -> None:
    world = World(job(stages=PIPELINE), timetables=AT_TWO, program=Script(job__export=[BAD]), replace=True)
    world.go(3 * HOUR)
    assert [(task.name, task.tries) for _, task in world.started][:3] == [
        ("job:export", 1),
        ("job:export", 2),
        ("job:audit", 1),
    ]
    assert world.started[1][0] == MONDAY + 2 * HOUR + MINUTE + 5
    assert world.ended[0].stages[0].tries == 2
    assert world.states() == ["succeeded"]


def test_a_critical_stage_ends_the_run_and_another_does_not() -> None:
    world = World(job(stages=PIPELINE), timetables=AT_TWO, program=Script(job__audit=[BAD]))
    world.go(3 * HOUR)
    assert names(world) == ["job:export", "job:audit"]
    record = world.ended[0]
    assert (record.state, record.exit, record.reason) == ("failed", 1, "stage audit: exit status 1")
    assert [stage.state for stage in record.stages] == ["succeeded", "failed", "waiting", "waiting", "waiting"]
    world = World(job(stages=PIPELINE), timetables=AT_TWO, program=Script(job__evaluate=[BAD]))
    world.go(3 * HOUR)
    record = world.ended[0]
    assert (record.state, record.exit, record.stages[-1].state) == ("succeeded", 0, "failed")


def test_a_run_that_succeeded_has_the_exit_of_a_stage_that_did() -> None:
    some = (StageSpec(name="train", instances=("1", "2"), at_least=1, parallel=2),)
    world = World(job(stages=some), timetables=AT_TWO, program=Script(job__train_at_2=[BAD]))
    world.go(3 * HOUR)
    assert (world.ended[0].state, world.ended[0].exit) == ("succeeded", 0)
    world = World(job(stages=(StageSpec(name="a", critical=False),)), timetables=AT_TWO, program=Script(job__a=[BAD]))
    world.go(3 * HOUR)
    assert (world.ended[0].state, world.ended[0].exit) == ("succeeded", 0)


def test_a_retry_begins_at_the_first_stage_not_done() -> None:
    spec = job(stages=PIPELINE, retries=2, backoff=CONSTANT)
    bad = {f"job__train_at_{one}": [BAD] for one in HORIZONS[1:]}
    stages = (*PIPELINE[:2], StageSpec(name="train", instances=HORIZONS), *PIPELINE[3:])
    spec = job(stages=stages, retries=2, backoff=CONSTANT)
    world = World(spec, timetables=AT_TWO, program=Script(**bad), replace=True)
    world.go(2 * HOUR + 10 * MINUTE)
    record = world.jobs.record("job")
    assert record is not None
    assert record.state == "waiting"
    assert record.reason is not None
    assert record.reason.endswith("; attempt 2 of 3 in 3600 s")
    world.go(HOUR + 10 * MINUTE)
    assert names(world)[7:] == [*(f"job:train@{one}" for one in HORIZONS[1:]), "job:predict", "job:evaluate"]
    assert world.started[7][0] - world.started[6][0] == HOUR + MINUTE
    record = world.ended[0]
    assert (record.state, record.attempt, record.run) == ("succeeded", 2, world.started[0][1].run)
    assert [stage.kept for stage in record.stages] == [True, True, False, False, False]
    assert len(world.said("run_retried")) == 1


def test_no_more_attempts_than_retries_allow() -> None:
    world = World(job(retries=2, backoff=CONSTANT), timetables=AT_TWO, program=lambda task: (1.0, BAD))
    world.go(6 * HOUR)
    assert [task.attempt for _, task in world.started] == [1, 2, 3]
    assert world.states() == ["failed"]
    (told,) = world.said("job_failing")
    assert (told["failures"], told["run"], told["reason"]) == (1, world.ended[0].run, "exit status 1")


def test_alert_after_so_many_failures_in_a_row() -> None:
    exits = iter([BAD, BAD, OK, BAD, BAD, BAD])
    world = World(job(alert_after=2), timetables=AT_TWO, program=lambda task: (1.0, next(exits, OK)))
    world.go(7 * DAY)
    assert [fields["failures"] for fields in world.said("job_failing")] == [2, 2, 3]


def test_the_timeout_of_a_job_kills_and_is_tried_again() -> None:
    world = World(
        job(timeout=600.0, retries=1, backoff=SHORT, outcome={"timeout": "stuck"}),
        timetables=AT_TWO,
        program=lambda task: (9e9, OK),
        replace=True,
    )
    graces: list[float | None] = []

    def killed(stop: fx.StopTask) -> float:
        graces.append(stop.grace)
        return 0.0

    world.stops = killed
    world.go(3 * HOUR)
    assert set(graces) == {0.0}
    record = world.ended[0]
    assert (record.state, record.attempt, record.outcome) == ("timed_out", 2, "stuck")
    assert record.reason == "timed out after 600 s"
    assert record.duration == 600


def test_the_timeout_stands_while_the_machine_sleeps() -> None:
    world = World(job(timeout=600.0), timetables=AT_TWO, program=lambda task: (500.0, OK))
    world.go(2 * HOUR + 100)
    world.sleep(2 * HOUR)
    world.set_clock(-HOUR)
    world.go(HOUR)
    assert world.states() == ["succeeded"]


def test_the_timeout_of_a_stage() -> None:
    stages = (StageSpec(name="export", timeout=30.0), StageSpec(name="audit"))
    world = World(job(stages=stages), timetables=AT_TWO, program=Script())
    world.go(3 * HOUR)
    record = world.ended[0]
    assert (record.state, record.stages[0].state, record.exit, record.signal) == (
        "timed_out",
        "timed_out",
        None,
        "SIGKILL",
    )
    assert record.reason == "stage export: timed out (killed by SIGKILL)"


def test_verify_of_a_job_judges_the_whole_run() -> None:
    """A pipeline that exits 0 and has made no predictions has failed."""
    stages = (StageSpec(name="train"), StageSpec(name="predict"))
    world = World(job(stages=stages, verify=True, retries=1, backoff=SHORT), timetables=AT_TWO, program=Script())
    world.verifies["job", ""] = "predictions/latest.parquet is 9 h old"
    world.go(3 * HOUR)
    assert names(world) == ["job:train", "job:predict"] * 2
    assert world.states() == ["failed"]
    assert world.ended[0].reason == "verify: predictions/latest.parquet is 9 h old"
    del world.verifies["job", ""]
    world.go(DAY)
    assert world.states() == ["failed", "succeeded"]


def test_verify_of_a_stage_counts_as_its_failure() -> None:
    stages = (StageSpec(name="train", verify=True, retries=1, backoff=SHORT), StageSpec(name="predict"))
    world = World(job(stages=stages), timetables=AT_TWO, program=Script(), replace=True)
    world.verifies["job", "train"] = "no model"
    world.go(3 * HOUR)
    assert names(world) == ["job:train"] * 2
    assert world.ended[0].reason == "stage train: verify: no model"


def test_outcomes_name_results() -> None:
    table = {"0": "healthy", "1": "degraded", "2": "unhealthy", "other": "unexpected"}
    ends = iter([OK, BAD, Exit(code=2, reason="exit status 2"), Exit(code=7, reason="exit status 7")])
    world = World(job(outcome=table), timetables=AT_TWO, program=lambda task: (1.0, next(ends, OK)))
    world.go(4 * DAY)
    assert [record.outcome for record in world.ended] == ["healthy", "degraded", "unhealthy", "unexpected"]
    assert [fields["exit"] for fields in world.said("job_unexpected_exit")] == [7]


UNEXPECTED = Exit(code=7, reason="exit status 7")
UNHEALTHY = Exit(code=2, reason="exit status 2")
NAMES = {"0": "healthy", "2": "unhealthy", "other": "unexpected"}


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (UNHEALTHY, [(3, False), (4, False)]),
        (UNEXPECTED, [(1, True), (2, True), (3, True), (4, True)]),
    ],
)
def test_an_alert_for_each_failed_run_that_is_worth_one(end: Exit, told: list[tuple[int, bool]]) -> None:
    """One that no outcome names is worth one at once, and is told together with how often it has failed."""
    world = World(job(outcome=NAMES, alert_after=3), timetables=AT_TWO, program=lambda task: (1.0, end))
    world.go(4 * DAY)
    assert [(fields["failures"], fields["unexpected"]) for fields in world.said("job_failing")] == told
    assert {fields["exit"] for fields in world.said("job_failing")} == {end.code}


def test_an_unexpected_end_that_a_retry_has_made_good_is_a_line_and_no_alert() -> None:
    spec = job(outcome=NAMES, retries=1, backoff=SHORT)
    world = World(spec, timetables=AT_TWO, program=Script(job=[UNEXPECTED]), replace=True)
    world.go(DAY)
    assert world.states() == ["succeeded"]
    assert [fields["exit"] for fields in world.said("job_unexpected_exit")] == [7]
    assert world.said("job_failing") == []


@pytest.mark.parametrize("first", [UNHEALTHY, UNEXPECTED])
@pytest.mark.parametrize(("again", "alerts"), [(OK, 0), (UNHEALTHY, 1)])
def test_what_its_recovery_has_found_healthy_again_is_no_alert(first: Exit, again: Exit, alerts: int) -> None:
    world = World(
        job(recovers=True, outcome=NAMES), timetables=AT_TWO, program=Script(job=[first, again, first]), replace=True
    )
    world.recover = lambda record: None
    world.go(2 * HOUR + 2 * MINUTE)
    run = world.jobs.record("job")
    assert run is not None
    world.tell(ev.RerunRequested("1", "job", run.run))
    world.go(2 * MINUTE)
    assert world.said("job_failing") == [], "it is not decided yet"
    world.tell(ev.Recovered("job", run.run))
    assert world.ended[-1].exit == first.code, "the first exit status stands"
    assert world.ended[-1].state == "failed"
    assert len(world.said("job_failing")) == alerts
    world.recover = lambda record: []
    world.go(DAY)
    assert len(world.said("job_failing")) == alerts + 1, "a later one that nothing has mended is told"
    assert world.said("job_failing")[-1]["failures"] == 2


def test_recovery_is_asked_before_a_retry_and_its_rerun_is_recorded_apart() -> None:
    """S1: the first exit status stands."""
    world = World(
        job(recovers=True, retries=1, backoff=CONSTANT),
        timetables=AT_TWO,
        program=Script(job=[Exit(code=2, reason="exit status 2")]),
        replace=True,
    )
    asked: list[RunRecord] = []

    def recover(record: RunRecord) -> None:
        if not asked or asked[-1] != record:
            asked.append(record)

    world.recover = recover
    world.go(2 * HOUR + 2 * MINUTE)
    assert [(record.state, record.exit) for record in asked] == [("failed", 2)]
    run = asked[0].run
    world.tell(ev.RerunRequested("1", "job", run))
    world.tell(ev.RerunRequested("2", "job", run))
    assert world.replies["1"][0]["ok"]
    assert not world.replies["2"][0]["ok"]
    world.go(2 * MINUTE)
    assert [(record.cause, record.of, record.state, record.exit) for record in world.ended] == [
        ("rerun", run, "succeeded", 0)
    ]
    assert world.state() == "running", "its run is being recovered"
    world.tell(ev.Recovered("job", run, ({"verb": "wait", "ok": True},)))
    world.tell(ev.RerunRequested("3", "job", run))
    assert not world.replies["3"][0]["ok"]
    world.go(2 * HOUR)
    record = world.ended[1]
    assert (record.run, record.attempt, record.state) == (run, 2, "succeeded")
    assert record.steps == [{"verb": "wait", "ok": True}]
    assert world.jobs.job("job", world.now).last == record  # type: ignore[union-attr]


def test_recovery_is_asked_about_a_success_that_has_a_name() -> None:
    degraded = Exit(code=1, normal=True, reason="exit status 1")
    world = World(job(recovers=True, outcome={"1": "degraded"}), timetables=AT_TWO, program=Script(job=[degraded]))
    asked: list[str] = []

    def recover(record: RunRecord) -> list[dict[str, Any]]:
        asked.append(record.state)
        return [{"verb": "alert"}]

    world.recover = recover
    world.go(2 * DAY)
    assert asked == ["succeeded"]
    assert [(record.state, record.outcome, len(record.steps)) for record in world.ended] == [
        ("succeeded", "degraded", 1),
        ("succeeded", None, 0),
    ]
    assert world.jobs.job("job", world.now).failures == 0  # type: ignore[union-attr]


def test_while_a_run_is_recovered_no_other_begins() -> None:
    world = World(job(recovers=True), timetables=AT_TWO, program=lambda task: (1.0, BAD))
    world.recover = lambda record: None
    world.go(DAY + 3 * HOUR)
    assert len(world.started) == 1
    world.tell(ev.CancelRequested("1", "job", None, By(who="ann")))
    assert world.replies["1"][0]["ok"]
    assert [(record.state, record.reason) for record in world.ended] == [("cancelled", "cancelled by ann")]


@pytest.mark.parametrize("power_off", [True, False])
def test_an_interrupted_pipeline_goes_on_where_it_was(power_off: bool) -> None:
    stages = tuple(StageSpec(name=name) for name in ("export", "train", "predict"))
    world = World(job(stages=stages, retries=1, backoff=CONSTANT), timetables=AT_TWO, program=Script(), replace=True)
    world.go(2 * HOUR + 1.5 * MINUTE)
    world.kill_tree(10 * MINUTE, power_off=power_off)
    first = world.ended[0]
    assert (first.state, first.ended) == ("interrupted", None)
    assert [stage.state for stage in first.stages] == ["succeeded", "interrupted", "waiting"]
    world.go(HOUR)
    second = world.ended[1]
    assert (second.state, second.cause, second.of, second.attempt) == ("succeeded", "interrupted", first.run, 1)
    assert second.scheduled == first.scheduled
    assert names(world) == ["job:export", "job:train", "job:train", "job:predict"]
    assert [stage.kept for stage in second.stages] == [True, False, False]
    world.go(DAY)
    assert len(world.ended) == 3


@pytest.mark.parametrize(("catch_up", "instants"), [("none", [0]), ("last", [0, 3]), ("all", [0, 0, 1, 2, 3])])
def test_interrupted_and_then_missed(catch_up: CatchUp, instants: list[int]) -> None:
    world = World(job(catch_up=catch_up), timetables=AT_TWO, program=lambda task: (HOUR, OK))
    world.go(2.5 * HOUR)
    world.kill_tree(3 * DAY)
    world.go(8 * HOUR)
    assert [(instant - MONDAY - 2 * HOUR) / DAY for instant in world.scheduled()] == instants


def test_one_that_waited_for_its_retry_is_not_given_more_attempts_by_a_restart() -> None:
    world = World(job(retries=1, backoff=CONSTANT), timetables=AT_TWO, program=lambda task: (1.0, BAD))
    world.go(2 * HOUR + 10)
    world.kill_tree(MINUTE)
    assert world.states() == ["interrupted"]
    world.go(HOUR - 100)
    assert len(world.started) == 1, "the backoff counts on"
    world.go(HOUR)
    assert [task.attempt for _, task in world.started] == [1, 2]
    assert world.states() == ["interrupted", "failed"]


def test_a_run_by_hand_is_not_run_again_by_itself() -> None:
    world = World(JobSpec(name="job"), program=lambda task: (HOUR, OK))
    world.tell(ev.RunRequested("1", "job"))
    world.go(MINUTE)
    world.kill_tree(MINUTE)
    world.go(HOUR)
    assert world.states() == ["interrupted"]
    assert world.state() == "idle"


def test_shutdown_interrupts_and_the_next_life_goes_on() -> None:
    stages = tuple(StageSpec(name=name) for name in ("export", "train"))
    waits = JobSpec(name="waits", schedule="0 2 * * *", gated=True)
    world = World(
        job(stages=stages, shutdown=10.0), waits, timetables={**AT_TWO, "waits": Daily(2 * HOUR)}, program=Script()
    )
    world.gates["waits"] = ("no", None)
    world.stops = lambda stop: 3.0
    world.go(2 * HOUR + 90)
    world.tell(ev.RunRequested("1", "waits"))
    world.tell(ev.ShutdownRequested())
    assert world.all_ended == 0
    assert world.states() == []
    world.tell(ev.RunRequested("2", "job"))
    assert not world.replies["2"][0]["ok"]
    world.root_replaced()
    world.go(HOUR)
    assert world.all_ended >= 1
    assert world.states() == ["interrupted"]
    assert world.ended[-1].ended is not None
    assert names(world) == ["job:export", "job:train"]
    world.gates.clear()
    world.kill_tree(DAY / 2)
    world.go(HOUR)
    assert names(world)[2:] == ["job:train"]
    assert world.states("waits") == ["skipped", "interrupted"], "that of a person is not made again"


def test_shutdown_with_nothing_to_do_is_over_at_once() -> None:
    world = World(job(), timetables=AT_TWO)
    world.tell(ev.ShutdownRequested())
    assert world.all_ended == 1
    world.go(DAY)
    assert not world.started


def test_longer_than_usual() -> None:
    script = Script()
    world = World(job(), timetables=AT_TWO, program=script)
    script.seconds = 10 * MINUTE
    world.go(3 * DAY)
    assert not world.said("run_longer_than_usual")
    script.seconds = 30 * MINUTE
    world.go(2 * HOUR + 19 * MINUTE)
    assert not world.said("run_longer_than_usual")
    world.go(2 * MINUTE)
    fields = world.said("run_longer_than_usual")
    assert [(one["running"], one["longest"]) for one in fields] == [(20 * MINUTE, 10 * MINUTE)]
    world.root_replaced()
    world.go(HOUR)
    assert len(world.said("run_longer_than_usual")) == 1


def test_a_short_job_is_not_said_to_be_long() -> None:
    script = Script()
    script.seconds = 0.1
    world = World(job(), timetables=AT_TWO, program=script)
    world.go(4 * DAY)
    script.seconds = 50.0
    world.go(DAY)
    assert not world.said("run_longer_than_usual")


def test_a_gate_is_asked_again_before_a_retry() -> None:
    world = World(job(gated=True, retries=1, backoff=SHORT), timetables=AT_TWO, program=Script(job=[BAD]))
    world.go(2 * HOUR + 1)
    world.gates["job"] = ("CDP is down", "CDP_DOWN")
    world.go(DAY + HOUR)
    assert len(world.started) == 1
    record = world.jobs.record("job")
    assert record is not None
    assert (record.state, record.status) == ("waiting", "CDP_DOWN")
    world.open_gate("job")
    world.go(2 * MINUTE)
    assert world.states() == ["succeeded"], "one that has begun is left alone when the next is due"


def test_a_program_that_can_not_be_started_is_a_failure() -> None:
    world = World(job(), timetables=AT_TWO, program=lambda task: (0.0, Exit(reason="no such file: bin/x")))
    world.go(DAY)
    assert (world.ended[0].state, world.ended[0].reason) == ("failed", "no such file: bin/x")


def test_what_is_told_too_late_does_no_harm() -> None:
    world = World(job(), timetables=AT_TWO, program=lambda task: (HOUR, OK))
    world.go(2 * HOUR + 1)
    task = world.started[0][1]
    late: list[ev.Event] = [
        ev.TaskEnded("job", task.run, "job", task.start + 1, OK),
        ev.TaskEnded("job", "another", "job", task.start, OK),
        ev.TaskEnded("nobody", task.run, "job", task.start, OK),
        ev.Verified("job", task.run, ""),
        ev.Recovered("job", task.run),
        ev.GateAnswered("job", task.run, "no"),
        ev.TaskStarted("job", task.run, "job", task.start),
    ]
    before = world.jobs.snapshot()
    for event in late:
        world.tell(event)
    assert world.jobs.snapshot() == before
    world.go(HOUR)
    for event in late:
        world.tell(event)
    assert world.states() == ["succeeded"]


def test_cancel_names_a_run_or_none() -> None:
    world = World(job(), timetables=AT_TWO, program=lambda task: (HOUR, OK))
    world.tell(ev.CancelRequested("1", "job"))
    assert not world.replies["1"][0]["ok"]
    world.go(2 * HOUR + 1)
    run = world.started[0][1].run
    world.tell(ev.CancelRequested("2", "job", "another"))
    assert not world.replies["2"][0]["ok"]
    world.tell(ev.CancelRequested("3", "job", run, By(who="ann", why="wrong data")))
    world.go(1)
    assert world.replies["3"][0]["run"] == run
    record = world.ended[0]
    assert (record.state, record.reason) == ("cancelled", "cancelled by ann: wrong data")
    assert world.jobs.job("job", world.now).failures == 0  # type: ignore[union-attr]
    world.go(DAY)
    assert len(world.started) == 2


@pytest.mark.parametrize("how", ["cancelled", "timed_out"])
def test_ended_while_a_stage_waits_for_its_retry(how: str) -> None:
    again = StageSpec(name="a", retries=3, backoff=CONSTANT)
    spec = job(stages=(again, StageSpec(name="b")), timeout=600.0 if how == "timed_out" else None)
    world = World(spec, timetables=AT_TWO, program=lambda task: (1.0, BAD), replace=True)
    world.go(2 * HOUR + MINUTE)
    if how == "cancelled":
        world.tell(ev.CancelRequested("1", "job"))
    world.go(2 * HOUR)
    record = world.ended[0]
    assert (record.state, [stage.state for stage in record.stages]) == (how, [how, "waiting"])
    assert len(world.started) == 1


def test_a_stage_changed_by_a_reload_counts_from_the_next_attempt() -> None:
    old = (StageSpec(name="a"), StageSpec(name="b"), StageSpec(name="c"))
    new = (StageSpec(name="a"), StageSpec(name="x"), StageSpec(name="c"))
    script = Script(job__b=[BAD])
    world = World(job(stages=old, retries=1, backoff=SHORT), timetables=AT_TWO, program=script)
    world.go(2 * HOUR + 90)
    world.specs = (job(stages=new, retries=1, backoff=SHORT),)
    world.tell(ev.Reconfigured(world.specs, AT_TWO, 100))
    world.root_replaced()
    world.go(HOUR)
    assert names(world) == ["job:a", "job:b", "job:x", "job:c"]
    assert world.states() == ["succeeded"]


def test_run_ids_say_when_and_differ() -> None:
    world = World(JobSpec(name="job", every=0.01, schedule="every 10ms"), program=lambda task: (0.001, OK))
    world.go(1)
    runs = [record.run for record in world.ended]
    assert runs[0] == "20251117_000000-1"
    assert len(set(runs)) == len(runs)
    world = World(JobSpec(name="job"), wall=1709210096.5)
    world.tell(ev.RunRequested("1", "job"))
    assert world.replies["1"][0]["run"] == "20240229_123456-1"


def test_an_at_job_interrupted_is_made_again_once() -> None:
    world = World(job(), timetables={"job": At(MONDAY + HOUR)}, program=lambda task: (HOUR, OK))
    world.go(1.5 * HOUR)
    world.kill_tree(MINUTE)
    world.go(3 * HOUR)
    assert world.states() == ["interrupted", "succeeded"]
    assert world.state() == "idle"
