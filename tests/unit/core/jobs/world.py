"""A world for jobs: two clocks, programs that take their time, and a shell that keeps its promises.

It checks with every effect what must always hold: never two runs of one job, no instant run twice, no program started
twice, and that what is written down is the whole state (`root_replaced`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

from supervisor_tree.core.events import Exit
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs import events as ev
from supervisor_tree.core.jobs.jobs import Jobs
from supervisor_tree.core.jobs.records import RunRecord
from supervisor_tree.core.jobs.spec import JobSpec, Now, Timetable

MONDAY = 1_763_337_600.0
"""2025-11-17T00:00:00Z, a Monday."""
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
OK = Exit(code=0, normal=True, reason="exit status 0")
BAD = Exit(code=1, reason="exit status 1")
KILLED = Exit(signal=9, reason="killed by SIGKILL")


class Daily:
    """Due each day so many seconds after midnight (UTC)."""

    def __init__(self, at: float = 0.0, period: float = DAY) -> None:
        self.at = at
        self.period = period

    def next_after(self, wall: float) -> float:
        days = (wall - self.at) // self.period
        instant = days * self.period + self.at
        while instant <= wall:
            instant += self.period
        return instant


class At:
    """Due at these instants."""

    def __init__(self, *instants: float) -> None:
        self.instants = sorted(instants)

    def next_after(self, wall: float) -> float | None:
        return next((instant for instant in self.instants if instant > wall), None)


Program = Callable[[fx.StartTask], tuple[float, Exit]]
"""How long a program runs, in seconds, and how it ends."""


class World:
    def __init__(
        self,
        *specs: JobSpec,
        timetables: Mapping[str, Timetable] | None = None,
        max_runs: int = 100,
        wall: float = MONDAY,
        program: Program | None = None,
        start: bool = True,
        replace: bool = False,
    ) -> None:
        self.specs = specs
        self.timetables = dict(timetables or {})
        self.max_runs = max_runs
        self.mono = 1000.0
        self.wall = wall
        self.replace = replace
        """Whether the root is replaced after every event (but those that answer a new root)."""
        self._replacing = False
        self.program: Program = program or (lambda start: (1.0, OK))
        self.stops: Callable[[fx.StopTask], float] = lambda stop: 0.0
        """How long a program takes to end after TERM."""
        self.gates: dict[str, tuple[str, str | None] | None] = {}
        self.verifies: dict[tuple[str, str], str | None] = {}
        self.recover: Callable[[RunRecord], list[dict[str, Any]] | None] = lambda record: []
        self.alive: dict[str, fx.StartTask] = {}
        self.started: list[tuple[float, fx.StartTask]] = []
        self.runs: list[tuple[float, str, RunRecord | str]] = []
        self.ended: list[RunRecord] = []
        self.notes: list[tuple[float, fx.Note]] = []
        self.replies: dict[str, list[dict[str, Any]]] = {}
        self.changed: list[RunRecord] = []
        self.all_ended = 0
        self.asked: set[tuple[str, str]] = set()
        self.instants: set[tuple[str, float]] = set()
        """Job and instant of every run that began."""
        self._clock: tuple[float | None, float | None] = (None, None)
        self._ends: list[tuple[float, int, str, int, Exit, bool]] = []
        self._numbers = count()
        self._starts: set[tuple[str, str, int]] = set()
        self._items: dict[str, bytes] = {}
        self.jobs = Jobs(specs, self.timetables, max_runs)
        if start:
            self.tell(ev.TreeStarted())

    # Time.

    @property
    def now(self) -> Now:
        return Now(self.mono, self.wall)

    def pass_time(self, seconds: float) -> None:
        self.mono += seconds
        self.wall += seconds

    def go(self, seconds: float) -> None:
        """The machine is awake for so long."""
        until = self.mono + seconds
        for _ in range(1_000_000):
            at = min(self._next_event(), until)
            self.pass_time(max(0.0, at - self.mono))
            if not self._happen() and at >= until:
                return
        raise AssertionError("it never comes to rest")

    def _next_event(self) -> float:
        times = [self._ends[0][0]] if self._ends else []
        mono, wall = self._clock
        if mono is not None:
            times.append(mono)
        if wall is not None:
            times.append(self.mono + wall - self.wall)
        return min(times, default=float("inf"))

    def _happen(self) -> bool:
        if self._ends and self._ends[0][0] <= self.mono:
            _, _, name, start, exit_, timed_out = heapq.heappop(self._ends)
            task = self.alive.get(name)
            if task is not None and task.start == start:
                self._end(task, exit_, timed_out)
            return True
        mono, wall = self._clock
        if (mono is not None and mono <= self.mono) or (wall is not None and wall <= self.wall + 1e-6):
            if wall is not None and self.wall < wall <= self.wall + 1e-6:
                self.wall = wall
            before = self._clock
            self.tell(ev.ClockTicked())
            assert self._clock != before, "it asks to be told of a time that has passed"
            return True
        return False

    def sleep(self, seconds: float) -> None:
        """The machine is suspended: only the wall clock goes on. It wakes, and the shell is told at once."""
        self.wall += seconds
        self.tell(ev.ClockTicked())

    def set_clock(self, step: float) -> None:
        """Somebody sets the wall clock."""
        self.wall += step
        self.tell(ev.ClockTicked())

    # Lives.

    def kill_tree(self, down: float, specs: Iterable[JobSpec] | None = None, *, power_off: bool = True) -> None:
        """Everything dies; after ``down`` seconds the tree is started again with what was written down."""
        self.jobs = self._loaded(specs)
        self.alive.clear()
        self._ends.clear()
        self.asked.clear()
        self.all_ended = 0
        self._clock = (None, None)
        self.wall += down
        self.mono = 50.0 if power_off else self.mono + down
        self._items = self.jobs.snapshot()
        self.tell(ev.TreeStarted())

    def root_replaced(self) -> None:
        """Another root takes over: with what was handed over, and nothing else."""
        state = self.jobs.snapshot()
        assert state == self._items, "what was handed over is not the state"
        self.jobs = self._loaded(None)
        again = self.jobs.snapshot()
        assert again == state, (again, state)
        effects = self.jobs.resume(self.now)
        assert not [one for one in effects if isinstance(one, fx.Note | fx.Reply | fx.RunEnded)], effects
        tasks = {(one.name, one.start) for one in effects if isinstance(one, fx.StartTask)}
        assert tasks == {(one.name, one.start) for one in self.alive.values()}
        self._perform(effects)

    def _loaded(self, specs: Iterable[JobSpec] | None) -> Jobs:
        if specs is not None:
            self.specs = tuple(specs)
        return Jobs.load(self.jobs.snapshot().items(), self.specs, self.timetables, self.max_runs)

    # Events and effects.

    def tell(self, event: ev.Event) -> None:
        self._perform(self.jobs.handle(event, self.now))
        for key, value in self.jobs.take_changes():
            if value is None:
                self._items.pop(key, None)
            else:
                self._items[key] = value
        if self.replace and not self._replacing:
            self._replacing = True
            self.root_replaced()
            self._replacing = False

    def _perform(self, effects: list[fx.Effect]) -> None:
        told: list[ev.Event] = []
        for effect in effects:
            if isinstance(effect, fx.StartTask):
                self._start(effect, told)
            elif isinstance(effect, fx.StopTask):
                self._stop(effect)
            elif isinstance(effect, fx.SetClock):
                self._clock = (effect.mono, effect.wall)
            elif isinstance(effect, fx.AskGate):
                self.asked.add((effect.job, effect.run))
                refusal = self.gates.get(effect.job)
                told.append(ev.GateAnswered(effect.job, effect.run, *(refusal or (None, None))))
            elif isinstance(effect, fx.ForgetGate):
                self.asked.discard((effect.job, effect.run))
            elif isinstance(effect, fx.Verify):
                told.append(
                    ev.Verified(effect.job, effect.run, effect.stage, self.verifies.get((effect.job, effect.stage)))
                )
            elif isinstance(effect, fx.Recover):
                steps = self.recover(effect.record)
                if steps is not None:
                    told.append(ev.Recovered(effect.record.job, effect.record.run, tuple(steps)))
            elif isinstance(effect, fx.Note):
                self.notes.append((self.wall, effect))
            elif isinstance(effect, fx.Reply):
                assert effect.request not in self.replies, "answered twice"
                self.replies[effect.request] = effect.results
            elif isinstance(effect, fx.RunEnded):
                assert effect.record.state not in ("waiting", "running")
                assert not [one for one in self.alive.values() if one.run == effect.record.run]
                self.ended.append(effect.record)
            elif isinstance(effect, fx.RunChanged):
                assert effect.record.state in ("waiting", "running")
                self.changed.append(effect.record)
            elif isinstance(effect, fx.AllEnded):
                assert not self.alive
                self.all_ended += 1
        for event in told:
            self.tell(event)

    def _start(self, task: fx.StartTask, told: list[ev.Event]) -> None:
        there = self.alive.get(task.name)
        if there is not None:
            assert there == task, "a second program of one name"
            return
        assert (task.job, task.run, task.start) not in self._starts, "one start twice"
        self._starts.add((task.job, task.run, task.start))
        for other in self.alive.values():
            if other.job == task.job:
                assert (other.run, other.stage) == (task.run, task.stage), "two runs of one job"
        self.alive[task.name] = task
        self.started.append((self.wall, task))
        told.append(ev.TaskStarted(task.job, task.run, task.name, task.start))
        seconds, exit_ = self.program(task)
        if task.timeout is not None and task.timeout < seconds:
            self._push(task.timeout, task, KILLED, True)
        elif seconds != float("inf"):
            self._push(seconds, task, exit_, False)

    def _push(self, seconds: float, task: fx.StartTask, exit_: Exit, timed_out: bool) -> None:
        entry = (self.mono + seconds, next(self._numbers), task.name, task.start, exit_, timed_out)
        heapq.heappush(self._ends, entry)

    def _stop(self, stop: fx.StopTask) -> None:
        task = self.alive.get(stop.name)
        if task is not None and task.start == stop.start:
            takes = self.stops(stop)
            if stop.grace is not None and takes > stop.grace:
                self._push(stop.grace, task, KILLED, False)
            else:
                self._push(takes, task, Exit(signal=15, reason="killed by SIGTERM"), False)

    def _end(self, task: fx.StartTask, exit_: Exit, timed_out: bool) -> None:
        del self.alive[task.name]
        signal = None if exit_.signal is None else {9: "SIGKILL", 15: "SIGTERM"}[exit_.signal]
        self.tell(ev.TaskEnded(task.job, task.run, task.name, task.start, exit_, signal, timed_out))

    # To look at it.

    def open_gate(self, job: str, refusal: tuple[str, str | None] | None = None) -> None:
        """The gate's answer changes; who asked is told."""
        self.gates[job] = refusal
        for name, run in list(self.asked):
            if name == job:
                self.tell(ev.GateAnswered(job, run, *(refusal or (None, None))))

    def said(self, kind: str, job: str | None = None) -> list[dict[str, Any]]:
        return [note.fields for _, note in self.notes if note.kind == kind and job in (None, note.job)]

    def scheduled(self, job: str = "job") -> list[float]:
        """The instants of runs that started a program, in order, once each."""
        runs = dict.fromkeys(task.run for _, task in self.started if task.job == job)
        known = {fields["run"]: fields for fields in self.said("run_due", job)}
        return [known[run]["scheduled"] for run in runs if known[run]["scheduled"] is not None]

    def state(self, job: str = "job") -> str:
        record = self.jobs.job(job, self.now)
        assert record is not None
        return record.state

    def states(self, job: str = "job") -> list[str]:
        return [record.state for record in self.ended if record.job == job]
