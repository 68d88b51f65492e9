"""The jobs of a tree, from outside: what happens is told to `core.jobs`, what it decides is done.

The machine is there once there is a job: a tree without jobs does not load it. Its state goes to the keeper with each
commit (keys `jobs/…`), for the next root, and to `jobs.json`, for the tree's next life.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.core import view
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs import events as ev
from supervisor_tree.core.jobs.records import JobRecord, RunRecord
from supervisor_tree.core.jobs.spec import Now, program_name
from supervisor_tree.root.clocks import rfc3339
from supervisor_tree.root.files import write_logs_json
from supervisor_tree.root.jobs import planning, run_logs
from supervisor_tree.root.jobs.awake import KeepAwake
from supervisor_tree.root.jobs.clock import JobClock
from supervisor_tree.root.jobs.ends import Ends
from supervisor_tree.root.jobs.files import JobFiles, folder
from supervisor_tree.root.jobs.gates import Gates
from supervisor_tree.root.jobs.requests import Requests
from supervisor_tree.root.jobs.run_settings import RunSettings
from supervisor_tree.root.jobs.showing import job_json, run_json, status_json
from supervisor_tree.root.jobs.tasks import Tasks

if TYPE_CHECKING:
    from supervisor_tree.config.job_settings import JobSettings
    from supervisor_tree.core.jobs.jobs import Jobs
    from supervisor_tree.root.shell import Shell

_STATE = "jobs/"
_TIMES = ("scheduled", "before", "since", "started")
"""Fields of the machine's notes that are times."""
_LAST = 5.0
"""Seconds that the end of a tree waits at most for the last records."""


