"""From a suspicion to a verdict: look twice, have the stacks dumped, say what is wrong, and only then end it.

Nothing in here waits on the loop: the system and the disk are asked in threads of their own, each for a bounded time. A
suspect that gives a sign of life meanwhile, ends, or is asked to stop gets no verdict.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from supervisor_tree.core import events as ev
from supervisor_tree.core import gates
from supervisor_tree.core.node import Node, State
from supervisor_tree.root import rundir
from supervisor_tree.root.aside import Aside, TooLate
from supervisor_tree.root.hangs import explaining, facts, stacks
from supervisor_tree.root.hearing import beating
from supervisor_tree.root.incidents import Section
from supervisor_tree.workers.life.dump import file_name, signal_number

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_APART = 0.3
"""Seconds between the two looks: enough to tell who computes from who waits."""
_LOOK = 2.0
"""Seconds that one look may take; the kernel makes it wait where the process holds its own memory locked."""
_DUMP = 1.5
"""Seconds from the signal until the stacks are to be there."""
_AT_ONCE = 8
"""Suspects that are looked into at a time; …"""
_IN_LINE = 64
"""… and those that wait for it at most. Where more fall silent at once, they are ended with what is known already."""
_EVENT = {"start": "not_ready", "health": "looked_into"}
"""How the journal calls what is no hang but looked into alike; …"""
_FILE = {"start": "not_ready", "health": "unhealthy"}
"""… and the incident file about it."""
_TELLING = frozenset({"stopped", "traced", "frozen", "disk", "swapping", "busy", "unwell"})
"""What is worth a word about one who answers, but not as he should: that he waits for events is none."""
_BY_THE_KEEPER = {"notify", "goodbye", "start"}
"""What the end of these silences is told by: sd_notify, or an end."""
_STACK = 20
"""Frames in the journal."""
_MOMENT = 2.0
"""Seconds between its start and the beginning of its limit, at most."""


class Suspect(Struct, frozen=True):
    path: str
    name: str
    incarnation: int
    leader: int
    """pid of the process that was started."""
    pid: int
    """Of the one that people mean by it: the leader, unless it has named another (`MAINPID`)."""
    kind: beating.Kind
    silent: float
    limit: float
    since: float
    """When the suspicion came up (the loop's time)."""
    heard: float | None
    """When the last sign of life was given by then: a later one ends the suspicion."""
    then: str = "restart"
    """Or `hold`."""
    words: str = ""
    """`health`: which probe fails, and how."""
    status: str | None = None
    """The word for it that its probe has."""
    still: Callable[[], bool] = bool
    """`health`: whether it still fails."""

    def silent_by(self, now: float) -> float:
        return self.silent + now - self.since


class Hangs:
    """The suspects of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._looker = facts.Looker()
        self._aside = Aside(shell.loop, 4 * _AT_ONCE)
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._under_suspicion: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._asked: dict[tuple[str, int], asyncio.Event] = {}
        """Of whom the keeper was asked what it has heard, by name and incarnation."""

    def suspect(self, path: str, incarnation: int, kind: beating.Kind, silent: float, limit: float) -> None:
        """This incarnation has been silent for longer than its limit (both in seconds)."""
        node = self._shell.tree.nodes.get(path)
        if node is not None and node.pid is not None and (path, incarnation) not in self._under_suspicion:
            self._suspect(node, incarnation, kind, silent, limit)

    def unhealthy(self, path: str, incarnation: int, words: str, then: str, still: Callable[[], bool]) -> None:
        """A probe of this incarnation fails, as ``words`` say; ``then``: `restart` or `hold`, while ``still`` so."""
        node = self._shell.tree.nodes.get(path)
        if node is not None and node.pid is not None and (path, incarnation) not in self._under_suspicion:
            self._suspect(node, incarnation, "health", 0.0, 0.0, then=then, words=words, still=still)

    def not_ready(self, path: str) -> bool:
        """Its `start_timeout` is over. True: it is looked at, and ended as a crash then, if it stays so."""
        node = self._shell.tree.nodes.get(path)
        if node is None or node.pid is None or node.is_supervisor or not self._is_overdue(node) or gates.held(node):
            return False
        if (path, node.incarnation) not in self._under_suspicion:
            limit = node.worker.start_timeout or 0.0
            self._suspect(node, node.incarnation, "start", limit, limit)
        return True

    def _is_overdue(self, node: Node) -> bool:
        """Not if it has become ready, or was given more time."""
        due = (node.timers or {}).get("ready")
        return node.state is State.UP and not node.ready and due is not None and due <= self._shell.loop.time()

    def _suspect(
        self, node: Node, incarnation: int, kind: beating.Kind, silent: float, limit: float, **about: Any
    ) -> None:
        shell = self._shell
        key = node.path, incarnation
        heard = shell.beating.heard_at(node.name, incarnation, kind)
        leader = node.pid or 0
        main = shell.notified.pid(node.name, leader) or leader
        if kind not in ("health", "start"):
            about["then"], about["status"] = shell.beating.then(node.name, kind)
        begin = shell.loop.time()
        one = Suspect(node.path, node.name, incarnation, leader, main, kind, silent, limit, begin, heard, **about)
        others = len(self._under_suspicion)
        task = self._under_suspicion[key] = shell.background.begin(f"hang of {one.name}", self._look_into(one, others))
        task.add_done_callback(lambda _: self._under_suspicion.pop(key, None))

    def ended(self, name: str, incarnation: int) -> None:
        """That worker is gone: so is what it may have left for us."""
        self.heard(name, incarnation)
        settings = self._shell.spawning.settings(name)
        if settings is not None and (settings.run or settings.use):
            with contextlib.suppress(OSError):
                os.unlink(self._dump_file(name, incarnation))

    def heard(self, name: str, incarnation: int) -> None:
        """The keeper has told all that it had heard of this worker."""
        asked = self._asked.pop((name, incarnation), None)
        if asked is not None:
            asked.set()

    async def _ask_the_keeper(self, one: Suspect) -> None:
        """What comes by way of the keeper is not there while that is stopped (^Z) or has not had its turn: wait for it.
        Without it nobody could be ended either."""
        asked = self._asked.setdefault((one.name, one.incarnation), asyncio.Event())
        self._shell.effect("hear", name=one.name, inc=one.incarnation)
        self._shell.flush()
        await asked.wait()

    async def _look_into(self, one: Suspect, others: int) -> None:
        shell = self._shell
        try:
            if one.kind in _BY_THE_KEEPER:
                await self._ask_the_keeper(one)
                if one.kind != "start" and shell.loop.time() - one.since > beating.LATE:
                    shell.beating.reached_anew()
                    return
                if not self._stays(one):
                    return
            if others >= _IN_LINE:
                why = f"it was not looked at closely: {others} others had fallen silent, too"
                self._end(one, explaining.Explained("unknown", why), None, None)
            else:
                async with self._places:
                    await self._judge(one)
        except Exception as error:
            shell.internal_error(f"hang of {one.name}", error)
            if self._stays(one):
                self._end(one, explaining.explain(explaining.Case()), None, None)
        shell.flush()

    async def _judge(self, one: Suspect) -> None:
        shell = self._shell
        if not self._stays(one):
            return
        case = await self._examine(one)
        if not self._stays(one):
            return
        explained = explaining.explain(case)
        if never := self._never(one):
            explained = structs.replace(explained, text=f"{explained.text}; {never}")
        headline = f"{one.name} (pid {one.pid}, incarnation {one.incarnation}) {self._silence(one)}: {explained.text}"
        incident = await shell.incidents.write(one.name, _FILE.get(one.kind, "hung"), headline, _sections(case))
        if self._stays(one):
            self._end(one, explained, case.dump, incident)

    def _stays(self, one: Suspect) -> bool:
        """Whether there is still somebody to judge."""
        shell = self._shell
        node = shell.tree.nodes.get(one.path)
        if node is None or node.incarnation != one.incarnation or node.state is not State.UP or gates.held(node):
            return False
        if one.kind == "start":
            return self._is_overdue(node)
        if one.kind == "health":
            return one.still()
        if one.name in shell.blocking:
            return False  # it waits for us to take its output
        if shell.beating.heard_at(one.name, one.incarnation, one.kind) != one.heard:
            shell.note("silence_ended", one.name, kind=one.kind, silent_for=round(one.silent, 3), limit=one.limit)
            return False
        return True

    def _never(self, one: Suspect) -> str:
        """Of one that has not beaten since it was to: perhaps it does not know how."""
        shell = self._shell
        if one.kind != "heartbeat" or shell.said.of(one.name).beat_at is not None:
            return ""
        if one.silent_by(shell.loop.time()) + _MOMENT < shell.loop.time() - shell.tree.nodes[one.path].since:
            return ""  # its limit began later than it did: with a reload
        if shell.beating.before_us.get(one.name) == one.incarnation:
            return ""  # perhaps it has: nobody told us
        settings = shell.spawning.settings(one.name)
        advice = ' (a program that can not is for `use = "shim"`)' if settings is not None and settings.command else ""
        return f"it has not beaten once since its start{advice}"

    def _silence(self, one: Suspect) -> str:
        if one.kind == "health":
            return f"unhealthy: {one.words}"
        if one.kind == "start":
            awaited = self._shell.probes.reason(one.name)
            return beating.reason(one.kind, 0.0, one.limit) + (f" ({awaited})" if awaited else "")
        reason = beating.reason(one.kind, one.silent_by(self._shell.loop.time()), one.limit)
        return reason.replace("hung: ", f"hung: {one.status}: ", 1) if one.status else reason

    def _end(
        self, one: Suspect, explained: explaining.Explained, dump: stacks.Dump | None, incident: str | None
    ) -> None:
        shell = self._shell
        silence = self._silence(one)
        shell.note(
            _EVENT.get(one.kind, "hung"),
            one.name,
            incarnation=one.incarnation,
            pid=one.pid,
            kind=one.kind,
            silent_for=round(one.silent_by(shell.loop.time()), 3),
            limit=one.limit,
            state=explained.state,
            explanation=explained.text,
            stack=_stack(dump),
            incident=incident,
        )
        more = f"; more in {os.path.relpath(incident, shell.plan.state_dir)}" if incident is not None else ""
        told = f": {explained.text}" if one.kind != "health" or explained.state in _TELLING else ""
        reason = f"{silence}{told}{more}"
        hold = ev.By(who="health", at=time.time(), why=reason) if one.then == "hold" else None
        # One commit: the keeper has the line before it carries out the stop.
        shell.tell(ev.KillRequested(one.path, one.incarnation, reason, hold))

    # --- finding out

    async def _examine(self, one: Suspect) -> explaining.Case:
        looks = []
        for pause in (0.0, _APART):
            await asyncio.sleep(pause)
            try:
                looks.append(await self._aside.do(lambda: self._looker.look(one.leader), _LOOK))
            except TooLate:
                break  # its memory is locked: the kernel itself waits for it
        seen = (facts.between(looks[0], looks[-1]) if looks else []) or facts.stopped(one.leader)
        words = self._shell.said.of(one.name)
        since = self._shell.loop.time() - (words.unwell_at or 0.0)
        # One that hung in its first moments has not told the signal.
        number = words.dump.signal if words.dump is not None else signal_number()
        may_be_asked = self._may_be_asked(looks, one.leader, number)
        expected = await self._expected(one) if may_be_asked else None
        dump = await self._stacks(one, number, expected) if expected is not None else None
        peers = await self._peers(seen)
        return explaining.Case(
            facts=seen,
            dump=dump,
            asked=expected is not None,
            connected=one.kind != "heartbeat" or words.connected,
            deaf=words.dump is not None and not may_be_asked,
            lost=words.dump is not None and may_be_asked and expected is None,
            subject=one.pid if one.pid != one.leader else None,
            runs_another=dump.shows_a_shim if dump is not None else self._is_shim(one.name),
            peers=peers,
            unwell=words.unwell if since <= one.limit else None,
        )

    @staticmethod
    def _may_be_asked(looks: list[facts.Looks], pid: int, number: int) -> bool:
        """Whether the signal would be handled: a stopped process handles none, and an uncaught one kills."""
        seen = looks[-1].seen.get(pid) if looks else None
        return seen is not None and seen.process.state not in "Tt" and seen.catches(number) is not False

    async def _expected(self, one: Suspect) -> stacks.Expected | None:
        """The dump of a worker that can write one."""
        path = self._dump_file(one.name, one.incarnation)
        try:
            return await self._aside.do(lambda: stacks.Expected(path), _LOOK)
        except (OSError, TooLate):
            return None

    async def _stacks(self, one: Suspect, number: int, expected: stacks.Expected) -> stacks.Dump | None:
        """Have the worker write its stacks, and read them: up to `_DUMP` seconds."""
        self._shell.effect("signal", name=one.name, inc=one.incarnation, signal=number, to="leader")
        self._shell.flush()
        try:
            return await self._aside.do(lambda: expected.wait(one.leader, _DUMP), _DUMP + _LOOK)
        except (OSError, TooLate):
            return None

    async def _peers(self, seen: list[facts.Facts]) -> dict[tuple[int, int], str]:
        sockets = [
            (each.pid, thread.fd)
            for each in seen
            for thread in each.threads
            if thread.fd is not None and thread.target.startswith("socket:")
        ][:4]
        if not sockets:
            return {}
        try:
            return await self._aside.do(lambda: {each: facts.peer(*each) for each in sockets}, _LOOK)
        except TooLate:
            return {}

    def _dump_file(self, name: str, incarnation: int) -> str:
        settings = self._shell.spawning.settings(name)
        folder = rundir.folder(self._shell.run_dir, rundir.uid(settings.user if settings is not None else None))
        return os.path.join(folder, file_name(name, incarnation))

    def _is_shim(self, name: str) -> bool:
        settings = self._shell.spawning.settings(name)
        return settings is not None and settings.use == "shim"


def _stack(dump: stacks.Dump | None) -> list[str] | None:
    """For the journal: where the main thread is, and the tasks of its loop."""
    if dump is None or dump.main is None:
        return None
    frames = [explaining.place(frame) for frame in dump.main.frames]
    for task in dump.tasks:
        frames.append(f'task "{task.name}":')
        frames += [explaining.place(frame) for frame in task.frames]
    return frames[:_STACK]


def _sections(case: explaining.Case) -> list[Section]:
    found = []
    if case.dump is not None:
        found.append(Section("Where its threads and tasks are", case.dump.text.strip()))
    elif case.asked:
        found.append(Section("Where its threads and tasks are", "it did not handle the signal that asks for them"))
    found.append(Section("Its processes", "\n\n".join(_process(each) for each in case.facts) or "not looked at"))
    return found


def _process(seen: facts.Facts) -> str:
    rows = [f"pid {seen.pid}, child of {seen.parent}: {seen.command or seen.name}"]
    rows.append(
        f"  state {seen.state}, {seen.cpu:.2f} processors, {seen.resident / 1e6:.1f} MB resident, "
        f"{seen.swapped / 1e6:.1f} MB in the swap, {seen.faults} waits for memory from the disk"
    )
    for thread in seen.threads:
        words: list[Any] = [thread.does or "?", thread.target, f"in {thread.where}" if thread.where else ""]
        told = ", ".join(word for word in words if word)
        rows.append(f"  thread {thread.tid} {thread.name}: state {thread.state}, {thread.cpu:.2f} processors, {told}")
    if seen.more_threads:
        rows.append(f"  and {seen.more_threads} threads more")
    return "\n".join(rows)
