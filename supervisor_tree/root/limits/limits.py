"""`memory_max` and `cpu_max`: running workers, and programs of runs, that have one are looked at every `EVERY` seconds,
no other.

One timer for all of them, and none while none of them runs. What a look says is judged here, on the loop; a
worker over its limit is killed as a crash, a program of a run is stopped as one that has failed, or (`on_limit =
"alert"`, or an operator's hold of the worker) it is told of once, until it is back below. A new root knows what was
told of; its mean of CPU begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from supervisor_tree.config.programs import grace
from supervisor_tree.core import events as ev
from supervisor_tree.core import gates
from supervisor_tree.core.limits import WINDOW, over
from supervisor_tree.core.node import State
from supervisor_tree.root.aside import Aside, TooLate
from supervisor_tree.root.limits.sampling import Sampler, Used, Wanted
from supervisor_tree.root.words import cores, size

if TYPE_CHECKING:
    from supervisor_tree.config.settings import ProgramSettings
    from supervisor_tree.root.shell import Shell

EVERY = 2.0
"""Seconds between two looks …"""
_SHARE = 20
"""… or so many times the CPU that the look before took: however many processes there are, 5 % of a core at most."""
_TOO_LONG = 30.0
"""Seconds after which a look is given up: the kernel answers questions about a process that it holds late, or never."""


class Over(msgspec.Struct):
    """A limit that a worker has passed, and was told of."""

    reason: str
    killed: bool = False
    """The core was asked to kill it: not so while an operator holds it."""


class Passed(msgspec.Struct):
    """What an incarnation is over, by kind of limit: state that a new root gets, lest it tells of it again."""

    incarnation: int
    kinds: dict[str, Over] = {}


class _Of(NamedTuple):
    """Whose a program of a run is."""

    job: str
    run: str


class Limits:
    """The limits of one tree's workers and runs."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._programs: dict[str, _Of] = {}
        """Programs of runs, by their names."""
        self._running: dict[str, Wanted] = {}
        self._passed: dict[str, Passed] = {}
        self._sampler = Sampler(shell.keeper_pid)
        self._aside = Aside(shell.loop, 1)
        self._timer: asyncio.TimerHandle | None = None
        self._looking = False
        self._told_late = False

    def resume(self, state: Mapping[str, bytes]) -> None:
        """What the root before us had told of."""
        for key, value in state.items():
            if key.startswith("limit/"):
                self._passed[key.removeprefix("limit/")] = msgspec.json.decode(value, type=Passed)

    def reason(self, name: str) -> str | None:
        """What `status` says of a worker that is over a limit and lives on."""
        passed = self._passed.get(name)
        return None if passed is None else "; ".join(each.reason for each in passed.kinds.values())

    def of_run(self, run: str) -> str | None:
        """The same of the programs of a run."""
        reasons = [self.reason(name) for name, of in self._programs.items() if of.run == run]
        return "; ".join(reason for reason in reasons if reason is not None) or None

    def changed(self, paths: Iterable[str]) -> None:
        """These nodes are not what they were: who runs, and has a limit, is looked at from now on."""
        for path in paths:
            self._watch(self._shell.bare(path), self._wanted(path))
        self._arm()

    def program_runs(self, name: str, job: str, run: str) -> None:
        """A program of a run runs."""
        self._programs[name] = _Of(job, run)
        self._watch(name, self._wanted_program(name))
        self._arm()

    def program_ended(self, name: str) -> None:
        """It does not any more."""
        if self._programs.pop(name, None) is not None:
            self._watch(name, None)
            self._arm()

    def replan(self) -> None:
        """Limits of runs may be others, also of those under way."""
        for name in self._programs:
            self._watch(name, self._wanted_program(name))
        self._arm()

    def _watch(self, name: str, wanted: Wanted | None) -> None:
        if wanted is not None:
            self._running[name] = wanted
        elif self._running.pop(name, None) is None and name not in self._passed:
            return
        passed = self._passed.get(name)
        if passed is not None and (wanted is None or wanted.worker[1] != passed.incarnation):
            self._forget(name)

    def _arm(self) -> None:
        if self._running and self._timer is None and not self._looking:
            self._timer = self._shell.loop.call_later(EVERY, self._begin)
        elif not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wanted(self, path: str) -> Wanted | None:
        node = self._shell.tree.nodes.get(path)
        if node is None or node.is_supervisor or node.state is not State.UP or not node.pid:
            return None
        settings = self._shell.spawning.settings(node.name)
        if settings is None or (settings.memory_max is None and settings.cpu_max is None):
            return None
        return Wanted((node.name, node.incarnation), node.pid, settings.memory_max, settings.cpu_max)

    def _wanted_program(self, name: str) -> Wanted | None:
        running, settings = self._shell.errands.running(name), self._settings(name)
        if running is None or settings is None or (settings.memory_max is None and settings.cpu_max is None):
            return None
        return Wanted((name, running[0]), running[1], settings.memory_max, settings.cpu_max)

    def _settings(self, name: str) -> ProgramSettings | None:
        """What limits a worker or a program, as it is now: a reload may change it under way."""
        of = self._programs.get(name)
        if of is None:
            return self._shell.spawning.settings(name)
        return self._shell.plan.jobs.get(of.job) or self._shell.jobs.settings(of.job, of.run)

    # One look

    def _begin(self) -> None:
        self._timer = None
        if self._running:
            self._looking = True
            self._shell.background.begin("limits", self._look(list(self._running.values())))

    async def _look(self, wanted: list[Wanted]) -> None:
        shell = self._shell
        try:
            others = {row[2] for row in shell.table.values()}
            for used in await self._aside.do(lambda: self._sampler.look(wanted, others), _TOO_LONG):
                self._judge(used)
            self._told_late = False
        except TooLate:
            if not self._told_late:
                self._told_late = True
                shell.note("limits_not_watched", None, seconds=_TOO_LONG)
        except Exception as error:
            shell.internal_error("limits", error)
        self._looking = False
        if self._running:
            self._timer = shell.loop.call_later(max(EVERY, _SHARE * self._sampler.cost), self._begin)
        shell.flush()

    def _judge(self, used: Used) -> None:
        name, incarnation = used.worker
        wanted, settings = self._running.get(name), self._settings(name)
        if wanted is None or settings is None or wanted.worker != used.worker:
            return  # it has ended while we looked
        if name in self._programs and self._shell.errands.running(name) is None:
            return  # it is about to
        before = self._passed.get(name) or Passed(incarnation)
        after = Passed(incarnation)
        values = (("memory", used.memory, wanted.memory_max), ("cpu", used.cpu, wanted.cpu_max))
        for kind, value, limit in values:
            was = before.kinds.get(kind)
            if value is not None and limit is not None and over(was is not None, value, limit):
                reason = f"{kind}: {_words(kind, value)}, over {kind}_max = {_words(kind, limit)}"
                after.kinds[kind] = was or Over(reason)
                after.kinds[kind].reason = reason
        if not before.kinds and not after.kinds:
            return
        for kind, value, limit in values:
            if kind in after.kinds and kind not in before.kinds:
                self._tell("limit_exceeded", name, kind, value, limit, used.biggest.get(kind, []))
            elif kind in before.kinds and kind not in after.kinds:
                self._tell("limit_kept_again", name, kind, value, limit, None)
        if name in self._programs:
            if after.kinds and settings.on_limit == "restart":
                self._fail(name, "; ".join(each.reason for each in after.kinds.values()), settings)
                return
        else:
            self._kill(name, incarnation, after, settings)
        self._remember(name, before, after)

    def _tell(
        self, event: str, name: str, kind: str, value: Any, limit: Any, processes: list[dict[str, Any]] | None
    ) -> None:
        fields: dict[str, Any] = {"kind": kind, "value": value, "limit": limit}
        if kind == "cpu":
            fields["seconds"] = WINDOW
        if processes is not None:
            fields |= {"severity": "warning", "then": self._then(name), "processes": processes}
        of = self._programs.get(name)
        if of is not None:
            fields |= {"run": of.run, "program": name}
        self._shell.note(event, name if of is None else of.job, **fields)

    def _then(self, name: str) -> str:
        """What follows: in the words of `on_limit`, `hold`, or (a run) `fail`."""
        settings = self._settings(name)
        if name in self._programs:
            return "fail" if settings is not None and settings.on_limit == "restart" else "alert"
        path = self._shell.directory.find(name)
        if path is not None and gates.held(self._shell.tree.nodes[path]):
            return "hold"
        return settings.on_limit if settings is not None else "alert"

    def _fail(self, name: str, reason: str, settings: ProgramSettings) -> None:
        """Have a program of a run stopped: it has failed, and what follows is what follows a failure."""
        self._shell.errands.fail(name, reason, grace(settings))
        self._watch(name, None)

    def _kill(self, name: str, incarnation: int, passed: Passed, settings: ProgramSettings) -> None:
        """Have it killed as a crash, if that is to follow; one that is held is asked about again at each look."""
        path = self._shell.directory.find(name)
        if path is None or settings.on_limit != "restart" or gates.held(self._shell.tree.nodes[path]):
            return
        for each in passed.kinds.values():
            if not each.killed:
                each.killed = True
                self._shell.tell(ev.KillRequested(path, incarnation, each.reason))
                return

    def _remember(self, name: str, before: Passed, after: Passed) -> None:
        if not after.kinds:
            self._forget(name)
            return
        self._passed[name] = after
        if before.kinds.keys() != after.kinds.keys():
            self._shell.state(f"limit/{name}", msgspec.json.encode(after))

    def _forget(self, name: str) -> None:
        if self._passed.pop(name, None) is not None:
            self._shell.state(f"limit/{name}", None)


def _words(kind: str, value: float) -> str:
    return size(value) if kind == "memory" else cores(value)