class JobsShell:
    """All jobs of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._machine: Jobs | None = None
        self._clock = JobClock(shell.loop, self._ticked)
        self._held_back: list[Callable[[], None]] = []
        """What ends the tree, while runs are still to end."""
        self.ending = False
        """No run begins any more."""
        self._all_ended = False
        self.run_settings = RunSettings(shell)
        self.tasks = Tasks(shell)
        self.gates = Gates(shell)
        self.files = JobFiles(shell)
        self.ends = Ends(shell)
        self.awake = KeepAwake(shell)
        self.requests = Requests(shell, self)
        self._perform: dict[type, Callable[[Any], None]] = {
            fx.StartTask: self._start_task,
            fx.StopTask: self.tasks.stop,
            fx.AskGate: self.gates.ask,
            fx.ForgetGate: lambda effect: self.gates.forget(effect.run),
            fx.Verify: self._verify,
            fx.Recover: self._recover,
            fx.SetClock: lambda effect: self._clock.set(effect.mono, effect.wall),
            fx.RunChanged: self._run_changed,
            fx.RunEnded: self._run_ended,
            fx.Reply: self.requests.reply,
            fx.Note: self._note,
            fx.AllEnded: self._all_over,
        }

    # The life of it

    def begin(self) -> None:
        """A new life of the tree: with what the life before left behind."""
        self.awake.look()
        if self._shell.plan.jobs:
            self._begin(planning.machine(self._shell.plan, planning.read_state(self._shell)))

    def _begin(self, machine: Jobs) -> None:
        self._machine = machine
        for key, value in machine.snapshot().items():
            self._shell.state(_STATE + key, value)
        self.tell(ev.TreeStarted())

    def load(self, state: Mapping[str, bytes]) -> None:
        """The state of the root before us."""
        for key, value in state.items():
            self.tasks.load(key, value)
            self.run_settings.load(key, value)
            self.ends.load(key, value)
        items = {key.removeprefix(_STATE): value for key, value in state.items() if key.startswith(_STATE)}
        if items:
            self._machine = planning.machine(self._shell.plan, items)

    def resume(self) -> None:
        """Go on where the root before us was cut off; before the keeper's events are heard."""
        self.awake.resume()
        if self._machine is not None:
            self.perform(self._machine.resume(self._now()))
            for run in self.running():
                self._write_status(run)
                self.awake.run_goes_on(run.job, run.run, going=True)
            self._write_state()
        self.awake.look()
        self.ends.resume()
        self.requests.resume()

    def replan(self, removed: Iterable[str] = ()) -> None:
        """The plan has changed. ``removed``: whom somebody has taken out by name."""
        plan = self._shell.plan
        if self._machine is None and plan.jobs:
            # The tree has started long ago, without jobs: these are added to it, like any job after them.
            self._begin(planning.machine_without_jobs(plan))
        if self._machine is not None:
            specs, timetables = planning.specs(plan)
            self.run_settings.replan(self._machine.records())
            self.tell(ev.Reconfigured(specs, timetables, plan.tree.max_runs, frozenset(removed)))
            self._shell.limits.replan()
        self.awake.look()

    def tell(self, event: ev.Event) -> None:
        """Let the machine decide about one event."""
        if self._machine is not None:
            self.perform(self._machine.handle(event, self._now()))

    def perform(self, effects: Iterable[fx.Effect]) -> None:
        for effect in effects:
            self._perform[type(effect)](effect)

    def take_changes(self) -> dict[str, bytes | None]:
        """What the next commit has to carry."""
        if self._machine is None:
            return {}
        changes = {_STATE + key: value for key, value in self._machine.take_changes()}
        if changes:
            self._write_state()
        return changes

    def _now(self) -> Now:
        return Now(self._shell.loop.time(), time.time())

    def _ticked(self) -> None:
        self.tell(ev.ClockTicked())
        self._shell.flush()

    # The end of the tree: runs end before any worker, and before the tree does

    def end_first(self, then: Callable[[], None]) -> bool:
        """Whether ``then``, which ends something of an ending tree, has to wait for runs: it is called when they
        have ended, in order."""
        if self._all_ended or not view.ends(self._shell.tree):
            return False
        if self._machine is None:
            self.ending = True
            self.awake.look()
            return False
        self._held_back.append(then)
        if not self.ending:
            self.ending = True
            self.awake.look()
            try:
                self.tell(ev.ShutdownRequested())
            except Exception as error:
                self._shell.internal_error("the end of the jobs", error)
            self._shell.loop.call_later(_LAST, self._look_whether_all_ended)
        return True

    def _look_whether_all_ended(self) -> None:
        """A tree must end, whatever is wrong with its jobs: where no program of theirs is left, nothing is awaited."""
        if self._all_ended:
            return
        if any(self._shell.errands.has(name) for run in self.running() for name in _programs(run)):
            self._shell.loop.call_later(_LAST, self._look_whether_all_ended)
            return
        self._shell.internal_error("the end of the jobs", RuntimeError("runs that have no program do not end"))
        self._all_over(fx.AllEnded())

    def _all_over(self, _effect: fx.AllEnded) -> None:
        self.ending = self._all_ended = True
        self.awake.look()
        # Behind whoever is just putting something there.
        self._shell.loop.call_soon(self._go_on_ending)

    def _go_on_ending(self) -> None:
        while self._held_back:
            self._held_back.pop(0)()
        self._shell.flush()

    async def finish(self) -> None:
        """The tree is over: write what is still to be written, within reason."""
        await self.ends.finish(_LAST)
        await self.files.finish(_LAST)

    def close(self) -> None:
        """Nothing comes due any more."""
        self._clock.close()

    # Effects

    def _start_task(self, effect: fx.StartTask) -> None:
        self.gates.forget(effect.run)
        self.run_settings.begins(effect.run, effect.attempt)
        self.awake.run_goes_on(effect.job, effect.run, going=True)
        self.tasks.start(effect)

    def _verify(self, effect: fx.Verify) -> None:
        self._shell.background.begin(f"verify of {effect.job}", self._ask_verify(effect))

    async def _ask_verify(self, effect: fx.Verify) -> None:
        shell = self._shell
        job = self.settings(effect.job, effect.run)
        refusal = None
        try:
            if job is not None:
                stages = [stage for stage in job.stages if stage.name == effect.stage]
                probes = stages[0].verify if stages else () if effect.stage else job.verify
                # What a stage has written that is not run again counts for the whole.
                written = await self.tasks.output(effect.run, all_attempts=bool(job.stages) and not effect.stage)
                owner = f"{effect.job}:{effect.stage}" if effect.stage else effect.job
                refusal = await shell.probes.verify(owner, probes, written)
        except Exception as error:
            shell.internal_error(f"verify of {effect.job}", error)
            refusal = f"it could not be verified: {error!r}"
        self.tell(ev.Verified(effect.job, effect.run, effect.stage, refusal))
        shell.flush()

    def _recover(self, effect: fx.Recover) -> None:
        self._shell.background.begin(f"recovery of {effect.record.job}", self._ask_recovery(effect.record))

    async def _ask_recovery(self, record: RunRecord) -> None:
        shell = self._shell

        def done(steps: Iterable[Any]) -> None:
            self.tell(ev.Recovered(record.job, record.run, tuple(msgspec.to_builtins(list(steps)))))

        try:
            written = await self.tasks.output(record.run)
            shell.recovery.run_failed(record.job, run_json(self._with_log(record)), written, done)
        except Exception as error:
            shell.internal_error(f"recovery of {record.job}", error)
            done(())
        shell.flush()

    def _run_changed(self, effect: fx.RunChanged) -> None:
        record = self._with_log(effect.record)
        self._write_status(record)

    def _run_ended(self, effect: fx.RunEnded) -> None:
        record = self._with_log(effect.record)
        self._shell.recovery.cancel(record.job, record.run)  # of one that is given up; else there is nothing left of it
        self.gates.forget(record.run)
        self.awake.run_goes_on(record.job, record.run, going=False)
        self._write_status(record)
        self.ends.add(record, self.record_names(record.job, record.run), told=record.state == "skipped")
        self.run_settings.forget(record.run)
        if record.job not in self._shell.plan.jobs:
            self._shell.after_commit(lambda: write_logs_json(self._shell))
        self.requests.run_ended(record)

    def _note(self, effect: fx.Note) -> None:
        fields = dict(effect.fields)
        for key in _TIMES:
            if isinstance(fields.get(key), float | int):
                fields[key] = rfc3339(fields[key])
        if effect.kind in ("run_skipped", "run_waiting"):
            fields = {"reason": None, "status": None, **fields, **self.record_names(effect.job, fields.get("run"))}
            if isinstance(fields.get("run"), str) and (record := self._of(effect.job, fields["run"])) is not None:
                fields["run"] = run_json(record)
        self._shell.note(effect.kind, effect.job, **fields)

    def record_names(self, job: str, run: str | None) -> dict[str, Any]:
        """`record` of a job, for its lines: names of its rows in the SQL view."""
        settings = self.settings(job, run)
        if settings is None or settings.record is None:
            return {}
        return {"record": {"event_type": settings.record.event_type, "job_name": settings.record.job_name}}

    async def rerun(self, job: str, run: str) -> dict[str, Any]:
        """A recovery's step: the job once more, while ``run`` waits; its RUN. Asked again it joins."""
        return await self.requests.rerun(job, run)

    # Looking

    def names(self) -> list[str]:
        """All jobs, in the order of the files."""
        return [] if self._machine is None else self._machine.names()

    def leaving(self) -> list[str]:
        """Those that are in the files no more, and whose run has not ended."""
        return [] if self._machine is None else self._machine.leaving()

    def begun(self) -> set[str]:
        """Those whose run, or its repetition by a recovery, has begun and not ended."""
        records = [] if self._machine is None else self._machine.records()
        return {record.job for record in records if record.started is not None}

    def settings(self, job: str, run: str | None = None) -> JobSettings | None:
        """By which a run goes; without one: a job's own, also of one that is leaving."""
        if run is None and job not in self._shell.plan.jobs and (found := self._under_way(job)):
            run = found[0].run
        return self._shell.plan.jobs.get(job) if run is None else self.run_settings.of(job, run)

    def record(self, name: str) -> JobRecord | None:
        """How a job is, now."""
        record = self._seen(name)
        if record is not None:
            record.last = None if record.last is None else self._with_log(record.last)
            if record.running is not None:
                record.running = self._with_log(record.running)
                record.running.reason = record.running.reason or self._shell.limits.of_run(record.running.run)
        return record

    def json(self, name: str) -> dict[str, Any] | None:
        """JOB of configuration §4."""
        record = self.record(name)
        if record is None:
            return None
        shell = self._shell
        programs = _programs(record.running) if record.running is not None else ()
        said = next(
            (text for each in programs if shell.errands.pid(each) and (text := shell.said.of(each).status)), None
        )
        return job_json(record, said)

    def state(self, name: str) -> str:
        """The word for how a job is; `gone` where there is none."""
        record = self._seen(name)
        return "gone" if record is None else record.state

    def _seen(self, name: str) -> JobRecord | None:
        """As the machine knows it, and held for want of a variable, which only the plan knows (configuration.md 5)."""
        record = None if self._machine is None else self._machine.job(name, self._now())
        lacking = self._shell.plan.held.get(name)
        if record is not None and lacking is not None and record.state in ("scheduled", "waiting", "idle"):
            record.state, record.reason = "held", lacking
        return record

    def running(self) -> list[RunRecord]:
        """All runs that are under way or wait, also of jobs that the tree file names no more."""
        return [] if self._machine is None else [run for name in self._machine.jobs for run in self._under_way(name)]

    @property
    def machine(self) -> Jobs | None:
        """For `requests` and the verbs."""
        return self._machine

    def _under_way(self, job: str) -> list[RunRecord]:
        record = None if self._machine is None else self._machine.record(job)
        return [] if record is None else [self._with_log(record)]

    def _of(self, job: str, run: str) -> RunRecord | None:
        known = self.record(job)
        records = () if known is None else (known.running, known.last)
        return next((record for record in records if record is not None and record.run == run), None)

    def _with_log(self, record: RunRecord) -> RunRecord:
        settings = self.run_settings.of(record.job, record.run)
        if record.log is None and settings is not None:
            return msgspec.structs.replace(record, log=run_logs.log_of(self._shell.plan, settings, record.run).file)
        return record

    # Files

    def _write_status(self, record: RunRecord) -> None:
        if record.started is None or record.cause == "rerun":
            return  # the last run that was one is told of
        path = os.path.join(folder(self._shell.plan.state_dir, record.job), "last_run_status.json")
        data = msgspec.json.format(msgspec.json.encode(status_json(record)), indent=1) + b"\n"
        self.files.replace(path, lambda: data)

    def _write_state(self) -> None:
        if self._machine is not None:
            self.files.keep(planning.state_file(self._shell.plan), self._state_text)

    def _state_text(self) -> bytes:
        assert self._machine is not None
        items = {key: msgspec.Raw(value) for key, value in self._machine.snapshot().items()}
        return msgspec.json.encode({"version": 1, "items": items})


def _programs(run: RunRecord) -> Iterator[str]:
    """The names of a run's programs."""
    if not run.stages:
        yield run.job
    for stage in run.stages:
        instances = [None] if stage.instances is None else [task.instance for task in stage.instances]
        yield from (program_name(run.job, stage.name, instance) for instance in instances)
