"""A tree with make-believe processes and a clock that whoever tests it winds.

Programs start at once, are ready at once and end as soon as they are asked to, unless `behave` says otherwise. What
they do beyond that (exit, hang, become unhealthy) a test says; what follows the core decides, as in a real tree.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypedDict, Unpack

from msgspec import Struct
from msgspec.structs import replace

from supervisor_tree import config
from supervisor_tree.core import effects as fx
from supervisor_tree.core import events as ev
from supervisor_tree.core import view
from supervisor_tree.core.jobs import events as jobs
from supervisor_tree.core.jobs.records import JobRecord, RunRecord
from supervisor_tree.core.node import State
from supervisor_tree.core.tree import Tree
from supervisor_tree.root import exits
from supervisor_tree.root.sentences import sentence
from supervisor_tree.testing.agenda import Agenda, Entry
from supervisor_tree.testing.runs import Behaving as RunBehaving
from supervisor_tree.testing.runs import Behaviour as RunBehaviour
from supervisor_tree.testing.runs import Runs
from supervisor_tree.testing.scenario import Cast
from supervisor_tree.testing.seen import Child, Line, SimulationError, seconds

_STEPS = 100_000
"""Things that happen in one `advance` at most: a tree that restarts a worker without a pause would never end it."""


class Behaving(TypedDict, total=False):
    """What `SimulatedTree.behave` can be told."""

    ready_after: str | float | None
    """From its start until it says that it is ready; None: it never does. At the beginning 0."""
    stops_in: str | float | None
    """From the request to stop until it has ended; None: it ignores it, until it is killed. At the beginning 0."""
    starts: bool
    """False: it can't be executed."""


class Behaviour(Struct, frozen=True):
    """The same with durations in seconds."""

    ready_after: float | None = 0.0
    stops_in: float | None = 0.0
    starts: bool = True


