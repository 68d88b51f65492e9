"""Errands: short programs that the keeper spawns for the root, and what has become of each.

An errand is as safe as a worker (group, kill, sweep, logs, take-over), but no supervisor knows it. What is known of it
is state (`errand/NAME`), handed on with the commit that has it spawned: a root that takes over goes on with those that
their owner adopts, and kills the others. Its end is told once its output is *complete* (`processes.md` 16).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from supervisor_tree import config
from supervisor_tree.core.events import Exit
from supervisor_tree.root import exits, rundir
from supervisor_tree.root.aside import Aside, TooLate

if TYPE_CHECKING:
    from supervisor_tree.config.job_settings import JobSettings
    from supervisor_tree.config.settings import WorkerSettings
    from supervisor_tree.config.tree_kinds import LogSettings
    from supervisor_tree.root.shell import Shell

T = TypeVar("T")
_STATE = "errand/"
_NUMBER = "errands"
"""The state's key of the last incarnation's number: one count for all, so that no name has a number twice."""
_BEFORE_FIRST = 10**9
"""Numbers are above those of workers: a job may become a worker of its name, which counts from 1."""
_PATIENCE = 10.0
"""Seconds after its end for which an errand's output is waited for: a disk that does not answer holds up no job."""
_LAST_WORDS = 1.0
"""Seconds after its end in which what an errand has said over the heartbeat socket is still heard: one that says
something and ends may be gone before we have read who speaks."""
_AT_ONCE = 16
"""Programs that are made at the same time; the others wait for their turn."""
_MAKING = 120.0
"""Seconds that one may take: each command that prints a value has 10, a file system that is gone has no end."""
_MOST = 1_000_000.0
"""Seconds beyond which a timer of the loop is not to be trusted."""


class Ended(NamedTuple):
    """How an errand ended; wall clock seconds."""

    exit: Exit
    timed_out: bool
    cancelled: bool
    started: float
    ended: float


OnEnd = Callable[[Ended], None]
OnStarted = Callable[[int], None]
"""Told the pid."""


class _Errand(Struct, omit_defaults=True):
    """What is known of one; this is its state. Times are wall clock seconds, but for the deadline: monotonic."""

    incarnation: int
    started: float
    deadline: float | None = None
    timeout: float | None = None
    success: tuple[int | str, ...] = (0,)
    pid: int | None = None
    timed_out: bool = False
    cancelled: bool = False
    failed: str | None = None
    """Why it was stopped as one that has failed."""
    exit: Exit | None = None
    """Its process has ended, its output is not complete yet."""
    ended: float = 0.0
    tag: int = 0


class _Owner(Struct, eq=False):
    on_end: OnEnd
    on_started: OnStarted | None = None


