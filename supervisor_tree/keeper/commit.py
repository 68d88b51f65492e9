"""Carrying out the effects of a commit, in their order (`processes.md` 2)."""

from __future__ import annotations

import errno
import time

from supervisor_tree.keeper.outlets import Outlets
from supervisor_tree.keeper.spawn import SpawnError
from supervisor_tree.keeper.table import Child
from supervisor_tree.system import SystemMeansError, means
from supervisor_tree.system.means import signal_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from supervisor_tree.keeper.keeper import Keeper

_SEND_AFTER = 16
"""Spawns after which the root and the logger are told, so that they work while the keeper goes on."""


class Effects:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._done: dict[str, Callable[[dict[str, Any]], None]] = {
            "spawn": self._spawn,
            "stop": self._stop,
            "signal": self._signal,
            "forget": self._forget,
            "hear": self._hear,
            "limits": self._limits,
            "upgrade": self._upgrade,
            "exit": self._exit,
            "ready": self._ready,
            "status": self._status,
        }
        self._stopped = False
        self._deferred: dict[str, dict[str, Any]] = {}
        """Spawns that wait until what lingers of their name is gone."""

    def carry_out(self, effects: list[dict[str, Any]]) -> None:
        """All of them, before the next frame is read.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: an effect that is none; those before it are done.
        """
        self._stopped = False
        since = 0
        for effect in effects:
            operation = effect["op"]
            self._done[operation](effect)
            if operation == "spawn":
                since += 1
                if since >= _SEND_AFTER:
                    since = 0
                    self._keeper.flush()
        if self._stopped:
            # Behind the stop signals, which are waited for; what is found gets its own.
            self._keeper.adopter.look()

    def _spawn(self, effect: dict[str, Any]) -> None:
        keeper = self._keeper
        name, inc = str(effect["name"]), int(effect["inc"])
        key = name, inc
        if keeper.ending or keeper.asked.alone:
            return
        if key in keeper.table.children or key in keeper.table.done or key in keeper.zygotes.requests:
            return
        if name in keeper.table.lingering:
            if name not in self._deferred:
                keeper.loop.later(keeper.limits.linger, lambda: self._still_lingering(name, inc))
            self._deferred[name] = effect
            return
        try:
            self._start(name, inc, effect)
        except SpawnError as error:
            self.failed(name, inc, error.errno, error.reason)
        except OSError as error:
            self.failed(name, inc, error.errno or 0, out_of(error, keeper.spawner.descriptors()))

    def start_deferred(self, name: str) -> None:
        """Nothing lingers of that name any more."""
        effect = self._deferred.pop(name, None)
        if effect is not None:
            self._spawn(effect)

    def _still_lingering(self, name: str, inc: int) -> None:
        effect = self._deferred.get(name)
        if effect is None or effect["inc"] != inc:
            return
        del self._deferred[name]
        pids = ", ".join(map(str, self._keeper.table.lingering.get(name, ())))
        self.failed(name, inc, errno.EBUSY, f"what is left of the one before can't be killed (pid {pids})")

    def failed(self, name: str, inc: int, number: int, reason: str) -> None:
        """A start came to nothing."""
        self._keeper.table.done.add((name, inc))
        self._keeper.kept.event("spawn_failed", name=name, inc=inc, errno=number, reason=reason)

    def _start(self, name: str, inc: int, effect: dict[str, Any]) -> None:
        """
        Raises:
            SpawnError, OSError: it could not be started; nothing is left open.
        """
        keeper = self._keeper
        env = keeper.spawner.environment(effect.get("env") or {}, effect.get("inherit", True))
        if effect.get("python") is not None:
            keeper.zygotes.request(name, inc, effect, env)
            return
        outlets = Outlets(keeper, effect, env)
        folder = keeper.cgroups.make(name)
        try:
            since = time.monotonic()
            with keeper.cgroups.inside(folder):
                pid, launch = keeper.spawner.program(effect, env, outlets.out, outlets.err)
        except BaseException:
            keeper.cgroups.drop(folder)
            outlets.close()
            raise
        outlets.close_writes()
        # It is not reaped before this returns, so its line in /proc is there even if it has ended already.
        child = Child(name, inc, pid, means.process_identity(pid) or 0, since, effect)
        keeper.table.add(child)
        keeper.cgroups.belongs(folder, child)
        if child.stop.get("command"):
            child.env = env
        if launch is None:
            keeper.spawned(child)
        else:
            child.launch = launch
            keeper.loop.watch(launch, lambda events: keeper.launched(child))
            keeper.loop.later(keeper.limits.launch, lambda: keeper.not_launched(child))
        outlets.belong_to(child)

    def _stop(self, effect: dict[str, Any]) -> None:
        child = self._keeper.table.children.get((effect["name"], effect["inc"]))
        if child is None:
            name, inc = effect["name"], effect["inc"]
            deferred = self._deferred.get(name)
            if deferred is not None and deferred["inc"] == inc:
                del self._deferred[name]
            elif not self._keeper.zygotes.cancel(name, inc):
                return
            self.failed(name, inc, errno.ECANCELED, "stopped before it was started")
            return
        self._stopped = True
        child.then = [
            (str(name), int(inc), None if grace is None else float(grace))
            for name, inc, grace in effect.get("then") or ()
        ]
        grace = effect.get("grace")
        self._keeper.stopper.request(child, None if grace is None else float(grace))

    def _signal(self, effect: dict[str, Any]) -> None:
        child = self._keeper.table.children.get((effect["name"], effect["inc"]))
        if child is None:
            return
        try:
            number = signal_number(effect["signal"])
        except SystemMeansError as error:
            raise ValueError(str(error)) from error
        self._keeper.stopper.signal(child, number, to_leader=effect.get("to") == "leader")

    def _forget(self, effect: dict[str, Any]) -> None:
        child = self._keeper.table.children.get((effect["name"], effect["inc"]))
        if child is not None and (child.end is not None or child.killed):
            self._keeper.reaper.finish(child)

    def _hear(self, effect: dict[str, Any]) -> None:
        """Tell what a worker has said by sd_notify, and then that this is all: before it is believed to be silent."""
        child = self._keeper.table.children.get((effect["name"], effect["inc"]))
        if child is not None and child.notify is not None:
            child.notify.tell_all()
        self._keeper.kept.event("heard", name=effect["name"], inc=effect["inc"])

    def _limits(self, effect: dict[str, Any]) -> None:
        self._keeper.logger.limit(effect["name"], effect["log"])

    def _upgrade(self, effect: dict[str, Any]) -> None:
        self._keeper.brain.upgrade(effect.get("argv"), effect.get("request"))

    def _exit(self, effect: dict[str, Any]) -> None:
        self._keeper.end(int(effect["status"]))

    def _ready(self, effect: dict[str, Any]) -> None:
        self._keeper.upward.ready()

    def _status(self, effect: dict[str, Any]) -> None:
        self._keeper.upward.status(str(effect["text"]))


def out_of(error: OSError, most: int) -> str:
    """What a system's refusal of a start means; `most`: the descriptors the keeper may have."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"out of file descriptors ({most} for the keeper, 2 for each worker): raise the hard limit (ulimit -Hn)"
    return str(error)
