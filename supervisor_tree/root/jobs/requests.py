"""What clients, and recoveries, have asked of jobs, from the request to its answer.

An operation that waits for the end of a run has the run's id in its `edit`, so that any root can end it.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from supervisor_tree.core.events import By
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs import events as ev
from supervisor_tree.core.jobs.records import RunRecord
from supervisor_tree.root.jobs.showing import run_json

if TYPE_CHECKING:
    from supervisor_tree.root.jobs.jobs import JobsShell
    from supervisor_tree.root.operations import Operation
    from supervisor_tree.root.shell import Shell

_RERUN = "rerun:"


class Requests:
    """Of one tree."""

    def __init__(self, shell: Shell, jobs: JobsShell) -> None:
        self._shell = shell
        self._jobs = jobs
        self._reruns: dict[str, asyncio.Future[dict[str, Any]]] = {}
        """By the run that is run again: who waits for the end of that."""
        self._left: dict[str, dict[str, Any]] = {}
        """By the run that was run again: how that ended, where nobody has heard of it when the root before us died."""

    # By operators

    def run(self, operation: Operation, job: str, args: tuple[str, ...], *, wait: bool, by: By) -> None:
        """A run now. ``wait``: the operation ends with it, else as soon as it has an id."""
        operation.edit = {"wait": None} if wait else {}
        self._shell.operations.changed(operation)
        self._jobs.tell(ev.RunRequested(operation.id, job, args, by))

    def reply(self, effect: fx.Reply) -> None:
        """The machine has answered."""
        shell = self._shell
        if effect.request.startswith(_RERUN):
            self._rerun_answered(effect)
            return
        operation = shell.operations.all.get(effect.request)
        if operation is None or operation.state != "running":
            return
        results = [{key: result.get(key) for key in ("name", "ok", "reason")} for result in effect.results]
        run = next((result["run"] for result in effect.results if result.get("run")), None)
        if operation.command == "run" and run is not None:
            job = effect.results[0]["name"]
            if "wait" in operation.edit and all(result["ok"] for result in results):
                operation.edit = {"wait": run}
                shell.operations.changed(operation)
                self._look(operation, job)
                return
            record = self._record(job, run)
            operation.data = {"run": None if record is None else run_json(record)}
        shell.end_operation(operation.id, results)

    def _look(self, operation: Operation, job: str) -> None:
        """End an operation that waits for a run, if that has ended already."""
        known = self._jobs.record(job)
        if known is not None and known.running is not None and known.running.run == operation.edit["wait"]:
            return
        if known is not None and known.last is not None and known.last.run == operation.edit["wait"]:
            self._end(operation, known.last)

    def _record(self, job: str, run: str) -> RunRecord | None:
        known = self._jobs.record(job)
        if known is None:
            return None
        return next((each for each in (known.running, known.last) if each is not None and each.run == run), None)

    def _end(self, operation: Operation, record: RunRecord) -> None:
        operation.data = {"run": run_json(record)}
        ok = record.state == "succeeded"
        reason = record.reason or (None if ok else record.state.replace("_", " "))
        self._shell.end_operation(operation.id, [{"name": record.job, "ok": ok, "reason": reason}])

    def run_ended(self, record: RunRecord) -> None:
        """A run is over: whoever waits for it is answered."""
        for operation in list(self._shell.operations.all.values()):
            if operation.state == "running" and operation.edit.get("wait") == record.run:
                self._end(operation, record)
        if record.cause == "rerun" and record.of is not None:
            waiting = self._reruns.pop(record.of, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(run_json(record))

    # By a recovery

    async def rerun(self, job: str, run: str) -> dict[str, Any]:
        """Run a job once more while ``run`` recovers; its RUN. Asked again for the same run it joins."""
        shell = self._shell
        waiting = self._reruns.get(run)
        if waiting is None and run in self._left:
            return self._left.pop(run)
        if waiting is None:
            waiting = self._reruns[run] = shell.loop.create_future()
            self._jobs.tell(ev.RerunRequested(f"{_RERUN}{run}:{os.urandom(4).hex()}", job, run))
            shell.flush()
        return await asyncio.shield(waiting)

    def _rerun_answered(self, effect: fx.Reply) -> None:
        run = effect.request.split(":")[1]
        waiting = self._reruns.get(run)
        for result in effect.results:
            if waiting is None or waiting.done():
                return
            if not result["ok"] and not result.get("run"):  # else it goes on since before a take-over: joined
                del self._reruns[run]
                refused = {"job": result["name"], "run": None, "state": "skipped", "reason": result["reason"]}
                waiting.set_result({**refused, "exit": None, "signal": None, "outcome": None})

    # After a take-over

    def resume(self) -> None:
        """Runs may have ended, and requests may never have been heard of, when the root before us died."""
        shell = self._shell
        for record in self._jobs.ends.unwritten.values():
            if record.cause == "rerun" and record.of is not None:
                self._left[record.of] = run_json(record)
        machine = self._jobs.machine
        pending = set(machine.pending_requests()) if machine is not None else set()
        for operation in list(shell.operations.all.values()):
            if operation.state != "running" or operation.command != "run" or operation.id in pending:
                continue
            if operation.edit.get("wait"):
                self._look(operation, operation.names[0])
            else:
                reason = "the root was replaced before the run had begun: ask again"
                shell.end_operation(operation.id, [{"name": operation.names[0], "ok": False, "reason": reason}])


def by_of(who: str, why: str) -> By:
    return By(who=who, at=time.time(), why=why)
