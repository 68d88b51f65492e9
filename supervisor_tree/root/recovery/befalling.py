"""What befalls workers that have recovery rules: lines in their output, health, exits, giving up on them."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec import Struct

from supervisor_tree.core.recovery.outcomes import OTHER, Result
from supervisor_tree.core.recovery.rules import (
    EXIT,
    FAILED,
    OUTPUT,
    UNHEALTHY,
    Lines,
    Patterns,
    Rule,
    answers_worker,
)
from supervisor_tree.root.aside import Aside, TooLate
from supervisor_tree.root.recovery.cases import Case

if TYPE_CHECKING:
    from supervisor_tree.core.effects import Note
    from supervisor_tree.root.outputs.outputs import Watch
    from supervisor_tree.root.shell import Shell

_LINES = "recovery/lines/"
_LEAST_PAUSE = 60.0
"""Seconds between two answers to a worker by a rule that sets neither `cooldown` nor `max`: a restart by a rule clears
the backoff, so a worker that crashes at once would else be started for ever without a pause."""
_LAST = 50
"""Lines of a worker's output that patterns are looked for in when it was no line that fired the rule."""
_KEEP_AFTER = 1.0
"""Seconds after a line within which its count is written down: a flood of lines is no flood of commits."""
_COMPLETE = 0.25
"""Seconds after an exit for the last lines to be in the log (`processes.md` 16)."""
_JUST_AFTER = 1e-6
"""Seconds: the line that was counted last is not counted again by a new root."""
_READ = 10.0
"""Seconds that the disk has for a worker's last lines."""
_TRIGGERS = {"unhealthy": UNHEALTHY, "kill_requested": UNHEALTHY, "child_exited": EXIT, "failed": FAILED}
_NO_HEALTH = ("memory", "cpu", "not ready")
"""Reasons to kill a worker that say nothing about its health: the exit that follows may have a rule of its own."""


class _Kept(Struct):
    """The lines of one worker for one rule, and the time (wall) up to which they were looked at."""

    lines: Lines
    until: float


