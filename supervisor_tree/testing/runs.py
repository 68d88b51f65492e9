"""The jobs of a simulated tree: the machine that decides about runs, with make-believe programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from msgspec import Struct
from msgspec.structs import replace

from supervisor_tree import config
from supervisor_tree.config import schedules
from supervisor_tree.core import events, view
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs import events as ev
from supervisor_tree.core.jobs.jobs import Jobs
from supervisor_tree.core.jobs.records import JobRecord, RunRecord
from supervisor_tree.core.jobs.spec import Now, program_name
from supervisor_tree.root import exits

if TYPE_CHECKING:
    from supervisor_tree.config.job_settings import JobSettings
    from supervisor_tree.core.tree import Tree
    from supervisor_tree.testing.agenda import Agenda, Entry

Note = Callable[[str, str, dict[str, Any]], None]


class Behaving(TypedDict, total=False):
    """What `SimulatedTree.behave_run` can be told."""

    takes: str | float | None
    """How long the program runs; None: until it is stopped. At the beginning 0."""
    verified: bool
    """Whether `verify` passes after it."""


class Behaviour(Struct, frozen=True):
    """The same with durations in seconds, and the results."""

    takes: float | None = 0.0
    results: tuple[int, ...] = (0,)
    """Exit statuses of its next starts, one after the other; the last one stays."""
    verified: bool = True


class Runs:
    """Tells `core.jobs` what happens, and does what it says with programs that are none."""

    def __init__(self, plan: config.Plan, tree: Tree, agenda: Agenda, wall: Callable[[], float], note: Note) -> None:
        self._plan = plan
        self._tree = tree
        self._agenda = agenda
        self._wall = wall
        self._note = note
        specs = [schedules.job_spec(settings) for settings in plan.jobs.values()]
        tables = {name: schedules.timetable(settings) for name, settings in plan.jobs.items()}
        self._machine = Jobs(specs, {name: table for name, table in tables.items() if table}, plan.tree.max_runs)
        self.programs = {
            program_name(spec.name, stage.name, instance): spec.name
            for spec in specs
            for stage in spec.stages
            for instance in (None, *(stage.instances or ()))
        }
        """Whoever can be given a behaviour, and the job that each belongs to."""
        self.behaviour: dict[str, Behaviour] = {}
        self.ended: list[RunRecord] = []
        """Runs that are over, oldest first."""
        self.refusals: dict[str, str] = {}
        """By job: why its `require` does not pass."""
        self.replies: dict[str, list[dict[str, Any]]] = {}
        self.over: Callable[[], None] | None = None
        """Called once no run is under way, while the tree ends."""
        self._gates: dict[tuple[str, str], str | None] = {}
        self._living: dict[tuple[str, int], Entry | None] = {}
        self._clock: Entry | None = None
        self._perform: dict[type, Callable[[Any], None]] = {
            fx.StartTask: self._start,
            fx.StopTask: self._stop,
            fx.AskGate: self._ask_gate,
            fx.ForgetGate: self._forget_gate,
            fx.Verify: self._verify,
            fx.Recover: self._recover,
            fx.SetClock: self._set_clock,
            fx.RunChanged: lambda _: None,
            fx.RunEnded: self._run_ended,
            fx.Reply: lambda effect: self.replies.update({effect.request: effect.results}),
            fx.Note: lambda effect: note(effect.kind, effect.job, dict(effect.fields)),
            fx.AllEnded: lambda _: self.over() if self.over is not None else None,
        }

    def tell(self, event: ev.Event) -> None:
        self._do(self._machine.handle(event, self._now()))

    def job(self, name: str) -> JobRecord:
        record = self._machine.job(name, self._now())
        assert record is not None
        return record

    def ask_gates(self) -> None:
        """Whatever has happened, runs that wait may be able to begin."""
        for (job, run), before in list(self._gates.items()):
            refusal = self._refusal(self._plan.jobs[job])
            if refusal != before and (job, run) in self._gates:
                self._gates[job, run] = refusal
                if refusal is None:
                    del self._gates[job, run]
                self.tell(ev.GateAnswered(job, run, refusal))

    def _ask_gate(self, effect: fx.AskGate) -> None:
        self._gates.setdefault((effect.job, effect.run), "")

    def _forget_gate(self, effect: fx.ForgetGate) -> None:
        self._gates.pop((effect.job, effect.run), None)

    def _refusal(self, settings: JobSettings) -> str | None:
        for name, level in settings.needs.items():
            for bare in config.names_of(self._plan, name):
                missing = view.unmet(self._tree, self._plan.paths[bare], level)
                if missing is not None:
                    return f"waits for {missing.rpartition('/')[2]} to be {level.value}"
        return self.refusals.get(settings.name)

    def _now(self) -> Now:
        return Now(self._agenda.now, self._wall())

    def _do(self, effects: Iterable[fx.Effect]) -> None:
        for effect in effects:
            self._perform[type(effect)](effect)

    def _start(self, effect: fx.StartTask) -> None:
        key = effect.name, effect.start
        stage = program_name(effect.job, effect.stage, None)
        if key in self._living:
            return
        program = next((name for name in (effect.name, stage) if name in self.behaviour), "")
        behaviour = self.behaviour.get(program, Behaviour())
        status, *rest = behaviour.results
        if rest:
            self.behaviour[program] = replace(behaviour, results=tuple(rest))
        self._living[key] = None
        self._agenda.at(
            self._agenda.now, lambda: self.tell(ev.TaskStarted(effect.job, effect.run, effect.name, effect.start))
        )
        takes, timeout = behaviour.takes, effect.timeout
        if timeout is not None and (takes is None or takes > timeout):
            end: dict[str, Any] = {"signal": 9}
            self._living[key] = self._later(timeout, effect, end, timed_out=True)
        elif takes is not None:
            self._living[key] = self._later(takes, effect, {"code": status})

    def _stop(self, effect: fx.StopTask) -> None:
        entry = self._living.get((effect.name, effect.start))
        if entry is not None:
            entry.cancel()
        if (effect.name, effect.start) in self._living:
            self._living[effect.name, effect.start] = self._later(
                0.0, effect, {"signal": 9 if effect.grace == 0 else 15}
            )

    def _later(
        self, seconds: float, effect: fx.StartTask | fx.StopTask, end: dict[str, Any], *, timed_out: bool = False
    ) -> Entry:
        return self._agenda.at(self._agenda.now + seconds, lambda: self._ended(effect, end, timed_out))

    def _ended(self, effect: fx.StartTask | fx.StopTask, end: dict[str, Any], timed_out: bool) -> None:
        self._living.pop((effect.name, effect.start), None)
        how = exits.describe(end, self._plan.jobs[effect.job].success)
        if timed_out:
            how = events.Exit(signal=9, reason="timed out")
        signal = exits.signal_name(end["signal"]) if end.get("signal") else None
        self.tell(ev.TaskEnded(effect.job, effect.run, effect.name, effect.start, how, signal, timed_out))

    def _verify(self, effect: fx.Verify) -> None:
        behaviour = self.behaviour.get(program_name(effect.job, effect.stage, None), Behaviour())
        refusal = None if behaviour.verified else "it is made to fail its `verify`"
        answer = ev.Verified(effect.job, effect.run, effect.stage, refusal)
        self._agenda.at(self._agenda.now, lambda: self.tell(answer))

    def _recover(self, effect: fx.Recover) -> None:
        # Which steps a rule would take is `ctl recover --dry-run`'s business: they end at once here.
        self._agenda.at(self._agenda.now, lambda: self.tell(ev.Recovered(effect.record.job, effect.record.run)))

    def _set_clock(self, effect: fx.SetClock) -> None:
        if self._clock is not None:
            self._clock.cancel()
        waits = [] if effect.mono is None else [effect.mono - self._agenda.now]
        waits += [] if effect.wall is None else [effect.wall - self._wall()]
        if waits:
            self._clock = self._agenda.at(self._agenda.now + min(waits), lambda: self.tell(ev.ClockTicked()))

    def _run_ended(self, effect: fx.RunEnded) -> None:
        from supervisor_tree.root.jobs.showing import run_json

        self.ended.append(effect.record)
        if effect.record.state != "skipped":
            self._note("run_ended", effect.record.job, {"run": run_json(effect.record)})
