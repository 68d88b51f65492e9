"""The verbs of recovery steps. Each answers whether it went well, and says in words what came of it.

A step that was begun under the root before us is joined, not begun again: its operation, errand, deadline or rerun is
state of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from typing import TYPE_CHECKING, Any, cast

from supervisor_tree.config import Held
from supervisor_tree.core.recovery import words
from supervisor_tree.core.recovery.progress import Recovery
from supervisor_tree.core.recovery.rules import Step
from supervisor_tree.root.aside import Aside, TooLate
from supervisor_tree.root.control import VERSION, Request
from supervisor_tree.root.errors import RootError
from supervisor_tree.root.recovery import alert_file
from supervisor_tree.root.recovery.cases import Case
from supervisor_tree.system import locks

if TYPE_CHECKING:
    from supervisor_tree.core.severity import Severity
    from supervisor_tree.root.errands.errands import Ended
    from supervisor_tree.root.shell import Shell

Did = tuple[bool, str, tuple[words.Said, ...]]
"""Whether it went well, what came of it, and what the log says beside."""


_DISK = 60.0
"""Seconds that a step has for what it does to files."""


class Doing:
    """The steps of one tree's recoveries."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._aside = Aside(shell.loop, 4)
        self._errands: dict[str, asyncio.Future[Ended]] = {}
        """Commands that the root before us had begun, by name."""

    def prepare(self, recovery: Recovery, step: Step) -> dict[str, Any]:
        """What a step that is about to be done must be known by after a root's death."""
        match step.verb:
            case "restart" | "reload":
                text = f"{recovery.id}/{recovery.next}"
                return {"operation": hashlib.sha256(text.encode()).hexdigest()[:32]}
            case "wait":
                return {"until": self._shell.loop.time() + step.seconds}
        return {}

    def resume(self, recovery: Recovery) -> None:
        """Adopt the command that is under way. Called before the loop turns."""
        at = recovery.step()
        if at is None or recovery.begun is None or "errand" not in recovery.begun:
            return
        name = recovery.begun["errand"]
        future: asyncio.Future[Ended] = self._shell.loop.create_future()
        if self._shell.errands.adopt(name, lambda ended: _resolve(future, ended)):
            self._errands[name] = future

    async def do(self, case: Case, recovery: Recovery, step: Step, lines: list[str]) -> Did:
        """Do the present step. Only a cancellation raises."""
        try:
            match step.verb:
                case "clear_locks":
                    return await self._clear_locks(step)
                case "restart" | "reload":
                    return await self._steer(recovery, step)
                case "alert":
                    return await self._alert(case, recovery, step, lines)
                case "wait":
                    return await self._wait(recovery, step)
                case "rerun":
                    return await self._rerun(case)
            return await self._command(case, recovery, step)
        except TooLate:
            return False, f"the disk did not answer within {_DISK:g} s", ()
        except (RootError, OSError, Held) as error:
            return False, str(error), ()

    async def _clear_locks(self, step: Step) -> Did:
        state_dir = self._shell.plan.state_dir

        def clear() -> list[locks.Removal]:
            own = os.path.join(os.path.realpath(state_dir), "")
            paths = [path for path in locks.find(step.names) if not os.path.realpath(path).startswith(own)]
            return [removal for path in paths if (removal := locks.clear(path)) is not None]

        removals = await self._aside.do(clear, _DISK)
        said = ((words.INFO if removal.removed else words.WARN, removal.words) for removal in removals)
        return *locks.told(removals), tuple(said)

    async def _steer(self, recovery: Recovery, step: Step) -> Did:
        """As `ctl restart` and `ctl reload NAME` do it, but for whom an operator has stopped or holds."""
        from supervisor_tree.root.verbs import change

        shell = self._shell
        assert recovery.begun is not None
        id_ = recovery.begun["operation"]
        if id_ not in shell.operations.all:
            command, verb = ("restart", change.restart) if step.verb == "restart" else ("reload", change.reload_names)
            reason = f"recovery {recovery.rule.name} of {recovery.about}: {recovery.why}"
            args = {"names": list(step.names), "reason": reason, "recovery": True}
            request = Request(v=VERSION, id=id_, command=command, args=args, by=f"recover.{recovery.rule.name}")
            verb(shell, request, b"")
        future: asyncio.Future[None] = shell.loop.create_future()
        shell.awaited[id_] = lambda: _resolve(future, None)
        shell.flush()
        operation = shell.operations.all[id_]
        try:
            if operation.state == "running":
                async with asyncio.timeout(step.timeout):  # `wait_for` may swallow a cancellation: `Aside.do`
                    await future
        except TimeoutError:
            return False, f"not done within {step.timeout:g} s; it goes on", ()
        finally:
            shell.awaited.pop(id_, None)
        return *words.steered(step, operation.results), ()

    async def _alert(self, case: Case, recovery: Recovery, step: Step, lines: list[str]) -> Did:
        self._shell.alerts.raise_(
            cast("Severity", step.level),
            recovery.about,
            words.title(recovery),
            tail=lines,
            rule=recovery.rule.name,
            run=case.run,
            exit=recovery.exit,
            outcome=recovery.outcome,
            matched=list(recovery.matched),
        )
        if step.file is None:
            return True, f"{step.level} alert raised", ()
        file, now = step.file, time.time()
        await self._aside.do(lambda: alert_file.write(file, step, recovery, lines, now), _DISK)
        return True, f"{step.level} alert raised and logged to {file}", ()

    async def _wait(self, recovery: Recovery, step: Step) -> Did:
        assert recovery.begun is not None
        await asyncio.sleep(max(0.0, recovery.begun["until"] - self._shell.loop.time()))
        return True, f"waited {step.seconds:g} s", ()

    async def _rerun(self, case: Case) -> Did:
        if case.run is None:
            return False, f"{case.about} is no job: there is no run to repeat", ()
        run = await self._shell.jobs.rerun(case.about, case.run)
        ended = f"exit code: {run['exit']}" if run.get("exit") is not None else str(run.get("signal") or run["state"])
        good = run["state"] == "succeeded"
        return good, f"Re-verification {'successful' if good else 'failed'}, {ended} (run {run['run']})", ()

    async def _command(self, case: Case, recovery: Recovery, step: Step) -> Did:
        shell = self._shell
        assert recovery.begun is not None
        name = recovery.begun.get("errand")
        if name is None:
            name = f":recover:{recovery.rule.name}.{recovery.next + 1}"
            plan = shell.plan
            owner = shell.jobs.settings(case.about, case.run) or shell.spawning.settings(case.about)
            log = os.path.join(plan.state_dir, "logs", f"recover:{recovery.rule.name}.log")
            program = await shell.errands.program(owner, step.names, log=log)
            future: asyncio.Future[Ended] = shell.loop.create_future()
            shell.errands.start(name, program, timeout=step.timeout, on_end=lambda ended: _resolve(future, ended))
            recovery.begin(**recovery.begun, errand=name)
            shell.recovery.keep(case)
            shell.flush()
        elif name in self._errands:
            future = self._errands.pop(name)
        else:
            return False, "it ended while there was no root: nobody knows how", ()
        try:
            ended = await future
        except asyncio.CancelledError:
            if not shell.over:  # the recovery is cancelled; a root that ends leaves it to the next
                shell.errands.stop(name, 0)
            raise
        code = ended.exit.code
        return ended.exit.normal, f"exit code: {code}" if code is not None else ended.exit.reason, ()


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)