class Errands:
    """All errands of one tree, by name."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._all: dict[str, _Errand] = {}
        self._owners: dict[str, _Owner] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._left: dict[str, int] = {}
        """Incarnations that have ended a moment ago."""
        self._last = _BEFORE_FIRST
        self._aside = Aside(shell.loop, 2 * _AT_ONCE)
        self._places = asyncio.Semaphore(_AT_ONCE)

    # What is to be run

    async def program(
        self,
        owner: WorkerSettings | JobSettings | None,
        argv: tuple[str, ...],
        *,
        log: LogSettings | str | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> dict[str, Any]:
        """`config.command_program`, made in a thread.

        Raises:
            config.Held: its environment can't be had.
        """
        plan = self._shell.plan
        return await self.make(lambda: config.command_program(plan, owner, argv, log=log, env=env))

    async def make(self, work: Callable[[], T]) -> T:
        """What ``work``, which makes a program, returns. It is done in a thread: environment files are read, programs
        that print values are run.

        Raises:
            config.Held: its environment can't be had, or not in time.
        """
        try:
            async with self._places:
                return await self._aside.do(work, _MAKING)
        except TooLate:
            raise config.Held(f"its environment could not be read within {_MAKING:g} s") from None

    # Begin, end

    def start(
        self,
        name: str,
        program: dict[str, Any],
        *,
        timeout: float | None = None,
        success: Collection[int | str] = (0,),
        tag: int = 0,
        on_started: OnStarted | None = None,
        on_end: OnEnd,
    ) -> int:
        """Have a program run, with the present round's commit; returns its incarnation.

        Args:
            program: the fields of a `spawn` effect (`program`, `config.run_program`).
            timeout: seconds from now; then all of it is killed.
            success: exit statuses and signals that are no failure.
            tag: the owner's own number of this start, by which he knows it again in `adopt`.
            on_end: called once, also when it could not be started (neither code nor signal) or was stopped.

        Raises:
            ValueError: one of this name runs.
        """
        shell = self._shell
        if name in self._all:
            raise ValueError(f"errand {name} runs already")
        self._last += 1
        incarnation = self._last
        shell.state(_NUMBER, str(incarnation).encode())
        deadline = None if timeout is None else shell.loop.time() + timeout
        errand = _Errand(incarnation, time.time(), deadline=deadline, timeout=timeout, success=tuple(success), tag=tag)
        self._all[name] = errand
        self._owners[name] = _Owner(on_end, on_started)
        shell.said.forget(name)
        env = {
            **program["env"],
            "SUPERVISOR_TREE_NAME": name,
            "SUPERVISOR_TREE_CONFIG": shell.plan.config_variable(),
            "SUPERVISOR_TREE_ENDPOINT": rundir.endpoint(shell.run_dir, rundir.uid(program["user"])),
            "SUPERVISOR_TREE_INCARNATION": str(incarnation),
            "SUPERVISOR_TREE_TOKEN": shell.tokens.token(name, incarnation),
        }
        shell.effect("spawn", **{**program, "name": name, "inc": incarnation, "env": env, "tell_output": True})
        self._keep(name)
        self._arm(name)
        return incarnation

    def stop(self, name: str, grace: float | None) -> None:
        """Ask one to end, KILL after ``grace`` seconds (None: never, 0: at once); `on_end` follows. Again: hurry."""
        errand = self._all.get(name)
        if errand is None or errand.exit is not None:
            return
        if not errand.timed_out and errand.failed is None:
            errand.cancelled = True
        self._keep(name)
        self._shell.effect("stop", name=name, inc=errand.incarnation, grace=grace, then=[])
        heartbeats = self._shell.heartbeats
        if heartbeats is not None and grace != 0:
            heartbeats.stop(name, errand.incarnation, grace)

    def fail(self, name: str, reason: str, grace: float | None) -> None:
        """`stop` one that has failed, for ``reason``: with what status it then ends says nothing any more."""
        errand = self._all.get(name)
        if errand is not None and errand.failed is None and self.running(name) is not None:
            errand.failed = reason
            self.stop(name, grace)

    async def run(
        self,
        name: str,
        program: dict[str, Any],
        timeout: float | None,  # noqa: ASYNC109 - of the program
        *,
        success: Collection[int | str] = (0,),
    ) -> Ended:
        """Start one and wait for its end; cancelled, it is killed. For what no later root needs to go on with."""
        shell = self._shell
        future: asyncio.Future[Ended] = shell.loop.create_future()

        def on_end(ended: Ended) -> None:
            if not future.done():
                future.set_result(ended)

        self.start(name, program, timeout=timeout, success=success, on_end=on_end)
        shell.flush()
        try:
            return await future
        except asyncio.CancelledError:
            self.stop(name, 0)
            shell.flush()
            raise

    # Looking

    def lives(self, name: str, incarnation: int) -> bool:
        """Whether this incarnation runs, or has ended a moment ago: its hello is believed."""
        errand = self._all.get(name)
        if errand is not None and errand.incarnation == incarnation and errand.exit is None:
            return True
        return self._left.get(name) == incarnation

    def has(self, name: str) -> bool:
        """Whether there is one of this name whose end has not been told."""
        return name in self._all

    def pid(self, name: str) -> int | None:
        """Its process; None before it is spawned and when it has ended."""
        errand = self._all.get(name)
        return None if errand is None or errand.exit is not None else errand.pid

    def running(self, name: str) -> tuple[int, int] | None:
        """Incarnation and pid of one that runs and was not asked to end."""
        errand = self._all.get(name)
        if errand is None or errand.pid is None or errand.exit is not None:
            return None
        asked = errand.cancelled or errand.timed_out or errand.failed is not None
        return None if asked else (errand.incarnation, errand.pid)

    # After a take-over

    def load(self, key: str, value: bytes) -> None:
        """A piece of the state of the root before us; keys of others are left alone."""
        if key == _NUMBER:
            self._last = int(value)
        elif key.startswith(_STATE):
            self._all[key.removeprefix(_STATE)] = msgspec.json.decode(value, type=_Errand)

    def adopt(self, name: str, on_end: OnEnd, on_started: OnStarted | None = None, *, tag: int = 0) -> bool:
        """Go on with an errand of the root before us; False: there is none. Called from `resume`s only."""
        errand = self._all.get(name)
        if errand is None or errand.tag != tag:
            return False
        self._owners[name] = _Owner(on_end, on_started)
        return True

    def resume(self) -> None:
        """Whoever goes on with an errand has said so, or does before the loop turns; the others are killed."""
        for name in self._all:
            self._arm(name)
        self._shell.loop.call_soon(self._kill_unowned)

    def _kill_unowned(self) -> None:
        unowned = [name for name in self._all if name not in self._owners]
        for name in unowned:
            self._owners[name] = _Owner(lambda ended: None)
            self.stop(name, 0)
        if unowned:
            self._shell.flush()

    # What the keeper tells

    def spawned(self, name: str, incarnation: int, pid: int) -> None:
        """Its program runs."""
        errand = self._of(name, incarnation)
        if errand is None:
            return
        errand.pid = pid
        self._keep(name)
        owner = self._owners.get(name)
        if owner is not None and owner.on_started is not None:
            owner.on_started(pid)

    def not_spawned(self, name: str, incarnation: int, reason: str) -> None:
        """There was nothing to run, or it was stopped before it ran."""
        errand = self._of(name, incarnation)
        if errand is not None:
            errand.exit = Exit(reason=reason)
            errand.ended = time.time()
            self._finish(name)

    def exited(self, event: dict[str, Any]) -> None:
        """Nothing of it is left; its output may be on its way still."""
        name = event["name"]
        errand = self._of(name, event["inc"])
        if errand is None:
            return
        errand.exit = exits.describe(event, errand.success)
        if errand.timed_out:
            errand.exit = msgspec.structs.replace(
                errand.exit, normal=False, reason=f"timed out after {errand.timeout:g} s"
            )
        elif errand.failed is not None:
            errand.exit = msgspec.structs.replace(errand.exit, normal=False, reason=errand.failed, code=None)
        errand.ended = time.time()
        self._left[name] = errand.incarnation
        self._shell.loop.call_later(_LAST_WORDS, self._forget, name, errand.incarnation)
        if event.get("complete", True):
            self._finish(name)
        else:
            self._keep(name)
            self._arm(name)

    def _forget(self, name: str, incarnation: int) -> None:
        if self._left.get(name) == incarnation:
            del self._left[name]
        if self._shell.heartbeats is not None:
            self._shell.heartbeats.ended(name, incarnation)

    def output_complete(self, name: str, incarnation: int) -> None:
        """All that it has written is in its log."""
        if self._of(name, incarnation) is not None:
            self._finish(name)

    def _of(self, name: str, incarnation: int) -> _Errand | None:
        errand = self._all.get(name)
        return errand if errand is not None and errand.incarnation == incarnation else None

    def _finish(self, name: str) -> None:
        errand = self._all.pop(name)
        owner = self._owners.pop(name, None)
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        self._shell.state(_STATE + name, None)
        assert errand.exit is not None
        if owner is not None:
            ended = Ended(errand.exit, errand.timed_out, errand.cancelled, errand.started, errand.ended)
            try:
                owner.on_end(ended)
            except Exception as error:
                self._shell.internal_error(f"the end of {name}", error)

    # Time

    def _arm(self, name: str) -> None:
        """Wake at what comes next: its deadline, or the end of the patience with its output."""
        shell = self._shell
        errand = self._all[name]
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        if errand.exit is not None:
            self._timers[name] = shell.loop.call_later(_PATIENCE, self._no_more_patience, name, errand.incarnation)
        elif errand.deadline is not None and not errand.timed_out:
            wait = max(0.0, errand.deadline - shell.loop.time())
            self._timers[name] = shell.loop.call_later(min(wait, _MOST), self._overdue, name, errand.incarnation)

    def _overdue(self, name: str, incarnation: int) -> None:
        errand = self._of(name, incarnation)
        if errand is None or errand.exit is not None or errand.deadline is None:
            return
        if self._shell.loop.time() < errand.deadline:
            self._arm(name)
            return
        errand.timed_out = not errand.cancelled and errand.failed is None
        self.stop(name, 0)
        self._shell.flush()

    def _no_more_patience(self, name: str, incarnation: int) -> None:
        if self._of(name, incarnation) is not None:
            self._shell.note("output_incomplete", name, waited=_PATIENCE)
            self._finish(name)
            self._shell.flush()

    def _keep(self, name: str) -> None:
        self._shell.state(_STATE + name, msgspec.json.encode(self._all[name]))
