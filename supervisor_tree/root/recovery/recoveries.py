"""Recoveries of one tree: which rules answer what befell a job or a worker, and the steps that are done for it.

What is known of them is state: the cases (`recovery/case/ID`) and when each rule was answered (`pasts.py`). A root that
takes over goes on with the next step.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.config import recovering
from supervisor_tree.core.recovery import words
from supervisor_tree.core.recovery.outcomes import Result, outcome
from supervisor_tree.core.recovery.progress import Past, Recovery
from supervisor_tree.core.recovery.rules import Rule, answers_run, matched
from supervisor_tree.root.aside import Aside, TooLate
from supervisor_tree.root.clocks import rfc3339
from supervisor_tree.root.recovery import journal, log_file
from supervisor_tree.root.recovery.befalling import Befalling
from supervisor_tree.root.recovery.cases import Case
from supervisor_tree.root.recovery.doing import Doing
from supervisor_tree.root.recovery.pasts import Pasts
from supervisor_tree.root.recovery.saying import Saying

if TYPE_CHECKING:
    from supervisor_tree.config.tree_kinds import LogSettings
    from supervisor_tree.core.effects import Note
    from supervisor_tree.root.outputs.runs import RunOutput
    from supervisor_tree.root.shell import Shell

_CASE = "recovery/case/"
_CONTEXT = 20
"""Lines of output that an alert carries."""

_READ = 30.0
"""Seconds that the disk has for what a run wrote, and the patterns for it; then nothing has matched."""

OnDone = Callable[[list[dict[str, Any]]], None]


class Recoveries:
    """All that is under way, and who waits for it."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._cases: dict[str, Case] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._done: dict[str, OnDone] = {}
        self.pasts = Pasts(shell)
        self._aside = Aside(shell.loop, 4)
        self._one_ended = asyncio.Event()
        """Set, and replaced, whenever a recovery ends."""
        self._saying = Saying(shell)
        self._doing = Doing(shell)
        self._befalling = Befalling(shell)

    # What befalls jobs

    def run_failed(self, job: str, run: Mapping[str, Any], output: RunOutput | None, done: OnDone) -> None:
        """An attempt of a run has ended: answer it by the rules of its job, then call ``done`` with the steps' results.

        ``done`` is called once, never before this returns, within a round that is flushed here. To be called again
        for a run that waits for its recovery under a new root: what is under way or done for it is joined.

        Args:
            run: a RUN as `ctl runs` shows it, of this attempt; also one that succeeded, for `when` may name that.
        """
        id_ = f"{job}/{run['run']}/{run.get('attempt') or 0}"
        self._done[id_] = done
        case = self._cases.get(id_)
        if case is None:
            case = self._case_of_run(id_, job, run, output)
        if case is None:
            self._shell.loop.call_soon(self._answer, id_, [])
        elif case.over:
            self._shell.loop.call_soon(self._answer, id_, case.steps)
        elif id_ not in self._tasks:
            self._begin(case)

    def cancel(self, job: str, run: str) -> None:
        """The run is given up: nothing more is done for it, and nobody is answered."""
        for id_, case in list(self._cases.items()):
            if case.about == job and case.run == run:
                self._done.pop(id_, None)
                task = self._tasks.pop(id_, None)
                if task is not None:
                    task.cancel()
                if case.recovery is not None:
                    self._end(case, case.recovery, cancelled=True)
                self._forget(id_)

    def _case_of_run(self, id_: str, job: str, run: Mapping[str, Any], output: RunOutput | None) -> Case | None:
        settings = self._shell.jobs.settings(job, str(run["run"]))
        if settings is None or not settings.recover:
            return None
        result = Result(
            exit=run.get("exit"),
            signal=run.get("signal"),
            timed_out=run["state"] == "timed_out",
            failed=run["state"] != "succeeded",
        )
        named = run.get("outcome") or outcome(settings.outcome, result)
        fired: list[tuple[str, str]] = []
        for name in settings.recover:
            rule = self.rule(name)
            why = answers_run(rule, result, named, settings.outcome) if rule is not None else None
            if why is not None:
                fired.append((name, why))
        return Case(
            id=id_,
            about=job,
            at=time.time(),
            rules=fired,
            result=result,
            outcome=named,
            run=str(run["run"]),
            attempt=int(run.get("attempt") or 0),
            output=output,
        )

    def _answer(self, id_: str, steps: list[dict[str, Any]]) -> None:
        """Tell whoever waits for the case, with the commit that forgets it."""
        done = self._done.pop(id_, None)
        if done is None:
            return
        self._forget(id_)
        try:
            done(steps)
        except Exception as error:
            self._shell.internal_error(f"after the recovery of {id_}", error)
        self._shell.flush()

    def _forget(self, id_: str) -> None:
        if self._cases.pop(id_, None) is not None:
            self._shell.state(_CASE + id_, None)

    # What befalls workers

    def on_note(self, effect: Note) -> None:
        """The core has said something of a worker."""
        self._befalling.on_note(effect)

    def befell(self, case: Case) -> None:
        """A worker's rules are to be answered."""
        if case.id not in self._tasks:
            self._begin(case)

    def replan(self) -> None:
        """The plan has changed. What is under way goes on as it began."""
        self._befalling.replan()

    # Rules

    def rule(self, name: str) -> Rule | None:
        settings = self._shell.plan.recover.get(name)
        return recovering.rule(name, settings) if settings is not None else None

    def answers(self, name: str) -> bool:
        """Whether a recovery by this rule goes on, or is about to begin for a worker."""
        if self.past(name).under_way is not None:
            return True
        waiting = (rule for case in self._cases.values() if case.run is None for rule, _ in case.rules)
        return name in waiting

    def past(self, name: str) -> Past:
        return self.pasts.of(name)

    def _log(self, name: str, case: Case) -> LogSettings | None:
        settings = self._shell.plan.recover.get(name)
        return log_file.of(settings.log, case.at, _run(case)) if settings is not None else None

    def keep(self, case: Case) -> None:
        """Hand the case on with the present round's commit."""
        self._shell.state(_CASE + case.id, msgspec.json.encode(case))

    # Going through a case

    def _begin(self, case: Case) -> None:
        self._cases[case.id] = case
        self.keep(case)
        self._tasks[case.id] = self._shell.background.begin(f"recovery of {case.about}", self._go_through(case))

    async def _go_through(self, case: Case) -> None:
        try:
            text = await self._text(case)
            if case.recovery is None and not case.steps:
                self._report(case, text)
            while case.rules:
                if case.recovery is None:
                    await self._begin_recovery(case, text)
                if case.recovery is not None:
                    await self._carry_out(case, case.recovery, text)
                    case.steps += case.recovery.results
                    self._end(case, case.recovery)
                    case.recovery = None
                case.rules = case.rules[1:]
                self.keep(case)
        except Exception as error:
            self._shell.internal_error(f"recovery of {case.about}", error)
            if case.recovery is not None:  # it must not stand in the way of the next
                case.steps += case.recovery.results
                self._end(case, case.recovery)
        self._tasks.pop(case.id, None)
        if case.run is None:
            self._forget(case.id)
        else:
            case.over = True
            self.keep(case)
            self._answer(case.id, case.steps)
        self._shell.flush()

    async def _text(self, case: Case) -> str:
        """What it has written, of a run both streams."""
        if case.output is None:
            return "\n".join(case.lines)
        from supervisor_tree.root.outputs.runs import read_output

        output = case.output
        try:
            return await self._aside.do(lambda: read_output(output), _READ)
        except TooLate:
            return ""

    async def _matched(self, rule: Rule, text: str) -> tuple[str, ...]:
        """What of `match` is in the text: there may be megabytes of it."""
        if not rule.match:
            return ()
        try:
            return await self._aside.do(lambda: matched(rule, text), _READ)
        except TooLate:
            return ()

    def _report(self, case: Case, text: str) -> None:
        """How a run ended, for the log: also one that no rule is for."""
        if case.result is None or case.run is None:
            return
        settings = self._shell.jobs.settings(case.about, case.run)
        names = [name for name, _ in case.rules] or list(settings.recover if settings is not None else ())
        logs = {log.file: log for name in names if (log := self._log(name, case)) is not None}
        for log in list(logs.values())[: None if case.rules else 1]:
            self._saying.say(log, words.ended(case.about, case.result, case.outcome))
            if case.result.failed and log.tail:
                self._saying.say(log, *words.tail(text.splitlines(), log.tail))
            if case.result.failed:
                self._saying.say(log, *words.crashed(text))
            if case.result.failed and not case.rules:
                self._saying.say(log, words.unexpected(case.result))

    async def _begin_recovery(self, case: Case, text: str) -> None:
        """Answer the first rule of the case, unless it was answered too lately or too often."""
        shell = self._shell
        name, why = case.rules[0]
        rule = self.rule(name)
        if rule is None:
            return
        names = case.matched.get(name) or await self._matched(rule, text)
        if case.run is not None:
            await self._turn(rule)
        now = shell.loop.time()
        refusal = self.past(name).refuses(rule, now)
        if refusal is not None:
            shell.note("recovery_suppressed", case.about, rule=name, reason=refusal, why=why, run=case.run)
            self._saying.say(self._log(name, case), words.suppressed(name, case.about, refusal))
            shell.flush()
            return
        rule = recovering.finished(rule, log_file.names(case.at, _run(case)))
        case.recovery = Recovery(
            id=f"{case.id}/{name}/{time.time_ns():x}",
            rule=rule,
            about=case.about,
            why=why,
            exit=case.result.exit if case.result is not None else None,
            outcome=case.outcome,
            matched=names,
            started=time.time(),
            run=case.run,
            attempt=case.attempt,
        )
        self.past(name).begin(rule, case.recovery.id, now)
        self.pasts.keep(name)
        self.keep(case)
        journal.triggered(shell, case.recovery, case.result)
        self._saying.say(self._log(name, case), words.triggered(case.recovery, case.result))
        shell.flush()

    async def _turn(self, rule: Rule) -> None:
        """Another run's recovery by the same rule is let end first, where no `cooldown` refuses this one after it."""
        while not rule.cooldown and self._goes_on(self.past(rule.name).under_way):
            await self._one_ended.wait()

    def _goes_on(self, recovery: str | None) -> bool:
        known = (case.recovery for case in self._cases.values())
        return any(each is not None and each.id == recovery for each in known)

    async def _carry_out(self, case: Case, recovery: Recovery, text: str) -> None:
        shell = self._shell
        log = self._log(recovery.rule.name, case)
        lines = text.splitlines()[-_CONTEXT:]
        while (at := recovery.step()) is not None:
            step = at[1]
            if recovery.begun is None:
                # In one commit with what the step asks for first: a new root finds both or neither.
                recovery.begin(**self._doing.prepare(recovery, step), at=time.time())
                self._saying.say(log, words.begins(step))
                self.keep(case)
            assert recovery.begun is not None
            started = recovery.begun["at"]
            try:
                ok, said, beside = await self._doing.do(case, recovery, step, lines)
            except Exception as error:
                shell.internal_error(f"recovery step {step.words} of {recovery.rule.name}", error)
                ok, said, beside = False, f"internal error: {error!r}", ()
            result = recovery.done(ok, said, started=rfc3339(started), ended=rfc3339(time.time()))
            journal.stepped(shell, recovery, result)
            self._saying.say(log, *beside, words.step(recovery, result))
            self.keep(case)
            shell.flush()

    def _end(self, case: Case, recovery: Recovery, *, cancelled: bool = False) -> None:
        name = recovery.rule.name
        self.past(name).end(self._shell.loop.time())
        self.pasts.keep(name)
        self._one_ended.set()
        self._one_ended = asyncio.Event()
        self._befalling.answered(name)
        journal.ended(self._shell, recovery, cancelled=cancelled)
        self._saying.say(
            self._log(name, case), (words.INFO, "Recovery cancelled") if cancelled else words.over(recovery)
        )

    # Recoveries that a `guard` does itself

    def guard_begins(self, recovery: Recovery) -> str | None:
        """Why a `guard` is not to recover now; None: it may, and that is counted. It may die, so it holds up nobody."""
        name = recovery.rule.name
        past = self.past(name)
        now = self._shell.loop.time()
        refusal = past.refuses(recovery.rule, now)
        if refusal is not None:
            self._shell.note(
                "recovery_suppressed", recovery.about, rule=name, reason=refusal, why=recovery.why, run=None
            )
            return refusal
        past.begin(recovery.rule, recovery.id, now)
        past.end(now)
        self.pasts.keep(name)
        journal.triggered(self._shell, recovery, None)
        return None

    def guard_ended(self, recovery: Recovery) -> None:
        self.past(recovery.rule.name).end(self._shell.loop.time())
        self.pasts.keep(recovery.rule.name)
        journal.ended(self._shell, recovery)

    # After a root's death

    def load(self, key: str, value: bytes) -> None:
        """A piece of the state of the root before us; keys of others are left alone."""
        if key.startswith(_CASE):
            case = msgspec.json.decode(value, type=Case)
            self._cases[case.id] = case
        elif not self.pasts.load(key, value):
            self._befalling.load(key, value)

    def resume(self) -> None:
        """Go on with what was under way, and with watching."""
        self.pasts.resume()
        self._befalling.replan()
        for case in self._cases.values():
            if not case.over and case.id not in self._tasks:
                if case.recovery is not None:
                    self._doing.resume(case.recovery)
                self._tasks[case.id] = self._shell.background.begin(f"recovery of {case.about}", self._go_through(case))

    def close(self) -> None:
        """What was said is in the logs."""
        self._befalling.close()
        self._saying.close()


def _run(case: Case) -> str:
    """What `${run.id}` is."""
    return case.run or case.about
