"""From the core's `SpawnChild` to the keeper's `spawn`: which program, in which environment.

A program that needs no disk to be known (no environment file, no secret from a file or command) is made once
and kept; any other is made anew at each start, in a thread, so that a slow disk holds up one worker
and not the tree.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from supervisor_tree import config
from supervisor_tree.core import events as ev
from supervisor_tree.root import rundir
from supervisor_tree.root.hearing import notified

if TYPE_CHECKING:
    from supervisor_tree.config.settings import WorkerSettings
    from supervisor_tree.core.node import Node
    from supervisor_tree.root.probes.gate import Refusal
    from supervisor_tree.root.shell import Shell

_ASK_AGAIN = 10.0
"""Seconds between two looks at what holds a start (an unset variable, a missing file)."""
_JUST = 2.0
"""Seconds for which a pass of `require` holds: a gate that has opened is followed by a start, which would ask again."""


class Spawning:
    """Programs, names and paths of the workers of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._kept: dict[str, dict[str, Any]] = {}
        self._making: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._paths: dict[str, str] = {}
        self._retries: dict[str, Any] = {}
        self._every: dict[str, float] = {}
        """How often, in seconds, it is asked again what holds a start; where it is not `_ASK_AGAIN`."""
        self._failing: dict[str, tuple[int, ...]] = {}
        """Which probes of `require` hold a start."""
        self._let_in: dict[str, float] = {}
        """Whose `require` has just passed, and when (the loop's time)."""

    def replan(self) -> None:
        """The plan has changed: forget what was made of the old one."""
        self._kept.clear()
        self._paths.clear()
        self._shell.directory.forget()

    def path(self, name: str, incarnation: int) -> str | None:
        """The core's path of the worker that an event of the keeper's is about; None when there is none (any more)."""
        nodes = self._shell.tree.nodes
        if self._shell.tree.leaving:
            # A child is moving: one name, two places, and the keeper knows names only.
            found = (path for path, node in nodes.items() if node.name == name and node.incarnation == incarnation)
            return next(found, None)
        path = self._paths.get(name)
        if path is None:
            path = self._shell.directory.find(name)
            if path is not None:
                self._paths[name] = path
        return path

    def node(self, name: str, incarnation: int) -> Node | None:
        """The core's node of a worker while this is its incarnation; None when it is not (any more)."""
        path = self.path(name, incarnation)
        node = self._shell.tree.nodes.get(path) if path is not None else None
        return node if node is not None and node.incarnation == incarnation else None

    def settings_name(self, name: str) -> str:
        """The name under which the plan knows a worker: of an instance made at run time, its template's."""
        if name in self._shell.plan.workers:
            return name
        return name.partition("@")[0]

    def settings(self, name: str) -> WorkerSettings | None:
        """The settings of a worker; None where there are none (any more)."""
        return self._shell.plan.workers.get(self.settings_name(name))

    def spawn(self, path: str, incarnation: int) -> None:
        """Have this incarnation started, now or when its program is known."""
        shell = self._shell
        name = shell.bare(path)
        if shell.table.get(name, ["", 0])[1] == incarnation:
            return  # A root before us has had it spawned; the keeper's answer is on its way.
        settings = self.settings(name)
        required = settings is not None and bool(settings.require)
        program = self._kept.get(name)
        if program is not None and not required:
            self._send(name, incarnation, program)
            return
        if config.is_static(shell.plan, self.settings_name(name)) and not required:
            try:
                program = self._kept[name] = self._make(name)
            except config.Held as held:
                self._hold(path, incarnation, str(held))
                return
            self._send(name, incarnation, program)
            return
        looking = self._looking.pop(path, None)
        if looking is not None:
            looking.cancel()  # the same is asked once more now
        making = self._spawn_later(path, incarnation)
        self._making[path, incarnation] = shell.background.begin(f"program of {name}", making)

    def cancel(self, path: str, incarnation: int) -> bool:
        """A stop came while the program was still being made: it is not started. True when that was so."""
        making = self._making.pop((path, incarnation), None)
        if making is None:
            return False
        making.cancel()
        self._shell.loop.call_soon(self._never_started, path, incarnation)
        return True

    def _never_started(self, path: str, incarnation: int) -> None:
        self._shell.tell(ev.SpawnFailed(path, incarnation, "stopped before it was started"))
        self._shell.flush()

    async def _spawn_later(self, path: str, incarnation: int) -> None:
        shell = self._shell
        name = shell.bare(path)
        program: dict[str, Any] | None = None
        reason = ""
        refusal: Refusal | None = None
        try:
            program = await shell.errands.make(lambda: self._make(name))
            refusal = await self._require(path)
        except config.Held as held:
            reason = str(held)
        except Exception as error:
            reason = f"its program can't be made: {error!r}"
            shell.internal_error(f"program of {name}", error)
        if self._making.pop((path, incarnation), None) is None:
            return
        if program is None or refusal is not None:
            self._hold(path, incarnation, reason, refusal)
        else:
            self._send(name, incarnation, program)
        shell.flush()

    async def _require(self, path: str) -> Refusal | None:
        """Whether `require` of a worker lets it start now; not asked twice where it has just let it."""
        name = self._shell.bare(path)
        settings = self.settings(name)
        if settings is None or self._shell.loop.time() - self._let_in.pop(path, float("-inf")) < _JUST:
            return None
        return await self._shell.probes.require(name, settings)

    def _hold(self, path: str, incarnation: int, reason: str, refusal: Refusal | None = None) -> None:
        self._shell.tell(ev.StartIgnored(path, incarnation, held=reason if refusal is None else refusal.reason))
        self._ask_later(path, refusal)

    def _ask_later(self, path: str, refusal: Refusal | None) -> None:
        if refusal is None:
            self._every.pop(path, None)
            self._failing.pop(path, None)
        else:
            self._every[path] = refusal.every
            self._failing[path] = refusal.failing
        self.watch_gate(path)

    def asked_every(self, path: str) -> float:
        """Seconds between two looks at what holds this child's start."""
        return self._every.get(path, _ASK_AGAIN)

    def watch_gate(self, path: str) -> None:
        """Look again, in a while, at what holds this child's start."""
        if path not in self._retries:
            self._retries[path] = self._shell.loop.call_later(self.asked_every(path), self._look, path)

    def _look(self, path: str) -> None:
        task = self._looking[path] = self._shell.background.begin(f"gates of {path}", self._look_again(path))
        task.add_done_callback(lambda _: self._looking.pop(path) if self._looking.get(path) is task else None)

    async def _look_again(self, path: str) -> None:
        shell = self._shell
        self._retries.pop(path, None)
        if not shell.directory.has(path) or not shell.directory.held(path):
            return
        name = shell.bare(path)
        incarnation = shell.tree.nodes[path].incarnation
        refusal: Refusal | None = None
        reason: str | None = None
        try:
            await shell.errands.make(lambda: self._make(name))
            refusal = await self._require(path)
        except config.Held as held:
            reason = str(held)
        except Exception as error:
            reason = f"its program can't be made: {error!r}"
            shell.internal_error(f"program of {name}", error)
        if not shell.directory.has(path) or not shell.directory.held(path):
            return
        if refusal is None and reason is None:
            self._let_in[path] = shell.loop.time()
            shell.tell(ev.GateOpened(path))
        else:
            told = refusal.reason if refusal is not None else reason
            if self._failing.get(path) != (None if refusal is None else refusal.failing):
                shell.tell(ev.StartIgnored(path, incarnation, held=told))  # another thing than before
            self._ask_later(path, refusal)
        shell.flush()

    def log_settings(self, name: str) -> dict[str, Any] | None:
        """Where this worker's output goes: the `log` part of its program."""
        if self.settings_name(name) not in self._shell.plan.workers:
            return None
        return config.log_settings(self._shell.plan, name)

    def log_file(self, name: str) -> dict[str, str | None] | None:
        """Which log files this worker writes: {path, stderr}; None for what is no worker."""
        log = self.log_settings(name)
        if log is None:
            return None
        error = log.get("err")
        return {"path": log["out"]["path"], "stderr": error["path"] if error else None}

    def log_files(self) -> dict[str, dict[str, str | None]]:
        """The same of every worker and job, by its name; {glob, stderr_glob} where each run has files of its own."""
        plan = self._shell.plan
        names = [self._shell.bare(path) for path in self._shell.directory.workers_below("root")]
        found = {name: log for name in names if (log := self.log_file(name)) is not None}
        jobs = self._shell.jobs
        leaving = {name: job for name in jobs.leaving() if (job := jobs.settings(name)) is not None}
        return found | {name: config.job_logs(plan, job) for name, job in {**plan.jobs, **leaving}.items()}

    def resume(self) -> None:
        """After a root's death: look again at what holds children, which was a timer of the old root's."""
        for path in self._shell.directory.workers_below("root"):
            if self._shell.directory.held(path):
                settings = self.settings(self._shell.bare(path))
                if settings is not None and settings.require:
                    self._every[path] = min(probe.every for probe in settings.require)
                self.watch_gate(path)

    def _make(self, name: str) -> dict[str, Any]:
        shell = self._shell
        program = config.program(shell.plan, name).spawn_stopped_inside()
        program["env"] = {
            **program["env"],
            "SUPERVISOR_TREE_NAME": name,
            "SUPERVISOR_TREE_CONFIG": shell.plan.config_variable(),
            "SUPERVISOR_TREE_ENDPOINT": rundir.endpoint(shell.run_dir, rundir.uid(program["user"])),
            **notified.environment(shell.plan.workers[self.settings_name(name)]),
        }
        return program

    def _send(self, name: str, incarnation: int, program: dict[str, Any]) -> None:
        self._shell.probes.starting(name, incarnation)
        env = {
            **program["env"],
            "SUPERVISOR_TREE_INCARNATION": str(incarnation),
            "SUPERVISOR_TREE_TOKEN": self._shell.tokens.token(name, incarnation),
        }
        self._shell.effect("spawn", **{**program, "name": name, "inc": incarnation, "env": env})