class SimulatedTree:
    """One life of a tree. ``tree["name"]`` is how a child is at present."""

    def __init__(self, plan: config.Plan, start: datetime | None = None, seed: int = 0) -> None:
        """``start``: the wall clock at the beginning (default: 2026-01-01 00:00 UTC); ``seed``: of the jitter."""
        self.plan = plan
        self.lines: list[Line] = []
        """All that was decided, in order."""
        self.ended: fx.EndTree | None = None
        self._agenda = Agenda()
        self._wall = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._slept = 0.0
        self._tree = Tree(plan.root, seed)
        self._runs = Runs(plan, self._tree, self._agenda, self._wall_clock, self._say)
        self._timers: dict[tuple[str, str], Entry] = {}
        self._behaviour: dict[str, Behaviour] = {}
        self._replies: dict[str, list[dict[str, Any]]] = {}
        self._requests = 0
        self._pid = 100
        self._ending: dict[str, Entry] = {}
        self._effects: dict[type, Callable[[Any], None]] = {
            fx.SpawnChild: self._spawn,
            fx.StopChild: self._stop,
            fx.ArmTimer: self._arm,
            fx.CancelTimer: lambda effect: self._cancel(effect.path, effect.timer),
            fx.Reply: lambda effect: self._replies.update({effect.request: effect.result}),
            fx.Note: self._note,
            fx.EndTree: lambda effect: setattr(self, "ended", effect),
        }

    @classmethod
    def load(
        cls, file: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None, start: datetime | None = None
    ) -> Self:
        """The tree of a tree file.

        Raises:
            ConfigError: the file is not in order, as `check` would say.
        """
        return cls(config.load([os.fspath(file)], os.environ if environ is None else environ), start)

    def start(self) -> Self:
        """Start the tree."""
        self._runs.tell(jobs.TreeStarted())
        self._tell(ev.TreeStarted())
        return self._settle()

    # The clock

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self._agenda.now

    @property
    def clock(self) -> datetime:
        """The wall clock, in the time zone of the start."""
        return self._wall + timedelta(seconds=self._agenda.now + self._slept)

    def _wall_clock(self) -> float:
        return self.clock.timestamp()

    def advance(self, duration: str | float) -> Self:
        """Let time pass (``"10s"``, ``"2h"``, seconds); all that is due happens."""
        until = self._agenda.now + seconds(duration)
        self._run(until)
        self._agenda.now = until
        return self

    def sleep(self, duration: str | float) -> Self:
        """The machine sleeps: only the wall clock goes on."""
        self._slept += seconds(duration)
        self._runs.tell(jobs.ClockTicked())
        return self._settle()

    def _settle(self) -> Self:
        self._run(self._agenda.now)
        return self

    def _run(self, until: float) -> None:
        for _ in range(_STEPS):
            self._runs.ask_gates()
            due = self._agenda.next()
            if due is None or due > until or self.ended is not None:
                return
            self._agenda.step()
        raise SimulationError(f"more than {_STEPS} things happened by {self._agenda.now:g} s: is a backoff all zero?")

    # What is

    def __getitem__(self, name: str) -> Child:
        return Child(view.node(self._tree, self._path(name)), self._agenda.now)

    def states(self) -> dict[str, str]:
        """Of each worker and supervisor its state, in the tree's order."""
        return {path.rpartition("/")[2]: view.node(self._tree, path).status for path in view.paths(self._tree)[1:]}

    def story(self, name: str | None = None) -> list[str]:
        """What was decided (of one child), in the words of `ctl why`."""
        return [line.text for line in self.lines if name is None or line.name == name]

    def job(self, name: str) -> JobRecord:
        """How a job is at present: ``state``, ``next`` (wall clock, seconds), ``last``, ``failures``, …"""
        self._job(name)
        return self._runs.job(name)

    def cast(self) -> Cast:
        """Whom a scenario can be about."""
        return Cast(list(self.states()), list(self._runs.programs), list(self.plan.jobs))

    def runs(self, name: str | None = None) -> list[RunRecord]:
        """The runs that are over (of one job), oldest first."""
        return [run for run in self._runs.ended if name is None or run.job == name]

    # What happens to programs

    def behave(self, name: str, **behaviour: Unpack[Behaving]) -> Self:
        """How this worker's program behaves from its next start on; what is not named stays as it is."""
        self._path(name)
        now = self._behaviour.get(name, Behaviour())
        self._behaviour[name] = replace(now, **_in_seconds(behaviour))
        return self

    def exit(self, name: str, status: int = 0) -> Self:
        """Its program ends by itself, with this exit status."""
        return self._end(name, {"code": status})

    def kill(self, name: str, signal: str = "KILL") -> Self:
        """A signal ends its program; it comes from outside, not from the tree."""
        import signal as signals

        try:
            number = signals.Signals["SIG" + signal.upper().removeprefix("SIG")].value
        except KeyError:
            raise SimulationError(f"there is no signal {signal}") from None
        return self._end(name, {"signal": number})

    def hang(self, name: str) -> Self:
        """It is found to have been silent for longer than its `health` allows."""
        node = self._running(name)
        self._tell(ev.KillRequested(node.path, node.incarnation, "hung: it does nothing any more"))
        return self._settle()

    def unhealthy(self, name: str) -> Self:
        """Its `health` is over its threshold, and it lives on (`then = "alert"`)."""
        node = self._running(name)
        self._tell(ev.HealthChanged(node.path, node.incarnation, healthy=False))
        return self._settle()

    def healthy(self, name: str) -> Self:
        """Its `health` passes (again)."""
        node = self._running(name)
        self._tell(ev.HealthChanged(node.path, node.incarnation, healthy=True))
        return self._settle()

    def ready(self, name: str) -> Self:
        """It says that it is ready."""
        node = self._running(name)
        self._tell(ev.ChildReady(node.path, node.incarnation))
        return self._settle()

    def behave_run(self, name: str, *results: int, **behaviour: Unpack[RunBehaving]) -> Self:
        """How the programs of a job behave from their next start on; what is not named stays as it is.

        Args:
            name: ``JOB``, ``JOB:STAGE`` or ``JOB:STAGE@INSTANCE``.
            results: exit statuses, one for each start; the last one stays.
        """
        if name not in self._runs.programs:
            raise SimulationError(f"there is no job or stage {name!r}: one of {', '.join(self._runs.programs)}")
        now = self._runs.behaviour.get(name, RunBehaviour())
        self._runs.behaviour[name] = replace(now, results=results or now.results, **_in_seconds(behaviour))
        return self

    def behave_normally(self, name: str) -> Self:
        """The programs of this worker, job or stage behave again as if nothing had been said of them."""
        if name not in self._runs.programs:
            self._path(name)
        self._behaviour.pop(name, None)
        self._runs.behaviour.pop(name, None)
        return self

    def refuse(self, job: str, reason: str | None) -> Self:
        """The `require` of a job fails for this reason; None: it passes (again)."""
        self._job(job)
        if reason is None:
            self._runs.refusals.pop(job, None)
        else:
            self._runs.refusals[job] = reason
        return self._settle()

    # What operators ask

    def ctl(self, command: str, *names: str) -> list[dict[str, Any]]:
        """`ctl start | stop | restart | hold | release NAME…` of workers and supervisors, or `start | stop | hold |
        release | run JOB`; what has become of it by now: ``[{name, ok, reason}]``, empty while it is under way."""
        if names and names[0] in self.plan.jobs:
            return self._ctl_job(command, names)
        kinds: dict[str, type] = {
            "start": ev.StartRequested,
            "stop": ev.StopRequested,
            "restart": ev.RestartRequested,
            "hold": ev.HoldRequested,
            "release": ev.ReleaseRequested,
        }
        if command not in kinds:
            raise SimulationError(f"{command} is none of {', '.join(kinds)}")
        self._requests += 1
        request = str(self._requests)
        paths = tuple(self._path(name) for name in names)
        self._tell(kinds[command](request=request, paths=paths, by=ev.By(who="test")))
        self._settle()
        found = self._replies.get(request, [])
        return [{**one, "name": one["name"].rpartition("/")[2]} for one in found]

    def _ctl_job(self, command: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
        for name in names:
            self._job(name)
        by = ev.By(who="test")
        self._requests += 1
        request = str(self._requests)
        asked: dict[str, Callable[[], jobs.Event]] = {
            "run": lambda: jobs.RunRequested(request, names[0], by=by),
            "start": lambda: jobs.StartRequested(request, names, by),
            "stop": lambda: jobs.StopRequested(request, names, by),
            "hold": lambda: jobs.HoldRequested(request, names, by),
            "release": lambda: jobs.ReleaseRequested(request, names, by),
        }
        if command not in asked:
            raise SimulationError(f"{command} of a job is none of {', '.join(asked)}")
        self._runs.tell(asked[command]())
        self._settle()
        return self._runs.replies.get(request, [])

    def shutdown(self) -> Self:
        """The whole tree is asked to end: first the runs of its jobs, then its workers."""
        self._runs.over = lambda: self._tell(ev.ShutdownRequested())
        self._runs.tell(jobs.ShutdownRequested())
        return self._settle()

    def remark(self, text: str) -> None:
        """Say something in the story that no decision of the tree's is."""
        self.lines.append(Line(self._agenda.now, "remark", None, text))

    # The make-believe world

    def _path(self, name: str) -> str:
        for path in self._tree.nodes:
            if path.rpartition("/")[2] == name:
                return path
        raise SimulationError(f"there is no worker or supervisor {name!r}")

    def _job(self, name: str) -> None:
        if name not in self.plan.jobs:
            raise SimulationError(f"there is no job {name!r}")

    def _running(self, name: str) -> view.NodeView:
        node = view.node(self._tree, self._path(name))
        if node.pid is None:
            raise SimulationError(f"{name} does not run: it is {node.status}")
        return node

    def _tell(self, event: ev.Event) -> None:
        for effect in self._tree.handle(event, self._agenda.now):
            self._effects[type(effect)](effect)

    def _behaviour_of(self, path: str) -> Behaviour:
        return self._behaviour.get(path.rpartition("/")[2], Behaviour())

    def _spawn(self, effect: fx.SpawnChild) -> None:
        self._agenda.at(self._agenda.now, lambda: self._spawned(effect))

    def _spawned(self, effect: fx.SpawnChild) -> None:
        behaviour = self._behaviour_of(effect.path)
        if not behaviour.starts:
            self._tell(ev.SpawnFailed(effect.path, effect.incarnation, "it can't be executed"))
            return
        self._pid += 1
        self._tell(ev.ChildSpawned(effect.path, effect.incarnation, self._pid))
        node = self._tree.nodes.get(effect.path)
        if node is None or node.is_supervisor or not node.worker.told_ready or behaviour.ready_after is None:
            return
        ready = ev.ChildReady(effect.path, effect.incarnation)
        self._agenda.at(self._agenda.now + behaviour.ready_after, lambda: self._tell(ready))

    def _stop(self, effect: fx.StopChild) -> None:
        takes = self._behaviour_of(effect.path).stops_in
        grace = effect.grace
        if effect.path in self._ending:
            self._ending.pop(effect.path).cancel()
        if takes is None or (grace is not None and grace < takes):
            if grace is None:
                return  # it ignores the request, and nothing kills it
            end, after = {"signal": 9, "killed": grace > 0}, grace
        else:
            end, after = {"signal": 15}, takes
        self._ending[effect.path] = self._agenda.at(
            self._agenda.now + after, lambda: self._ended(effect.path, effect.incarnation, end)
        )

    def _end(self, name: str, end: dict[str, Any]) -> Self:
        node = self._running(name)
        self._ended(node.path, node.incarnation, end)
        return self._settle()

    def _ended(self, path: str, incarnation: int, end: dict[str, Any]) -> None:
        ending = self._ending.pop(path, None)
        if ending is not None:
            ending.cancel()
        node = self._tree.nodes.get(path)
        if node is None or node.state not in (State.UP, State.STARTING, State.STOPPING):
            return
        settings = self.plan.workers.get(node.name) or self.plan.workers.get(node.name.partition("@")[0])
        how = exits.describe(end, settings.success if settings is not None else (0,))
        self._tell(ev.ChildExited(path, incarnation, how))

    def _arm(self, effect: fx.ArmTimer) -> None:
        self._cancel(effect.path, effect.timer)
        self._timers[effect.path, effect.timer] = self._agenda.at(
            effect.at, lambda: self._fire(effect.path, effect.timer)
        )

    def _fire(self, path: str, timer: str) -> None:
        del self._timers[path, timer]
        self._tell(ev.TimerFired(path, timer))

    def _cancel(self, path: str, timer: str) -> None:
        entry = self._timers.pop((path, timer), None)
        if entry is not None:
            entry.cancel()

    def _note(self, effect: fx.Note) -> None:
        self._say(effect.kind, effect.path.rpartition("/")[2], effect.fields)

    def _say(self, event: str, name: str, fields: dict[str, Any]) -> None:
        self.lines.append(Line(self._agenda.now, event, name, sentence({"event": event, "name": name, **fields})))


def _in_seconds(behaviour: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value if value is None or isinstance(value, bool) else seconds(value) for key, value in behaviour.items()
    }
