"""Alerts of one tree: what the journal tells is judged in one place, and what is worth it becomes a notice.

What is wrong (`core.alerting`) is state that goes to the keeper with the very commit that journals it, and into
`state_dir/alerts/conditions.json`; a notice takes its place in one commit, too (`delivery`). So nothing is lost and
nothing told twice when a root dies between two steps, and a tree that starts anew goes on where the last one ended.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.config.variables import finish
from supervisor_tree.core.alert_rules import RULES, Over, Problem, Relapse, judge
from supervisor_tree.core.alerting import GATHER, Alerting, Condition, Telling
from supervisor_tree.core.severity import Severity, at_least
from supervisor_tree.root import sentences
from supervisor_tree.root.alerts import telling as texts
from supervisor_tree.root.alerts.delivery import Delivery
from supervisor_tree.root.alerts.notices import AlertFile, Item, Notice, item_of, subject
from supervisor_tree.root.aside import Aside, TooLate
from supervisor_tree.root.clocks import stamp
from supervisor_tree.root.kept import KeptFiles

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_CONDITION = "alerts/condition/"
_TEXT_WITHIN = 5.0
"""Seconds for which the last lines of output are waited for; then the text is made without them."""
_LOOK = 60.0
"""Seconds between two looks at the wall clock while something is due: it may be set, and the machine may sleep."""
_LAST_WORDS = 8.0
"""Seconds for which a tree that ends by itself waits until its last alert is delivered; else the next start does it."""
_LAST_SENDING = 2.0
"""Seconds for which a tree that is asked to end waits for what is just being sent."""
_LAST_WRITES = 2.0
"""Seconds that the disk has to take what is known when the tree ends."""
_STEADY = 300.0
"""Seconds of being well that end a crash loop, where no `backoff.reset` says it."""


class Alerts:
    """Listens to all that is journaled; `raise_` is for those who have something to tell themselves."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._machine = Alerting()
        self._kept = KeptFiles(shell, os.path.join(shell.plan.state_dir, "alerts"), "alerts")
        self.delivery = Delivery(shell, self._kept)
        self._aside = Aside(shell.loop, 4)
        self._timer: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None
        self._ending = False
        self._last: str | None = None
        """The last alert of a tree that ends by itself: its key."""
        self._then: Callable[[], None] | None = None
        self.delivery.on_sent = self._look_at_end
        self._written: dict[str, tuple[Any, ...]] = {}
        """Of each condition, what the file has of it that matters."""

    # Life

    def begin(self) -> None:
        """A tree starts: what its last life has not told, and what was wrong then."""
        self._configure()
        found = self._kept.read("conditions.json", lambda data: msgspec.json.decode(data, type=list[Condition]))
        for condition in found or ():
            self._machine.load(condition)
            self._shell.state(_CONDITION + condition.key, msgspec.json.encode(condition))
        for name in self._kept.names():
            if name != "conditions.json":
                notice = self._kept.read(name, lambda data: msgspec.json.decode(data, type=Notice))
                if notice is not None:
                    self.delivery.load_file(notice)
        self.delivery.replan()
        self._machine.keep_about(self._names())
        self._moved()
        if os.path.exists(os.path.join(self._shell.plan.state_dir, "run.json")):  # whoever ends takes it away
            self._shell.note("last_life_cut_off", None)

    def load(self, key: str, value: bytes) -> None:
        """A piece of the state of the root before us; keys of others are left alone."""
        if key.startswith(_CONDITION):
            self._machine.load(msgspec.json.decode(value, type=Condition))
        else:
            self.delivery.load(key, value)

    def resume(self) -> None:
        """After a take-over."""
        self._configure()
        self.delivery.resume()
        self._kept.put("conditions.json", self._as_file)
        self._moved()

    def replan(self) -> None:
        """The tree file was read anew."""
        self._configure()
        self.delivery.replan()
        self._machine.keep_about(self._names())
        self._moved()

    def end_first(self, why: str, status: int, title: str, then: Callable[[], None]) -> bool:
        """Whether ``then``, the end of the tree, has to wait: for what is being sent, so that the next start does not
        send it again; and, of a tree that ends by itself, until somebody was told of that."""
        if self._ending or not self.delivery.targets:
            return False
        self._ending = True
        by_itself = why != "shutdown" and status != 0
        self.delivery.closing = not by_itself
        if not by_itself and not self.delivery.sending():
            return False
        self._then = then
        if by_itself:
            problem = Problem(kind="tree_ended", about=None, severity="critical", ends=False)
            self._last = problem.key
            if problem.key not in self._machine.conditions:
                self._machine.problem(problem, title, time.time())
                self._say(problem, title)
            self._moved()
        self._shell.loop.call_later(_LAST_WORDS if by_itself else _LAST_SENDING, self._go_on_ending)
        return True

    def _look_at_end(self) -> None:
        """The tree may end once everybody has been told."""
        if self._then is None:
            return
        if self._last is None:
            told = not self.delivery.sending()
        else:
            condition = self._machine.conditions.get(self._last)
            told = (condition is None or condition.told is not None) and not self.delivery.waiting()
        if told:
            self._shell.loop.call_soon(self._go_on_ending)

    def _go_on_ending(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            then()
            self._shell.flush()

    async def finish(self) -> None:
        """The tree ends: what is known goes to the disk, for the next start."""
        await self._kept.finish(_LAST_WRITES)

    def _configure(self) -> None:
        settings = self._shell.plan.alerts
        self._machine.repeat = settings.repeat
        self._machine.level = settings.level  # type: ignore[assignment]  # one of LEVELS: checked when it was read

    def _names(self) -> set[str]:
        plan, shell = self._shell.plan, self._shell
        names = {shell.bare(path) for path in shell.directory.paths()}
        return {*names, "root", *plan.paths, *plan.workers, *plan.jobs, *plan.activity, *plan.retention, *plan.recover}

    # What happens

    def on_line(self, event: str, name: str | None, fields: dict[str, Any]) -> None:
        """A line of the journal, with the round that journals it."""
        if event not in RULES or (event == "child_started" and name is not None and self._is_told_ready(name)):
            return
        now = time.time()
        findings = judge(event, name, fields)
        for finding in findings:
            match finding:
                case Problem():
                    title = self._title(finding, event, name, fields)
                    if self._machine.problem(finding, title, now):
                        self._say(finding, title)
                case Over():
                    self._machine.resolve(finding, now, self._steady(finding.about) if finding.steady else 0.0)
                case Relapse():
                    self._machine.relapse(finding, now)
        if findings:
            self._moved()

    def raise_(self, severity: Severity, about: str | None, title: str, *, key: str = "", **context: Any) -> None:
        """Tell of something that is no journal line of its own: a step of a recovery, above all.

        Journaled always; sent from `alerts.level` on, and of the same (``about`` and ``key``, else ``title``) at most
        once every `alerts.repeat`. ``context`` is shown as it is; ``tail``: last lines of output.
        """
        title = _one_line(title)
        problem = Problem(kind="alert", about=about, severity=severity, detail=key or title, again=True, ends=False)
        self._machine.problem(problem, title, time.time(), context)
        self._say(problem, title)
        self._moved()

    def _say(self, one: Problem | Condition, title: str) -> None:
        if one.kind == "alert" or at_least(one.severity, self._machine.level):
            self._shell.note(
                "alert_raised", one.about, alert=one.key, kind=one.kind, severity=one.severity, title=title
            )

    def _title(self, problem: Problem, event: str, name: str | None, fields: dict[str, Any]) -> str:
        if problem.kind == "crash_loop":
            path = self._shell.directory.find(name or "")
            last = self._shell.directory.node(path).last_exit if path is not None else None
            ended = f"; it ended last with: {last.reason}" if last is not None and last.reason else ""
            return _one_line(f"{name} does not stay up: restart {fields.get('attempt')} in a row{ended}")
        return _one_line(sentences.sentence({**fields, "event": event, "name": name}))

    def _is_told_ready(self, name: str) -> bool:
        settings = self._shell.spawning.settings(name)
        return settings is not None and bool(settings.ready)

    def _steady(self, name: str | None) -> float:
        settings = self._shell.spawning.settings(name) if name is not None else None
        return _STEADY if settings is None else settings.backoff.reset

    # What follows

    def _moved(self) -> None:
        """State for what has changed, and a look soon."""
        changes = self._machine.take_changes()
        for key, condition in changes:
            self._shell.state(_CONDITION + key, None if condition is None else msgspec.json.encode(condition))
        if [key for key, condition in changes if self._matters(key, condition)]:
            self._kept.put("conditions.json", self._as_file)
        # To look for what is due next means to look at all: once for all that happens in the same second.
        if self._timer is None or self._timer.when() > self._shell.loop.time() + GATHER:
            self._wait(GATHER)

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._shell.loop.call_later(min(_LOOK, max(0.0, seconds)), self._look)

    def _matters(self, key: str, condition: Condition | None) -> bool:
        """Whether the file has to be written: that it was said once more is not worth a write."""
        if condition is None:
            return self._written.pop(key, None) is not None
        now = (condition.severity, condition.due, condition.told, condition.over, condition.closed)
        before, self._written[key] = self._written.get(key), now
        return before != now

    def _as_file(self) -> bytes | None:
        found = list(self._machine.conditions.values())
        return msgspec.json.encode(found) if found else None

    def _look(self) -> None:
        self._timer = None
        now = time.time()
        telling = Telling([], []) if self._telling is not None else self._machine.take(now)
        if telling.begun or telling.ended:
            self._telling = self._shell.background.begin("alerts", self._tell(telling))
            self._telling.add_done_callback(self._told)
        at = self._machine.next()
        if at is not None and self._telling is None:  # else when that is told
            self._wait(at - now)
        self._shell.flush()

    async def _tell(self, telling: Telling) -> None:
        """Make the text, then let the notice take the place of what it tells of, in one commit."""
        shell = self._shell
        now = time.time()
        items = [item_of(each, now, over=False) for each in telling.begun]
        items += [item_of(each, now, over=True) for each in telling.ended]
        settings = shell.plan.alerts
        if self.delivery.targets or settings.file is not None:
            make, make_at_once = texts.begin(shell, items, now)
            try:
                text, each = await self._aside.do(make, _TEXT_WITHIN)
            except TooLate:
                text, each = make_at_once()
            notice = Notice(
                id=f"{stamp(now)}-{shell.journal_seq}",
                at=now,
                tree=shell.plan.name,
                host=texts.host(),
                title=subject(shell.plan.name, items),
                text=text,
                items=items,
                todo=self.delivery.targets,
                files=self._files(items, each, now),
            )
            if notice.todo or notice.files:
                self.delivery.push(notice)
        for condition in telling.begun:
            if not condition.said:
                self._say(condition, condition.title)
        for condition in telling.ended:
            seconds = round(max(0.0, now - condition.since), 3)
            shell.note(
                "alert_resolved",
                condition.about,
                alert=condition.key,
                kind=condition.kind,
                title=condition.title,
                seconds=seconds,
            )
        self._machine.told(telling, now)
        self._look_at_end()

    def _told(self, _: asyncio.Task[None]) -> None:
        self._telling = None
        self._moved()
        self._shell.flush()

    def _files(self, items: list[Item], each: list[str], now: float) -> list[AlertFile]:
        """`alerts.file`: one for each item that begins, those with one name in one file."""
        template = self._shell.plan.alerts.file
        if template is None:
            return []
        found: dict[str, list[str]] = {}
        at = stamp(now)
        for item, text in zip(items, each, strict=True):
            if not item.over:
                about = (item.name or self._shell.plan.name).replace("/", "-")
                path = finish(template, {"self.name": about, "run.time": at, "run.id": at})
                found.setdefault(path, []).append(f"{text}\n")
        return [AlertFile(path, "\n".join(parts)) for path, parts in found.items()]


def _one_line(text: str) -> str:
    """A title: of what programs say, too."""
    return " ".join(text.split())[:500]
