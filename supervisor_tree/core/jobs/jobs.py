"""All jobs of a tree as a state machine: events and the time in, effects out.

`Jobs.handle` changes the jobs in place and returns what is to be done, in the order in which it was decided. It knows
two clocks (`Now`) by what it is told, no randomness and no process. Who looks for the rules finds them in `machine.py`
(what happens to a run), `due.py` (when there is to be one), `late.py` (what is late), `attempts.py` (stages, retries,
ends) and `wishes.py` (operators).

A job is looked at when an event is about it, and when one of its times has come (`look`): then everything that follows
from its state and the time is done at once, and asked a second time it is nothing. An idle job is an entry in a heap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any

from supervisor_tree.core.jobs import due, machine, showing, snapshot, wishes
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs.events import Event
from supervisor_tree.core.jobs.job import Job, JobState
from supervisor_tree.core.jobs.records import JobRecord, RunRecord
from supervisor_tree.core.jobs.run import Active, Phase
from supervisor_tree.core.jobs.snapshot import Head, Pending
from supervisor_tree.core.jobs.spec import JobSpec, Now, Timetable

STEP = 1.0
"""Seconds by which the clocks may differ more than before and it is no step of the wall clock."""


class Jobs:
    """The state of a tree's jobs. Public: `handle`, `take_changes`, `snapshot`, `load`, `resume` and, to look at it,
    `names`, `leaving`, `job`, `record`, `records`, `next_run`, `pending_requests`, `idle`."""

    def __init__(
        self, specs: Iterable[JobSpec], timetables: Mapping[str, Timetable], max_runs: int = 4, seed: int = 0
    ) -> None:
        """Nothing happens before `TreeStarted`. ``timetables``: of those jobs that have one, by name. ``seed`` makes
        the jitter of this tree its own."""
        self.head = Head(seed=seed, max_runs=max_runs)
        self.jobs: dict[str, Job] = {spec.name: Job(spec, timetables.get(spec.name), JobState()) for spec in specs}
        self.requests: dict[str, Pending] = {}
        self._blank()
        for name in self.jobs:
            self.touch("job/" + name)
        self.touch("head")

    def _blank(self) -> None:
        self.now = Now(0.0, 0.0)
        self.queue: dict[str, None] = {}
        """Jobs whose run waits for one of `max_runs`, in order."""
        self.slots = 0
        """Taken ones."""
        self.under_way = 0
        self._effects: list[fx.Effect] = []
        self._stirred: dict[str, None] = {}
        self._shown: dict[tuple[str, str], Active] = {}
        self._walls: list[tuple[float, str]] = []
        self._monos: list[tuple[float, str]] = []
        self._clock: tuple[float | None, float | None] = (None, None)
        self._touched: set[str] = set()

    # The interface.

    def handle(self, event: Event, now: Now) -> list[fx.Effect]:
        """What is to be done because of ``event``, in this order. ``now.mono`` never falls."""
        self.now = now
        effects = self._effects = []
        if self.head.begun:
            self._watch_clock()
        machine.handle(self, event)
        self._settle()
        return effects

    def take_changes(self) -> list[tuple[str, bytes | None]]:
        """What must be written down since the last call: (key, value), None to delete the key."""
        touched, self._touched = self._touched, set()
        return [(key, snapshot.dump(self, key)) for key in sorted(touched)]

    def snapshot(self) -> dict[str, bytes]:
        """All that is to be known in the tree's next life, for `load`."""
        return snapshot.whole(self)

    @classmethod
    def load(
        cls,
        items: Iterable[tuple[str, bytes]],
        specs: Iterable[JobSpec],
        timetables: Mapping[str, Timetable],
        max_runs: int = 4,
        seed: int = 0,
    ) -> Jobs:
        """The jobs that were written down as ``items``. Go on with `resume` (the same life of the tree) or
        `TreeStarted` (another one).

        Jobs that ``specs`` does not name are kept with their run; `Reconfigured` or `TreeStarted` ends them.
        """
        jobs = cls.__new__(cls)
        jobs.head = Head(seed=seed, max_runs=max_runs)
        jobs.jobs = {}
        jobs.requests = {}
        jobs._blank()
        snapshot.load(jobs, dict(items), {spec.name: spec for spec in specs}, timetables)
        return jobs

    def resume(self, now: Now) -> list[fx.Effect]:
        """All effects whose answers are still to come, for whoever takes over. Doing them twice does no harm."""
        self.now = now
        effects = self._effects = []
        if not self.head.begun:
            return effects
        self._watch_clock()
        for job in self.jobs.values():
            for active in (job.active, job.rerun):
                if active is not None:
                    machine.resume(self, job, active)
        if self.head.ending and not self.under_way:
            self.all_ended()
        self._clock = (None, None)
        for name in self.jobs:
            self.stir(name)
        self._settle()
        return effects

    # To look at it.

    def names(self) -> list[str]:
        """The jobs that the tree file names."""
        return [name for name, job in self.jobs.items() if not job.state.leaving]

    def leaving(self) -> list[str]:
        """Those that it names no more, and whose run has not ended."""
        return [name for name, job in self.jobs.items() if job.state.leaving]

    def job(self, name: str, now: Now) -> JobRecord | None:
        job = self.jobs.get(name)
        return None if job is None else showing.job(job, now)

    def record(self, name: str) -> RunRecord | None:
        """The run of this job that is under way or waits."""
        job = self.jobs.get(name)
        return None if job is None or job.active is None else showing.run(job.active)

    def records(self) -> list[RunRecord]:
        """All runs that are under way or wait, and their repetitions by a recovery."""
        every = (active for job in self.jobs.values() for active in (job.active, job.rerun))
        return [showing.run(active) for active in every if active is not None]

    def next_run(self, name: str, wall: float) -> float | None:
        """When the job is due next, by the wall clock; what is due already waits or is shown as running."""
        job = self.jobs.get(name)
        return None if job is None else due.next_run(job, wall)

    def pending_requests(self) -> list[str]:
        """The requests that have had no `Reply` yet."""
        manual = [one.request for job in self.jobs.values() for one in job.state.manual]
        return [*self.requests, *manual]

    @property
    def idle(self) -> bool:
        """Whether no run is under way or waits."""
        return self.under_way == 0

    def wait(self, now: Now) -> float | None:
        """Seconds until there is something to do, if the clocks go on alike; None: nothing is ahead. For those who
        drive the machine with a clock of their own."""
        mono, wall = self._first()
        waits = [at - clock for at, clock in ((mono, now.mono), (wall, now.wall)) if at is not None]
        return max(0.0, min(waits)) if waits else None

    # For the rooms of this package: decide.

    def do(self, effect: fx.Effect) -> None:
        self._effects.append(effect)

    def note(self, kind: str, job: Job, fields: dict[str, Any] | None = None) -> None:
        self._effects.append(fx.Note(kind, job.name, fields or {}))

    def stir(self, name: str) -> None:
        """Look at this job before the event is through."""
        self._stirred[name] = None

    def touch(self, key: str) -> None:
        self._touched.add(key)

    def save(self, job: Job) -> None:
        """The job's own state has changed."""
        self._touched.add("job/" + job.name)
        self._stirred[job.name] = None

    def moved(self, job: Job, active: Active) -> None:
        """A run has changed."""
        run = active.run
        self._touched.add(f"run/{job.name}/{run.id}")
        self._shown[job.name, run.id] = active
        self._stirred[job.name] = None

    def gone(self, job: Job, active: Active) -> None:
        """A run is over."""
        run = active.run
        self._touched.update((f"run/{job.name}/{run.id}", f"work/{job.name}/{run.id}"))
        self._shown.pop((job.name, run.id), None)
        self._stirred[job.name] = None

    def run_over(self, name: str) -> None:
        """A run of this job has ended: whoever waits for that is answered."""
        wishes.run_over(self, name)
        if self.head.ending and not self.under_way:
            self.all_ended()

    def all_ended(self) -> None:
        self.do(fx.AllEnded())

    # Inside.

    def _watch_clock(self) -> None:
        """A wall clock that was set back takes with it what is counted from the last time, not from a calendar."""
        offset = self.now.wall - self.now.mono
        step = offset - self.head.offset
        if abs(step) > STEP:
            self.head.offset = offset
            self.touch("head")
            if step < 0:
                for job in self.jobs.values():
                    due.set_back(self, job, step)
            for name in self.jobs:
                self.stir(name)

    def _settle(self) -> None:
        if self.head.begun:
            self._come_due()
            while self._stirred or self._may_begin():
                while self._stirred:
                    name = next(iter(self._stirred))
                    del self._stirred[name]
                    job = self.jobs.get(name)
                    if job is not None:
                        machine.look(self, job)
                if self._may_begin():
                    name = next(iter(self.queue))
                    del self.queue[name]
                    machine.granted(self, self.jobs[name])
            self._set_clock()
        shown, self._shown = self._shown, {}
        for active in shown.values():
            self.do(fx.RunChanged(showing.run(active)))

    def _may_begin(self) -> bool:
        return bool(self.queue) and self.slots < self.head.max_runs

    def _come_due(self) -> None:
        """Stir those whose time has come. A heap may hold entries that were overtaken: the job knows which counts."""
        walls, monos = self._walls, self._monos
        while walls and walls[0][0] <= self.now.wall:
            at, name = heappop(walls)
            job = self.jobs.get(name)
            if job is not None and job.look_wall == at:
                job.look_wall = inf
                self.stir(name)
        while monos and monos[0][0] <= self.now.mono:
            at, name = heappop(monos)
            job = self.jobs.get(name)
            if job is not None and job.look_mono == at:
                job.look_mono = inf
                self.stir(name)

    def look_at(self, job: Job, mono: float, wall: float) -> None:
        """Look at ``job`` again when one of the clocks is there."""
        if mono != job.look_mono:
            job.look_mono = mono
            if mono < inf:
                heappush(self._monos, (mono, job.name))
        if wall != job.look_wall:
            job.look_wall = wall
            if wall < inf:
                heappush(self._walls, (wall, job.name))
        limit = 4 * len(self.jobs) + 64
        if len(self._monos) > limit:
            self._monos = [(one.look_mono, name) for name, one in self.jobs.items() if one.look_mono < inf]
            heapify(self._monos)
        if len(self._walls) > limit:
            self._walls = [(one.look_wall, name) for name, one in self.jobs.items() if one.look_wall < inf]
            heapify(self._walls)

    def _first(self) -> tuple[float | None, float | None]:
        monos, walls = self._monos, self._walls
        while monos and (monos[0][1] not in self.jobs or self.jobs[monos[0][1]].look_mono != monos[0][0]):
            heappop(monos)
        while walls and (walls[0][1] not in self.jobs or self.jobs[walls[0][1]].look_wall != walls[0][0]):
            heappop(walls)
        return (monos[0][0] if monos else None, walls[0][0] if walls else None)

    def _set_clock(self) -> None:
        first = self._first()
        if first != self._clock:
            self._clock = first
            self.do(fx.SetClock(*first))

    def restore_queue(self) -> None:
        """After `load`: who waited for a slot waits at the old place."""
        waiting = [
            (job.active.run.place, name)
            for name, job in self.jobs.items()
            if job.active is not None and job.active.run.phase is Phase.QUEUED
        ]
        self.queue = dict.fromkeys(name for _, name in sorted(waiting))
