"""What workers say by sd_notify, and what it means here (sd_notify(3); `processes.md` 24).

    READY=1                 the worker is ready, or has reloaded
    RELOADING=1             it reads its configuration anew, until READY=1
    STOPPING=1              it is ending by itself: no beat is awaited, but its end, within its `shutdown`
    STATUS=…                shown by `status`
    WATCHDOG=1, =trigger    a sign of life for `health = { notify = … }`; it found itself hung
    MAINPID=…               the keeper has checked it and acts on it; shown as its pid
    EXTEND_TIMEOUT_USEC=…   it needs so long from now on to become ready, if that is longer than what it has

All of it is said once only: what a root knows is handed on as state, and what it has not acknowledged is told again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from supervisor_tree.core import events as ev
from supervisor_tree.core.node import State

if TYPE_CHECKING:
    from supervisor_tree.config.settings import WorkerSettings
    from supervisor_tree.root.shell import Shell

_STATE = "notified/"


class Told(Struct, omit_defaults=True, eq=False):
    """What one incarnation has said that still holds."""

    incarnation: int
    ready: bool = False
    reloading: bool = False
    stopping: bool = False
    status: str | None = None
    main_pid: int | None = None


class Notified:
    """The words of all workers that speak sd_notify."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._told: dict[str, Told] = {}

    def on_event(self, event: dict[str, Any]) -> None:
        """One message, lines in the order in which they were said."""
        name, incarnation = event["name"], event["inc"]
        told = self._told.get(name)
        if told is None or told.incarnation != incarnation:
            told = self._told[name] = Told(incarnation)
        before = msgspec.json.encode(told)
        for line in event["text"].split("\n"):
            key, _, value = line.partition("=")
            if key == "WATCHDOG":
                self._watchdog(told, name, value, event["at"])
            else:
                self._line(told, name, key, value)
        data = msgspec.json.encode(told)
        if data != before:
            self._shell.state(_STATE + name, data)
            self._show(name, told)

    def _line(self, told: Told, name: str, key: str, value: str) -> None:
        shell = self._shell
        if key == "READY":
            if told.reloading:
                told.reloading = False
                shell.note("worker_reloaded", name, incarnation=told.incarnation)
            told.ready = True
            shell.readiness.told(name, told.incarnation, "notify")
        elif key == "RELOADING":
            if not told.reloading:
                told.reloading = True
                shell.note("worker_reloading", name, incarnation=told.incarnation)
        elif key == "STOPPING":
            node = shell.spawning.node(name, told.incarnation)
            if not told.stopping and node is not None and node.state is State.UP:
                told.stopping = True
                shell.note("worker_stopping", name, incarnation=told.incarnation)
                shell.beating.leaving(name, told.incarnation)
        elif key == "STATUS":
            told.status = value.strip()
        elif key == "MAINPID":
            told.main_pid = int(value)
            shell.note("main_process", name, incarnation=told.incarnation, pid=told.main_pid)
        elif key == "EXTEND_TIMEOUT_USEC":
            path = shell.spawning.path(name, told.incarnation)
            if path is not None:
                shell.tell(ev.MoreTimeAsked(path, told.incarnation, int(value) / 1e6))

    def _watchdog(self, told: Told, name: str, value: str, at: float) -> None:
        shell = self._shell
        if value == "1":
            shell.beating.heard(name, told.incarnation, "notify", shell.loop.time() - at)
            return
        node = self._shell.spawning.node(name, told.incarnation)
        if node is not None and node.state is State.UP:
            shell.hangs.suspect(node.path, told.incarnation, "trigger", 0.0, 0.0)

    def _show(self, name: str, told: Told) -> None:
        words = self._shell.said.of(name)
        if words.incarnation not in (0, told.incarnation):
            return
        words.incarnation = told.incarnation
        words.reloading, words.stopping, words.main_pid = told.reloading, told.stopping, told.main_pid
        if told.status is not None:
            words.status = told.status or None

    def pid(self, name: str, pid: int | None) -> int | None:
        """The process that people mean by a worker: the main process that it named, else its leader (``pid``)."""
        told = self._told.get(name)
        return pid if pid is None or told is None or told.main_pid is None else told.main_pid

    def load(self, key: str, value: bytes) -> None:
        """Take over what the root before us was told, where a key of the handed state is about that."""
        if key.startswith(_STATE):
            self._told[key.removeprefix(_STATE)] = msgspec.json.decode(value, type=Told)

    def resume(self) -> None:
        """After all state is loaded: go on where the root before us stopped."""
        for name, told in self._told.items():
            if self._shell.spawning.node(name, told.incarnation) is None:
                continue
            self._show(name, told)
            if told.ready:
                self._shell.readiness.told(name, told.incarnation, "notify")
            if told.stopping:
                self._shell.beating.leaving(name, told.incarnation)

    def forget(self, name: str) -> None:
        """It has ended."""
        if self._told.pop(name, None) is not None:
            self._shell.state(_STATE + name, None)


def environment(settings: WorkerSettings) -> dict[str, str]:
    """What a worker is to know of the limit on its silence (sd_watchdog_enabled(3)): no WATCHDOG_PID, so that any
    process of it may speak."""
    limits = [probe.notify for probe in settings.health if probe.notify is not None]
    return {"WATCHDOG_USEC": str(int(min(limits) * 1e6))} if limits else {}
