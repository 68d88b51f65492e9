"""What a run goes by: the settings of its job as they were when its attempt began, whatever a reload has said since.

They are kept (state `run-settings/RUN`) of those runs only whose job a reload has changed or taken out while they were
under way; all others go by the plan. The next attempt goes by the tree file as it is then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from supervisor_tree.config.job_settings import JobSettings

if TYPE_CHECKING:
    from supervisor_tree.config import Plan
    from supervisor_tree.core.jobs.records import RunRecord
    from supervisor_tree.root.shell import Shell

_STATE = "run-settings/"


class _Kept(msgspec.Struct):
    attempt: int
    settings: JobSettings


class RunSettings:
    """Of all runs of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._kept: dict[str, _Kept] = {}
        self._before = shell.plan.jobs
        """The jobs of the plan, as it was looked at last."""

    def of(self, job: str, run: str) -> JobSettings | None:
        """By which settings a run goes; None: its job is in no plan that we know."""
        kept = self._kept.get(run)
        return self._shell.plan.jobs.get(job) if kept is None else kept.settings

    def plan(self, job: str, run: str) -> Plan:
        """The plan that a run's programs are made by. What its job lacks since, it lacks for the runs that come."""
        plan = self._shell.plan
        if run not in self._kept or job not in plan.held:
            return plan
        return msgspec.structs.replace(plan, held={name: why for name, why in plan.held.items() if name != job})

    def replan(self, under_way: Iterable[RunRecord]) -> None:
        """The plan has changed: those that have begun go on as they began."""
        before, self._before = self._before, self._shell.plan.jobs
        for run in under_way:
            settings = before.get(run.job)
            changed = settings is not None and settings != self._before.get(run.job)
            if settings is not None and changed and run.started is not None and run.run not in self._kept:
                kept = self._kept[run.run] = _Kept(run.attempt, settings)
                self._shell.state(_STATE + run.run, msgspec.json.encode(kept))

    def begins(self, run: str, attempt: int) -> None:
        """A program of this attempt is to be started."""
        kept = self._kept.get(run)
        if kept is not None and attempt > kept.attempt:
            self.forget(run)

    def forget(self, run: str) -> None:
        """The run is over, or goes by the plan again."""
        if self._kept.pop(run, None) is not None:
            self._shell.state(_STATE + run, None)

    def load(self, key: str, value: bytes) -> None:
        """A piece of the state of the root before us."""
        if key.startswith(_STATE):
            self._kept[key.removeprefix(_STATE)] = msgspec.json.decode(value, type=_Kept)
