"""Exits: wait without reaping, kill the rest of the group, reap, look whether anything is left (`processes.md` 11)."""

from __future__ import annotations

import os
import signal

from supervisor_tree.keeper.loop import Timer
from supervisor_tree.keeper.oom import OomKills
from supervisor_tree.system import means
from supervisor_tree.system.means import group_exists, signal_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource
    from typing import Any

    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.table import Child

_MAXRSS_UNIT = 1 if os.uname().sysname == "Darwin" else 1024
_LOOK_AGAIN_FIRST = 0.02
_LOOK_AGAIN_MOST = 0.5


class Reaper:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._table = keeper.table
        self._again: dict[tuple[str, int], Timer] = {}
        self._oom = OomKills.of_this_system(keeper.cgroups.own)
        self._reaped: list[Any] = []

    def reap(self) -> None:
        """Handle every child that is dead now, and what that means for those they belonged to."""
        table, mains = self._table, self._keeper.mains
        touched: dict[tuple[str, int], Child] = {}
        others: list[tuple[int, int]] = []
        any_exit = False
        self._oom.next_burst()
        while (pid := self._next_dead()) is not None:
            any_exit = True
            child = table.leaders.get(pid) or self._keeper.zygotes.orphan(pid)
            if child is None:
                if pid in table.others and not table.others[pid].alone:
                    signal_group(pid, signal.SIGKILL)
                main_of = mains.of(pid)
                if main_of is not None:
                    mains.ends(main_of)
                    if main_of.sweep and (not main_of.asked or main_of.killed):
                        self._keeper.stopper.kill_groups(main_of)
                status, usage = self._reap(pid)
                if pid in table.others:
                    others.append((pid, status))
                    continue
                owner = self._keeper.adopter.reaped(pid)
                if main_of is not None:
                    owner = main_of
                    mains.forget(main_of)
                    self._ended(main_of, pid, status, usage)
                if owner is not None and owner.end is not None:
                    touched[owner.key] = owner
                continue
            goes_on = mains.goes_on(child)
            # While the zombie is there nobody else can get its number, so the group is the child's for certain.
            if child.sweep and not goes_on and (not child.asked or child.killed):
                signal_group(pid, signal.SIGKILL)
            status, usage = self._reap(pid)
            del table.leaders[pid]
            child.reaped = True
            if goes_on:
                mains.leader_left(child)
                continue
            mains.forget(child)
            if child.end is None:
                self._ended(child, pid, status, usage)
            touched[child.key] = child
        if not any_exit:
            return
        for pid, status in others:
            table.others.pop(pid).ended(status)
        self._look_round(touched)

    def seen_dead(self, child: Child, status: int) -> None:
        """A zygote's child is dead, and keeps its number until `reaped_elsewhere`."""
        mains = self._keeper.mains
        self._oom.next_burst()
        goes_on = mains.goes_on(child)
        if child.sweep and not goes_on and (not child.asked or child.killed):
            signal_group(child.pid, signal.SIGKILL)
        # In a moment: nobody needs its number any more.
        child.reaped = True
        if not goes_on:
            mains.forget(child)
            if child.end is None:
                self._ended(child, child.pid, status, None)

    def reaped_elsewhere(self, children: list[Child]) -> None:
        """The numbers of these are free."""
        for child in children:
            if child.end is None:
                self._keeper.mains.leader_left(child)
        self._look_round({child.key: child for child in children if child.end is not None})

    def _look_round(self, touched: dict[tuple[str, int], Child]) -> None:
        """What ends mean for those that they belonged to, and for who waits."""
        table, adopter = self._table, self._keeper.adopter
        if means.orphans_come_to_us:
            for child in touched.values():
                if not child.asked and child.sweep and not self._left(child):
                    adopter.reported(child)
                    self.finish(child)
            self._keeper.brain.flush()
            adopter.look()
        elif touched:
            adopter.look_without_adoption(list(touched.values()))
        for child in touched.values():
            self.settle(child)
        # A member of a dead leader's group may have had a parent elsewhere, which just died.
        for key in list(self._again):
            waiting = table.children.get(key)
            if waiting is not None and key not in touched:
                self.settle(waiting)
        for name in adopter.let_start():
            self._keeper.effects.start_deferred(name)

    def _next_dead(self) -> int | None:
        """pid of a child that is dead; still a zombie where the system lets us look first."""
        try:
            if means.sees_the_dead_before_reaping:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                return None if info is None else info.si_pid
            pid, *self._reaped = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        return pid or None

    def _reap(self, pid: int) -> tuple[int, resource.struct_rusage]:
        """Exit status and resource usage of the one that `_next_dead` told of."""
        if means.sees_the_dead_before_reaping:
            _, status, usage = os.wait4(pid, 0)
        else:
            status, usage = self._reaped
        return status, usage

    def _ended(self, child: Child, pid: int, status: int, usage: resource.struct_rusage | None) -> None:
        """``pid``, its leader or the main process that it named, has ended with this status, and so has the worker."""
        if child.launch is not None:
            if child.forked:
                self._keeper.zygotes.never_goes(child)
            else:
                self._keeper.launched(child)
        code = number = None
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
        else:
            code = os.WEXITSTATUS(status)
        oom = None
        if number == signal.SIGKILL and not child.killed:
            oom = False if self._keeper.cgroups.oom_killed(child) is False else self._oom.killed(pid)
        child.end = {
            "code": code,
            "signal": number,
            "core": number is not None and os.WCOREDUMP(status),
            "asked": child.asked,
            "killed": child.killed,
            "oom": oom,
            "cpu": None if usage is None else usage.ru_utime + usage.ru_stime,
            "maxrss": None if usage is None else usage.ru_maxrss * _MAXRSS_UNIT,
        }
        if child.asked and child.deadline is None and child.stop.get("to") == "leader" and not child.killed:
            # Nobody has told the others, and there is no end of the grace that would.
            self._keeper.stopper.kill(child)
        if not child.asked and child.sweep:
            self._keeper.cgroups.kill(child)
            for pid, start in child.rest.items():
                try:
                    means.signal_process(pid, start, signal.SIGKILL)
                except PermissionError:
                    continue

    def settle(self, child: Child) -> None:
        """Report a child whose leader has ended, if nothing of it is left; else see that it will be noticed."""
        if child.end is None or child.key not in self._table.children:
            return
        if not child.sweep or not self._left(child):
            self.finish(child)
        elif child.key not in self._again:
            self._keeper.cgroups.when_empty(child, lambda: self._look_now(child))
            self._look_again(child, self._keeper.limits.leftover, _LOOK_AGAIN_FIRST)

    def _left(self, child: Child) -> bool:
        if child.rest and not means.orphans_come_to_us:
            child.rest = {pid: start for pid, start in child.rest.items() if _lives(pid, start)}
        left = bool(child.rest) or child.command is not None or self._keeper.cgroups.populated(child)
        if child.emptied:
            return left
        child.emptied = not group_exists(child.pid)
        return left or not child.emptied

    def finish(self, child: Child) -> None:
        """Nothing is left of it (or nobody waits for what is): forget and report it."""
        timer = self._again.pop(child.key, None)
        if timer is not None:
            timer.cancel()
        if child.timer is not None:
            child.timer.cancel()
        for fd in child.watches.values():
            self._keeper.loop.unwatch(fd)
            os.close(fd)
        child.watches.clear()
        self._keeper.cgroups.done(child)
        self._keeper.mains.forget(child)
        self._table.remove(child)
        end = child.end or {}
        self._keeper.child_ended(child, end)
        if child.asked:
            self._keeper.stopper.go_on(child.then)

    # --- what outlives its leader

    def _look_again(self, child: Child, seconds: float, following: float) -> None:
        self._again[child.key] = self._keeper.loop.later(seconds, lambda: self._still_there(child, following))

    def _still_there(self, child: Child, following: float) -> None:
        self._again.pop(child.key, None)
        if child.key not in self._table.children or child.end is None:
            return
        if not means.orphans_come_to_us:
            # One of them may have forked while it was being killed.
            self._keeper.adopter.look_without_adoption([child])
        if not self._left(child):
            self.finish(child)
            return
        members = self._keeper.stopper.members(child)
        if not members and not child.rest and child.command is None:
            # Zombies of somebody else's: they keep the number and nothing more.
            self.finish(child)
            return
        if child.killed or not child.asked:
            self._keeper.stopper.kill_rest(child)
        if not child.told_leftover:
            child.told_leftover = True
            pids = {each.pid for each in members} | set(child.rest)
            self._keeper.kept.event(
                "leftover",
                name=child.name,
                inc=child.inc,
                leader={"code": child.end["code"], "signal": child.end["signal"]},
                pids=[{"pid": pid, "command": means.command(pid)} for pid in sorted(pids)],
            )
        watched = True
        for member in members:
            if member.pid in child.watches or member.ppid == os.getpid():
                continue  # The end of a child of ours raises SIGCHLD.
            fd = means.watch_process(member.pid)
            if fd is None:
                watched = False
                continue
            child.watches[member.pid] = fd
            self._keeper.loop.watch(fd, lambda ready, pid=member.pid: self._member_ended(child, pid))  # type: ignore[misc]
        if means.orphans_come_to_us and watched and (members or child.rest):
            # Someone's end will tell. The entry keeps `reap` asking after every burst of exits.
            self._again[child.key] = Timer(float("inf"), lambda: None)
        else:
            self._look_again(child, following, min(following * 2, _LOOK_AGAIN_MOST))

    def _member_ended(self, child: Child, pid: int) -> None:
        fd = child.watches.pop(pid, None)
        if fd is not None:
            self._keeper.loop.unwatch(fd)
            os.close(fd)
        # Its parent may take a moment to reap it; until then the group exists.
        self._look_now(child)

    def _look_now(self, child: Child) -> None:
        timer = self._again.pop(child.key, None)
        if timer is not None:
            timer.cancel()
        self._look_again(child, 0.0, _LOOK_AGAIN_FIRST)

    def refresh(self) -> None:
        """Called with each ping: what was killed for want of memory before now was none of the next exits."""
        self._oom.forget()


def _lives(pid: int, start: int) -> bool:
    seen = means.process(pid)
    return seen is not None and seen.start == start and not seen.dead
