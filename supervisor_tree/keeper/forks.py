"""Living workers that a zygote answers for, and whether it does: an end that it does not tell of soon is its own."""

from __future__ import annotations

import os

from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.loop import Timer
    from supervisor_tree.keeper.table import Child
    from supervisor_tree.keeper.zygote import Zygote


class _Fork:
    __slots__ = ("timer", "watch", "zygote")

    def __init__(self, zygote: Zygote) -> None:
        self.zygote = zygote
        self.watch: int | None = None
        """Becomes readable when the worker is dead. None: the system has no such thing, or it is known already."""
        self.timer: Timer | None = None
        """Until its zygote must have told of its end and reaped it."""


class Forks:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._of: dict[int, _Fork] = {}

    def add(self, child: Child, zygote: Zygote) -> None:
        """From now on until `forget` the zygote answers for it."""
        fork = self._of[child.pid] = _Fork(zygote)
        zygote.has(1)
        fork.watch = means.watch_process(child.pid)
        if fork.watch is not None:
            self._keeper.loop.watch(fork.watch, lambda events: self.is_dead(child.pid))

    def is_of(self, pid: int, zygote: Zygote) -> bool:
        """Whether this zygote answers for it."""
        fork = self._of.get(pid)
        return fork is not None and fork.zygote is zygote

    def of(self, zygote: Zygote) -> list[int]:
        """pids of those that a zygote answers for."""
        return [pid for pid, fork in self._of.items() if fork.zygote is zygote]

    def forget(self, pid: int) -> None:
        """It was reaped, or has become a child of the keeper."""
        fork = self._of.pop(pid, None)
        if fork is None:
            return
        self._unwatch(fork)
        if fork.timer is not None:
            fork.timer.cancel()
        fork.zygote.has(-1)

    def is_dead(self, pid: int) -> None:
        """The zygote gets a moment to tell of it, and to reap it when it is told to."""
        fork = self._of[pid]
        self._unwatch(fork)
        self._expect(pid, fork)

    def was_killed(self, pid: int) -> None:
        """It was sent SIGKILL: where nothing tells that it is dead, look in a while."""
        fork = self._of.get(pid)
        if fork is not None and fork.watch is None:
            self._expect(pid, fork)

    def limits_start_again(self) -> None:
        """The keeper itself was late."""
        for pid, fork in self._of.items():
            if fork.timer is not None:
                fork.timer.cancel()
                fork.timer = None
                self._expect(pid, fork)

    def _unwatch(self, fork: _Fork) -> None:
        if fork.watch is not None:
            self._keeper.loop.unwatch(fork.watch)
            os.close(fork.watch)
            fork.watch = None

    def _expect(self, pid: int, fork: _Fork) -> None:
        if fork.timer is None:
            fork.timer = self._keeper.loop.later(self._keeper.limits.told, lambda: self._overdue(pid, fork))

    def _overdue(self, pid: int, fork: _Fork) -> None:
        fork.timer = None
        seen = means.process(pid)
        if seen is None or seen.dead:
            fork.zygote.kill(f"it does not tell of the end of its worker (pid {pid})")
        else:
            self._expect(pid, fork)
