"""From the core's `SpawnChild` to the keeper's `spawn`: which program, in which environment.

A program that needs no disk to be known (no environment file, no secret from a file or command) is made once
and kept; any other is made anew at each start, in a thread, so that a slow disk holds up one worker
and not the tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor_tree import config
from supervisor_tree.core import events as ev
from supervisor_tree.root import rundir
from supervisor_tree.root.hearing import notified

if TYPE_CHECKING:
    from supervisor_tree.config.settings import WorkerSettings
    from supervisor_tree.core.node import Node
    from supervisor_tree.root.shell import Shell

_ASK_AGAIN = 10.0
"""Seconds between two looks at what holds a start (an unset variable, a missing file)."""


class Spawning:
    """Programs, names and paths of the workers of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._kept: dict[str, dict[str, Any]] = {}
        self._making: set[tuple[str, int]] = set()
        self._paths: dict[str, str] = {}
        self._retries: dict[str, Any] = {}

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
        program = self._kept.get(name)
        if program is not None:
            self._send(name, incarnation, program)
            return
        if config.is_static(shell.plan, self.settings_name(name)):
            try:
                program = self._kept[name] = self._make(name)
            except config.Held as held:
                self._hold(path, incarnation, str(held))
                return
            self._send(name, incarnation, program)
            return
        self._making.add((path, incarnation))
        shell.loop.create_task(self._spawn_later(path, incarnation))

    def cancel(self, path: str, incarnation: int) -> bool:
        """A stop came while the program was still being made: it is not started. True when that was so."""
        if (path, incarnation) not in self._making:
            return False
        self._making.discard((path, incarnation))
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
        try:
            program = await shell.loop.run_in_executor(None, self._make, name)
        except config.Held as held:
            reason = str(held)
        except Exception as error:
            reason = f"its program can't be made: {error!r}"
            shell.internal_error(f"program of {name}", error)
        if (path, incarnation) not in self._making:
            return
        self._making.discard((path, incarnation))
        if program is None:
            self._hold(path, incarnation, reason)
        else:
            self._send(name, incarnation, program)
        shell.flush()

    def _hold(self, path: str, incarnation: int, reason: str) -> None:
        self._shell.tell(ev.StartIgnored(path, incarnation, held=reason))
        self.watch_gate(path)

    def watch_gate(self, path: str) -> None:
        """Look again, in a while, at what holds this child's start."""
        if path not in self._retries:
            self._retries[path] = self._shell.loop.call_later(
                _ASK_AGAIN, lambda: self._shell.loop.create_task(self._look_again(path))
            )

    async def _look_again(self, path: str) -> None:
        shell = self._shell
        self._retries.pop(path, None)
        if not shell.directory.has(path) or not shell.directory.held(path):
            return
        try:
            await shell.loop.run_in_executor(None, self._make, shell.bare(path))
        except config.Held:
            self.watch_gate(path)
            return
        shell.tell(ev.GateOpened(path))
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
        """The same of every worker, by its name."""
        names = [self._shell.bare(path) for path in self._shell.directory.workers_below("root")]
        return {name: log for name in names if (log := self.log_file(name)) is not None}

    def resume(self) -> None:
        """After a root's death: look again at what holds children, which was a timer of the old root's."""
        for path in self._shell.directory.workers_below("root"):
            if self._shell.directory.held(path):
                self.watch_gate(path)

    def _make(self, name: str) -> dict[str, Any]:
        shell = self._shell
        program = config.program(shell.plan, name).spawn()
        program["env"] = {
            **program["env"],
            "SUPERVISOR_TREE_NAME": name,
            "SUPERVISOR_TREE_CONFIG": shell.plan.config_variable(),
            "SUPERVISOR_TREE_ENDPOINT": rundir.endpoint(shell.run_dir, rundir.uid(program["user"])),
            **notified.environment(shell.plan.workers[self.settings_name(name)]),
        }
        command = program["stop"]["command"]
        if command is not None:
            # It runs with the environment of the worker that it stops, name and incarnation included.
            program["stop"] = {**program["stop"], "command": {**command, "env": None}}
        return program

    def _send(self, name: str, incarnation: int, program: dict[str, Any]) -> None:
        env = {
            **program["env"],
            "SUPERVISOR_TREE_INCARNATION": str(incarnation),
            "SUPERVISOR_TREE_TOKEN": self._shell.tokens.token(name, incarnation),
        }
        self._shell.effect("spawn", **{**program, "name": name, "inc": incarnation, "env": env})
