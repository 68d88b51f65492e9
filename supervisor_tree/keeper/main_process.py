"""A worker whose main process is another than the one that was started: it has said so (sd_notify's MAINPID).

Then not the leader's exit is the end of the worker but the main process's, with its exit status: programs that go to
the background, and those that replace themselves by a new process of theirs. The status is there where the main process
has become a child of the keeper, whose orphans come to it (Linux). Elsewhere its end is seen, its status is not, and
that counts as a crash; so it does where a parent that lives takes the status, unless that parent is the leader and ends
with one of its own right after.
"""

from __future__ import annotations

import os

from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.table import Child
    from supervisor_tree.system import Process

_LOOK = 0.25
"""Seconds between two looks at a main process where the system tells of no stranger's end."""
_FAR = 64
"""Parents of parents that are asked about."""


class MainProcesses:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._of: dict[int, Child] = {}

    def name(self, child: Child, pid: int) -> str | None:
        """Take ``pid`` for the main process of a worker. None: done; else why it is refused."""
        if pid == child.main or (pid == child.pid and child.main is None):
            return None
        if child.end is not None:
            return "the worker is over"
        if pid == child.pid and not child.reaped:
            self.forget(child)
            return None
        seen = means.process(pid)
        if seen is None or seen.dead:
            return "there is no such process"
        if not self._is_of(seen, child):
            return "it is no process of this worker"
        self.forget(child)
        child.main, child.main_start = pid, seen.start
        self._of[pid] = child
        if seen.ppid != os.getpid():
            # A child's end raises SIGCHLD; of this one somebody else takes the exit status, as it looks now.
            self._watch(child, pid)
        return None

    def forget(self, child: Child) -> None:
        """Its leader is its main process again, or it is over."""
        if child.main is None:
            return
        self._of.pop(child.main, None)
        fd = child.watches.pop(child.main, None)
        if fd is not None:
            self._keeper.loop.unwatch(fd)
            os.close(fd)
        child.main = None

    def of(self, pid: int) -> Child | None:
        """The worker of which this one, which is dead, is the main process, beside a leader."""
        child = self._of.get(pid)
        if child is not None:
            self._hear(child)
        return self._of.get(pid)

    @staticmethod
    def _hear(child: Child) -> None:
        """Somebody of it has ended, who may have named another main process right before."""
        if child.notify is not None and child.end is None:
            child.notify.drain()

    def goes_on(self, child: Child) -> bool:
        """Whether the worker outlives its leader, which has just ended: its main process is there.

        A zombie is there, too, where it is or becomes ours: its status is the worker's."""
        self._hear(child)
        if child.main is None or child.end is not None:
            return False
        seen = self._seen(child)
        return seen is not None and (means.orphans_come_to_us or not seen.dead)

    def leader_left(self, child: Child) -> None:
        """The leader was reaped, the worker lives: from now on its group's number is its own only while the main
        process is in it. Who else was in it is remembered one by one."""
        if child.pid in self.groups(child):
            return
        for member in self._keeper.stopper.members(child):
            child.lineage[member.pid] = member.start
        child.emptied = True

    def ends(self, child: Child) -> None:
        """The main process is dead and not reaped yet. Where it is not what kept the group's number, nobody did."""
        if child.pid not in self.groups(child):
            child.emptied = True

    def groups(self, child: Child) -> list[int]:
        """Numbers of process groups that are this worker's for certain: one of its processes that can't have been
        reaped by others, or was just looked at, is in them."""
        found = [] if child.reaped else [child.pid]
        if child.main is not None:
            seen = self._seen(child)
            if seen is not None and seen.pgrp in (child.pid, seen.pid) and seen.pgrp not in found:
                found.append(seen.pgrp)
        return found

    def group(self, child: Child) -> int:
        """The group that its main process is in now; 0: that has gone."""
        seen = self._seen(child)
        return 0 if seen is None else seen.pgrp

    def _seen(self, child: Child) -> Process | None:
        assert child.main is not None
        seen = means.process(child.main)
        return seen if seen is not None and seen.start == child.main_start else None

    def _is_of(self, seen: Process, child: Child) -> bool:
        if child.rest.get(seen.pid) == seen.start:
            return True
        if seen.ppid == os.getpid():
            # Its parent has just ended: looked at, it is somebody's.
            self._keeper.adopter.look()
            if child.rest.get(seen.pid) == seen.start:
                return True
        if self._keeper.adopter.owner(seen) is child:
            return True
        above: Process | None = seen
        for _ in range(_FAR):
            if above is None or above.ppid <= 1:
                return False
            if (above.ppid == child.pid and not child.reaped) or above.ppid == child.main:
                return True
            above = means.process(above.ppid)
        return False

    # --- of whose end SIGCHLD does not tell

    def _watch(self, child: Child, pid: int) -> None:
        fd = means.watch_process(pid)
        if fd is not None:
            child.watches[pid] = fd
            self._keeper.loop.watch(fd, lambda events: self._look(child, pid))
        elif not means.orphans_come_to_us:
            self._keeper.loop.later(_LOOK, lambda: self._look_again(child, pid))

    def _look_again(self, child: Child, pid: int) -> None:
        if child.main != pid or child.end is not None:
            return
        seen = self._seen(child)
        if seen is None or seen.dead:
            self._look(child, pid)
        else:
            self._keeper.loop.later(_LOOK, lambda: self._look_again(child, pid))

    def _look(self, child: Child, pid: int) -> None:
        """It has ended. One that has become ours is reaped in a moment, with its status."""
        fd = child.watches.pop(pid, None)
        if fd is not None:
            self._keeper.loop.unwatch(fd)
            os.close(fd)
        self._hear(child)
        if child.main != pid or child.end is not None:
            return
        seen = self._seen(child)
        if seen is not None and seen.ppid == os.getpid():
            return
        if seen is None and child.reaped:
            self._lost(child, pid)
        else:
            # Its parent may be about to end: a shell that waited for it with its status, any other leaves it to us.
            self._keeper.loop.later(self._keeper.limits.follow, lambda: self._lost(child, pid))

    def _lost(self, child: Child, pid: int) -> None:
        keeper = self._keeper
        if child.main == pid and child.end is None and child.key in keeper.table.children:
            self.forget(child)
            child.end = keeper.unknown(child)
            keeper.stopper.kill_groups(child)
            keeper.stopper.kill_rest(child)
            if not means.orphans_come_to_us:
                keeper.adopter.look_without_adoption([child])
            keeper.reaper.settle(child)