class Befalling:
    """The triggers of all workers of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._watches: dict[tuple[str, str], tuple[Rule, Watch]] = {}
        """By worker and rule."""
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._keeping: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._said: dict[str, float | None] = {}
        """By rule: after which answer it was said that it is not answered again yet."""
        self._answered: dict[tuple[str, str], int] = {}
        """By worker and rule: the incarnation for which it fired last. One failure is told more than once: as bad
        health, a kill, an exit, a failure for good."""
        self._coming: set[str] = set()
        """Rules that will be answered once the worker's last lines are read."""
        self._aside = Aside(shell.loop, 4)
        self._count = 0

    # The core's notes

    def on_note(self, effect: Note) -> None:
        """Called in the middle of a round: what follows is done after it."""
        kind = effect.kind
        path, reason = effect.path, str(effect.fields.get("reason") or effect.fields.get("exit") or "")
        if kind == "child_started":
            self._watch(self._shell.bare(path))
            return
        trigger = _TRIGGERS.get(kind)
        if kind == "gave_up":
            path, trigger = str(effect.fields.get("child")), FAILED
        if trigger is None or (kind == "child_exited" and effect.fields.get("normal")):
            return
        if kind == "kill_requested" and reason.startswith(_NO_HEALTH):
            return
        settings = self._shell.spawning.settings(self._shell.bare(path))
        if settings is not None and settings.recover:
            node = self._shell.tree.nodes.get(path)
            incarnation = node.incarnation if node is not None else 0
            self._shell.loop.call_soon(self._befell, path, trigger, reason, incarnation, kind != "unhealthy")

    def _befell(self, path: str, trigger: str, reason: str, incarnation: int, follows: bool) -> None:
        """``follows``: it may be what follows from something else that was answered for this incarnation."""
        shell = self._shell
        name = shell.bare(path)
        settings = shell.spawning.settings(name)
        if settings is None or not shell.directory.has(path):
            return
        result = self._result(path) if trigger == EXIT else None
        fired = []
        for each in settings.recover:
            rule = shell.recovery.rule(each)
            why = answers_worker(rule, trigger, result, settings.outcome) if rule is not None else None
            if rule is None or why is None or (follows and self._answered.get((name, each)) == incarnation):
                continue
            self._answered[name, each] = incarnation
            if self._may(rule, name):
                fired.append((each, f"{why}: {reason}" if reason and why == trigger else why))
        if not fired:
            return
        table = settings.outcome
        named = None if result is None else table.get(result.key or "") or table.get(OTHER)
        case = Case(id=self._id(name), about=name, at=time.time(), rules=fired, result=result, outcome=named)
        self._coming.update(rule for rule, _ in case.rules)
        shell.background.begin(f"recovery of {case.about}", self._with_lines(case))

    def _result(self, path: str) -> Result | None:
        last = self._shell.directory.node(path).last_exit
        if last is None:
            return None
        import signal

        name = signal.Signals(last.signal).name if last.signal in set(signal.Signals) else None
        return Result(exit=last.code, signal=name, failed=not last.normal)

    async def _with_lines(self, case: Case) -> None:
        """Begin the case, with the worker's last lines."""
        shell = self._shell
        try:
            await asyncio.sleep(_COMPLETE)
            log = shell.spawning.log_file(case.about)
            try:
                case.lines = await self._aside.do(lambda: _last_lines(case.about, log), _READ)
            except (OSError, TooLate) as error:
                case.lines = [f"its output can't be read: {error}"]
        finally:
            self._coming.difference_update(rule for rule, _ in case.rules)
        shell.recovery.befell(case)
        shell.flush()

    def _may(self, rule: Rule, name: str) -> bool:
        """Whether a rule may be answered for a worker now. That it may not is said once after each answer."""
        shell = self._shell
        if rule.name in self._coming or shell.recovery.answers(rule.name):
            return False
        past = shell.recovery.past(rule.name)
        now = shell.loop.time()
        refusal = past.refuses(rule, now)
        if refusal is None and rule.cooldown is None and rule.max is None:
            bounded = msgspec.structs.replace(rule, cooldown=_LEAST_PAUSE)
            refusal = past.refuses(bounded, now)
        if refusal is None:
            return True
        if self._said.get(rule.name) != past.ended:
            self._said[rule.name] = past.ended
            shell.note("recovery_suppressed", name, rule=rule.name, reason=refusal, why=None, run=None)
            shell.flush()
        return False

    def _id(self, name: str) -> str:
        self._count += 1
        return f"{name}/{time.time_ns():x}.{self._count}"

    # Lines

    def replan(self) -> None:
        """Watch the output of those that have a rule about it, by the rules as they are now."""
        for key, (rule, watch) in list(self._watches.items()):
            if self._rule(*key) != rule or self._shell.directory.find(key[0]) is None:
                watch.end()
                del self._watches[key]
                self._forget(key)  # what was written before is the old rule's business
        find = self._shell.directory.find
        self._answered = {key: number for key, number in self._answered.items() if find(key[0]) is not None}
        if any(OUTPUT in (rule.when or ()) for rule in self._shell.plan.recover.values()):
            for path in self._shell.directory.workers_below("root"):
                self._watch(self._shell.bare(path))

    def _rule(self, name: str, rule_name: str) -> Rule | None:
        settings = self._shell.spawning.settings(name)
        if settings is None or rule_name not in settings.recover:
            return None
        rule = self._shell.recovery.rule(rule_name)
        return rule if rule is not None and OUTPUT in (rule.when or ()) else None

    def _watch(self, name: str) -> None:
        settings = self._shell.spawning.settings(name)
        for rule_name in settings.recover if settings is not None else ():
            key = (name, rule_name)
            rule = self._rule(*key)
            if rule is None or key in self._watches:
                continue
            kept = self._kept.setdefault(key, _Kept(Lines(), time.time()))
            patterns = Patterns(rule)

            def on_line(text: str, when: float, key: tuple[str, str] = key, patterns: Patterns = patterns) -> None:
                self._line(key, patterns.names(text), text, when)

            several = cast("re.Pattern[str]", patterns)  # nothing but its `search` is used
            self._watches[key] = rule, self._shell.outputs.watch(name, several, on_line, since=kept.until)
            self._keep(key)

    def _line(self, key: tuple[str, str], names: tuple[str, ...], text: str, when: float) -> None:
        name, rule_name = key
        rule = self._watches[key][0]
        kept = self._kept[key]
        if when < kept.until or self._shell.recovery.answers(rule_name):
            return  # of before the recovery that has just been done, or known to the root before us
        kept.until = when
        reached = kept.lines.add(rule, names, when)
        self._keep_soon(key)
        if not reached or not self._may(rule, name):
            return
        case = Case(
            id=self._id(name),
            about=name,
            at=time.time(),
            rules=[(rule_name, OUTPUT)],
            matched={rule_name: reached},
            lines=[text],
        )
        self._shell.recovery.befell(case)

    def answered(self, rule_name: str) -> None:
        """A rule has been answered: lines of before count no more."""
        for key, kept in self._kept.items():
            if key[1] == rule_name:
                kept.lines.clear()
                kept.until = time.time()
                self._keep(key)

    # State

    def _keep_soon(self, key: tuple[str, str]) -> None:
        if key not in self._keeping:
            self._keeping[key] = self._shell.loop.call_later(_KEEP_AFTER, self._keep_now, key)

    def _keep_now(self, key: tuple[str, str]) -> None:
        self._keep(key)
        self._shell.flush()

    def _keep(self, key: tuple[str, str]) -> None:
        timer = self._keeping.pop(key, None)
        if timer is not None:
            timer.cancel()
        self._shell.state(_LINES + "/".join(key), msgspec.json.encode(self._kept[key]))

    def _forget(self, key: tuple[str, str]) -> None:
        timer = self._keeping.pop(key, None)
        if timer is not None:
            timer.cancel()
        if self._kept.pop(key, None) is not None:
            self._shell.state(_LINES + "/".join(key), None)

    def load(self, key: str, value: bytes) -> None:
        if key.startswith(_LINES):
            name, _, rule = key.removeprefix(_LINES).partition("/")
            kept = self._kept[name, rule] = msgspec.json.decode(value, type=_Kept)
            kept.until += _JUST_AFTER

    def close(self) -> None:
        for _, watch in self._watches.values():
            watch.end()
        self._watches.clear()


def _last_lines(name: str, log: dict[str, str | None] | None) -> list[str]:
    from supervisor_tree.root.last_output import last_lines

    return [line.partition(" ")[2] for line in last_lines(name, log, _LAST)]
