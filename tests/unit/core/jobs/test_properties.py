"""Whatever happens, in whatever order: never two runs of one job, and each instant as often as it was promised.

`World` asserts with every effect that no two runs of a job are alive, that no program is started twice and that what is
written down is the state. Here are the histories: sleep, power off, dead supervisors, clocks that are set, operators,
gates, reloads, failures.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_tree.core.jobs import events as ev
from supervisor_tree.core.jobs.due import FAR, LATE
from supervisor_tree.core.jobs.spec import JobSpec, StageSpec
from supervisor_tree.core.spec import Backoff
from tests.unit.core.jobs.world import BAD, MONDAY, OK, Daily, World

PERIOD = 600.0
QUIET = settings(max_examples=60, deadline=None)

gaps = st.floats(0.5, 8 * PERIOD).map(lambda seconds: round(seconds, 1))
histories = st.lists(
    st.one_of(
        st.tuples(st.just("awake"), gaps),
        st.tuples(st.just("sleep"), gaps),
        st.tuples(st.just("power off"), gaps),
        st.tuples(st.just("dead"), gaps),
        st.tuples(st.just("back"), st.floats(1.5, FAR / 9)),
        st.tuples(st.just("forward"), st.floats(1.5, 5000.0)),
        st.tuples(st.just("root"), st.just(0.0)),
    ),
    max_size=8,
)


def live(world: World, history: list[tuple[str, float]]) -> float:
    """Let it happen; the latest time that the wall clock showed."""
    latest = world.wall
    for what, seconds in history:
        if what == "awake":
            world.go(seconds)
        elif what == "sleep":
            world.sleep(seconds)
        elif what == "power off":
            world.kill_tree(seconds)
        elif what == "dead":
            world.kill_tree(seconds, power_off=False)
        elif what == "back":
            world.set_clock(-seconds)
        elif what == "forward":
            world.set_clock(seconds)
        else:
            world.root_replaced()
        latest = max(latest, world.wall)
    return latest


def instants(after: float, until: float) -> list[float]:
    """All that are later than ``after`` and not later than ``until``."""
    first, last = int((after - MONDAY) // PERIOD) + 1, int((until - MONDAY) // PERIOD)
    return [MONDAY + number * PERIOD for number in range(first, last + 1)]


def finished(world: World) -> list[float]:
    """Instants of the runs that came to an end of their own."""
    return [one.scheduled for one in world.ended if one.state in ("succeeded", "failed") and one.scheduled is not None]


@QUIET
@given(history=histories, work=st.floats(0.1, 3 * PERIOD), fails=st.booleans())
def test_all_and_queue_run_each_instant_exactly_once_in_order(
    history: list[tuple[str, float]], work: float, fails: bool
) -> None:
    spec = JobSpec(name="job", schedule="s", catch_up="all", overlap="queue")
    world = World(spec, timetables={"job": Daily(period=PERIOD)}, program=lambda task: (work, BAD if fails else OK))
    latest = live(world, history)
    until = max(world.wall, latest)
    world.program = lambda task: (0.0, OK)
    world.go(until - world.wall + 4 * PERIOD)
    assert finished(world) == instants(MONDAY, world.wall)


@QUIET
@given(history=histories)
def test_last_makes_up_for_the_last_of_each_gap(history: list[tuple[str, float]]) -> None:
    """Against a model: what was due while nobody was there is one run, that of the last instant; else each is run."""
    spec = JobSpec(name="job", schedule="s", catch_up="last")
    world = World(spec, timetables={"job": Daily(period=PERIOD)}, program=lambda task: (0.0, OK))
    expected: list[float] = []
    seen = world.wall
    for what, seconds in history:
        live(world, [(what, seconds)])
        new = instants(seen, world.wall)
        expected += new if what == "awake" else new[-1:]
        seen = max([seen, *new])
        # It has ended before the next gap.
        world.pass_time(0.25)
        world.go(0.25)
        new = instants(seen, world.wall)
        expected += new
        seen = max([seen, *new])
    assert world.scheduled() == finished(world) == expected


@QUIET
@given(history=histories, work=st.floats(0.1, 3 * PERIOD))
def test_last_never_runs_an_instant_twice_nor_two_for_one_gap(history: list[tuple[str, float]], work: float) -> None:
    """Runs that take their time, so that gaps and runs meet."""
    spec = JobSpec(name="job", schedule="s", catch_up="last")
    world = World(spec, timetables={"job": Daily(period=PERIOD)}, program=lambda task: (work, OK))
    for what, seconds in history:
        before = len(world.started)
        begun = world.mono
        live(world, [(what, seconds)])
        if what != "awake":
            assert len(world.started) - before <= 1, "a gap costs one run"
        else:
            assert len(world.started) - before <= (world.mono - begun) / work + 2
    done = finished(world)
    assert len(done) == len(set(done))
    world.go(max(0.0, MONDAY + PERIOD - world.wall) + PERIOD + 2 * work + 1)
    assert finished(world), "and what is due is run"


@QUIET
@given(history=histories, work=st.floats(0.1, 3 * PERIOD))
def test_none_makes_up_for_nothing(history: list[tuple[str, float]], work: float) -> None:
    spec = JobSpec(name="job", schedule="s", catch_up="none")
    world = World(spec, timetables={"job": Daily(period=PERIOD)}, program=lambda task: (work, OK))
    live(world, history)
    began = {
        fields["run"]: wall for wall, note in world.notes if note.kind == "run_started" for fields in [note.fields]
    }
    for record in [*world.ended, *filter(None, [world.jobs.record("job")])]:
        assert record.scheduled is not None
        assert record.cause == "schedule"
        if record.run in began:
            assert began[record.run] - record.scheduled <= LATE
    assert max(Counter(world.scheduled()).values(), default=1) == 1


@QUIET
@given(
    history=histories,
    every=st.sampled_from([0.5, 7.0, 60.0, 600.0]),
    work=st.floats(0.01, 100.0),
    pause=st.sampled_from([0.0, 5.0, 100.0]),
    results=st.lists(st.booleans(), max_size=30),
)
def test_every_never_comes_sooner_than_its_period_or_its_backoff(
    history: list[tuple[str, float]], every: float, work: float, pause: float, results: list[bool]
) -> None:
    ends = iter(results)
    spec = JobSpec(name="job", schedule="e", every=every, backoff=Backoff(first=pause, initial=pause, max=pause))
    world = World(spec, program=lambda task: (work, OK if next(ends, True) else BAD))
    short = [(what, min(seconds, 60 * every)) for what, seconds in history]
    live(world, short)
    finished_at = {one.run: one for one in world.ended}
    lives = [wall for wall, note in world.notes if note.kind == "run_due"]
    assert len(lives) == len({note.fields["run"] for _, note in world.notes if note.kind == "run_due"})
    before: tuple[float, str] | None = None
    if not any(what in ("back", "forward") for what, _ in short):
        for wall, task in world.started:
            if before is not None and before[1] in finished_at:
                record = finished_at[before[1]]
                if record.state == "failed" and record.ended is not None:
                    assert wall >= record.ended + pause - 1e-6
            before = (wall, task.run)
        assert max(Counter(finished(world)).values(), default=1) == 1
        scheduled = sorted(set(world.scheduled()))
        assert all(later - sooner >= every * 0.999 for sooner, later in pairwise(scheduled))


operators = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "awake", "awake", "awake", "sleep", "power off", "root", "run", "stop", "start", "hold", "release",
                "cancel", "shut", "open", "reload", "remove", "back", "recovered", "rerun", "shutdown",
            ]
        ),
        st.floats(0.0, 3 * PERIOD).map(lambda seconds: round(seconds, 2)),
    ),
    max_size=12,
)  # fmt: skip
specs = st.builds(
    JobSpec,
    name=st.just("job"),
    schedule=st.just("s"),
    catch_up=st.sampled_from(["none", "last", "all"]),
    overlap=st.sampled_from(["skip", "queue", "kill"]),
    retries=st.integers(0, 2),
    backoff=st.sampled_from([Backoff(), Backoff(first=30.0, initial=30.0, max=30.0)]),
    jitter=st.sampled_from([0.0, 100.0]),
    timeout=st.sampled_from([None, 50.0]),
    gated=st.booleans(),
    verify=st.booleans(),
    recovers=st.booleans(),
    run_at_start=st.booleans(),
    missed_after=st.sampled_from([None, 900.0]),
    shutdown=st.sampled_from([None, 0.0, 5.0]),
    stages=st.sampled_from(
        [
            (StageSpec(),),
            (StageSpec(name="a", retries=1), StageSpec(name="b", critical=False), StageSpec(name="c", timeout=20.0)),
            (StageSpec(name="a", instances=("1", "2", "3"), parallel=2, at_least=1), StageSpec(name="b", verify=True)),
        ]
    ),
)


class Chaos:
    """Everything at once; `step` does one thing."""

    def __init__(self, spec: JobSpec, results: list[int], max_runs: int, replace: bool) -> None:
        self.spec = spec
        self.results = iter(results)
        self.requests = 0
        other = JobSpec(name="other", schedule="s")
        self.both = (spec, other)
        tables = {"job": Daily(period=PERIOD), "other": Daily(period=PERIOD)}
        self.tables: dict[str, Any] = tables
        self.world = World(*self.both, timetables=tables, max_runs=max_runs, program=self.program, replace=replace)
        self.world.stops = lambda stop: float(next(self.results, 0))
        self.world.recover = lambda record: None if next(self.results, 0) % 3 == 0 else []

    def program(self, task: Any) -> tuple[float, Any]:
        result = next(self.results, 0)
        return float(result * 7), BAD if result % 2 else OK

    def request(self) -> str:
        self.requests += 1
        return str(self.requests)

    def recovered(self) -> None:
        record = self.world.jobs.record("job")
        if record is not None:
            self.world.tell(ev.Recovered("job", record.run))

    def step(self, what: str, seconds: float) -> None:
        world = self.world
        if what in ("awake", "sleep", "power off", "root", "back"):
            live(world, [(what, min(seconds, FAR / 2))])
        elif what == "run":
            world.tell(ev.RunRequested(self.request(), "job"))
        elif what in ("stop", "start", "hold", "release"):
            kind: dict[str, type[ev.Request]] = {
                "stop": ev.StopRequested,
                "start": ev.StartRequested,
                "hold": ev.HoldRequested,
            }
            world.tell(kind.get(what, ev.ReleaseRequested)(self.request(), ("job", "other")))
        elif what == "cancel":
            world.tell(ev.CancelRequested(self.request(), "job"))
        elif what == "shut":
            world.open_gate("job", ("no", None))
        elif what == "open":
            world.open_gate("job")
        elif what == "reload":
            changed = msgspec.structs.replace(self.spec, retries=1, timeout=None)
            world.specs = (changed, self.both[1])
            world.tell(ev.Reconfigured(world.specs, self.tables, world.max_runs))
        elif what == "remove":
            world.specs = self.both[1:]
            world.tell(ev.Reconfigured(world.specs, self.tables, world.max_runs))
        elif what == "recovered":
            self.recovered()
        elif what == "rerun":
            record = world.jobs.record("job")
            if record is not None:
                world.tell(ev.RerunRequested(self.request(), "job", record.run))
        elif what == "shutdown":
            world.tell(ev.ShutdownRequested())
            world.go(2000.0)
            world.kill_tree(seconds)


@settings(max_examples=100, deadline=None)
@given(
    spec=specs,
    history=operators,
    results=st.lists(st.integers(0, 20), max_size=60),
    max_runs=st.integers(1, 3),
    replace=st.booleans(),
)
def test_whatever_happens(
    spec: JobSpec, history: list[tuple[str, float]], results: list[int], max_runs: int, replace: bool
) -> None:
    chaos = Chaos(spec, results, max_runs, replace)
    world = chaos.world
    for what, seconds in history:
        chaos.step(what, seconds)
    ends = Counter(
        (one.job, one.scheduled)
        for one in world.ended
        if one.state in ("succeeded", "failed", "timed_out")
        if one.scheduled is not None and one.cause != "rerun"
    )
    assert max(ends.values(), default=1) == 1, "an instant that was run to its end twice"
    runs = Counter(one.run for one in world.ended)
    assert max(runs.values(), default=1) == 1, "a run that ended twice"
    failed = {one.run for one in world.ended if one.state in ("failed", "timed_out") and one.cause != "rerun"}
    told = [fields["run"] for fields in world.said("job_failing")]
    assert len(told) == len(set(told)), "a failure that was told twice"
    assert set(told) <= failed

    # And it comes to rest: nothing is stuck, nothing is left, everybody is answered.
    chaos.results = iter([])
    world.recover = lambda record: []
    world.open_gate("job")
    world.tell(ev.StartRequested("up", ("job", "other")))
    world.tell(ev.ReleaseRequested("on", ("job", "other")))
    for _ in range(3):
        chaos.recovered()
        world.go(4 * PERIOD)
    begun = len(world.started)
    world.go(3 * PERIOD)
    assert len([one for _, one in world.started[begun:] if one.job == "other"]) in (2, 3, 4)
    if "job" in world.jobs.names():
        assert len([one for _, one in world.started[begun:] if one.job == "job"]) >= 2
        # Nothing is owed to the past any more.
        record = world.jobs.job("job", world.now)
        assert record is not None
        assert record.overdue is None
    world.tell(ev.StopRequested("end", ("job", "other")))
    world.go(2000.0)
    assert not world.alive
    assert world.jobs.idle
    assert not world.jobs.pending_requests()
    assert world.jobs.slots == 0
    answered = {str(number) for number in range(1, chaos.requests + 1)} | {"up", "on", "end"}
    if not any(what in ("power off", "shutdown") for what, _ in history):
        assert set(world.replies) == answered
