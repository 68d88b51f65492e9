"""Stopping one worker: stop signal or command, the grace, KILL (`processes.md` 11)."""

from __future__ import annotations

import os
import signal
import time

from supervisor_tree.keeper.spawn import SpawnError, find_program
from supervisor_tree.system import SystemMeansError, means
from supervisor_tree.system.means import group_exists, signal_group, signal_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.table import Child, Next
    from supervisor_tree.system import Process


class Stopper:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def request(self, child: Child, grace: float | None) -> None:
        """Stop a child. ``grace`` in seconds until KILL; None: never; 0: KILL now. Again with less: hurry."""
        if grace is not None:
            deadline = time.monotonic() + grace
            if child.deadline is None or deadline < child.deadline:
                child.deadline = deadline
        first = not child.asked
        child.asked = True
        if first and child.end is not None:
            return  # It crashed by itself and its rest has been killed already.
        if grace == 0 or child.launch is not None:
            self.kill(child)
            return
        if first:
            self._keeper.adopter.remember(child)
            if child.stop.get("command"):
                self._run_command(child)
            else:
                self.ask(child)
        self._arm(child)

    def go_on(self, then: Sequence[Next]) -> None:
        """Stop the first of these that is still there; the others are for its end.

        The root told of them with the stop before: in an ordered stop nobody waits for its answers."""
        for place, (name, inc, grace) in enumerate(then):
            child = self._keeper.table.children.get((name, inc))
            if child is not None:
                if not child.asked:
                    child.then = then[place + 1 :]
                    self.request(child, grace)
                return

    def number(self, child: Child) -> int:
        """Its stop signal."""
        try:
            return signal_number(child.stop.get("signal") or "TERM")
        except SystemMeansError:
            return signal.SIGTERM

    def ask(self, child: Child) -> None:
        """Send the stop signal."""
        self.signal(child, self.number(child), to_leader=child.stop.get("to") == "leader")
        # A stopped process would not see it before its KILL.
        self.signal(child, signal.SIGCONT, to_leader=child.stop.get("to") == "leader")

    def signal(self, child: Child, number: int, *, to_leader: bool) -> None:
        """Signal the group and what else belongs to it, or the leader only. What is gone is ignored."""
        if to_leader:
            if child.main is not None:
                _signal(child.main, child.main_start, number)
            elif not child.reaped:
                _signal(child.pid, child.start, number)
            return
        told = self._signal_groups(child, number)
        if child.main is not None and not told:
            _signal(child.main, child.main_start, number)
        if child.sweep:
            for pid, start in list(child.rest.items()):
                if pid != child.main:
                    _signal(pid, start, number)

    def _signal_groups(self, child: Child, number: int) -> bool:
        """Signal the groups that are its own. Whether its main process, if it named one, is in one of them: it gets a
        signal once, for many programs take a second one as “at once”."""
        mains = self._keeper.mains
        numbers = mains.groups(child)
        told = child.main is not None and mains.group(child) in numbers
        for group in numbers:
            signal_group(group, number)
        return told

    def kill(self, child: Child) -> None:
        """SIGKILL to everything of it that is known; what is found later is killed when it is found."""
        child.killed = True
        child.deadline = None
        self._disarm(child)
        self._keeper.adopter.remember(child)
        self.kill_groups(child)
        if child.forked and not child.reaped:
            # It may not have got as far as a group of its own.
            _signal(child.pid, child.start, signal.SIGKILL)
            self._keeper.zygotes.forks.was_killed(child.pid)
        if child.command is not None:
            signal_group(child.command, signal.SIGKILL)
        self.kill_rest(child)

    def kill_groups(self, child: Child) -> None:
        """SIGKILL to the groups that are its own, and to its main process."""
        self._signal_groups(child, signal.SIGKILL)
        if child.main is not None:
            _signal(child.main, child.main_start, signal.SIGKILL)

    def kill_rest(self, child: Child) -> None:
        """SIGKILL to all of it but the leader; where it has a cgroup, to the leader too."""
        if not child.sweep:
            return
        self._keeper.cgroups.kill(child)
        for pid, start in [*child.rest.items(), *child.lineage.items()]:
            _signal(pid, start, signal.SIGKILL)
        if child.end is not None:
            for member in self.members(child):
                _signal(member.pid, member.start, signal.SIGKILL)

    def members(self, child: Child) -> list[Process]:
        """What lives of one whose leader is gone: of its cgroup; and of its group or session, by a full walk."""
        found = self._keeper.cgroups.members(child)
        if not child.emptied and group_exists(child.pid):
            known = {each.pid for each in found}
            found += [
                each
                for each in means.processes()
                if child.pid in (each.pgrp, each.session)
                and each.start >= child.start
                and not each.dead
                and each.pid not in known
            ]
        return found

    def _arm(self, child: Child) -> None:
        if child.deadline is None:
            return
        self._disarm(child)
        child.timer = self._keeper.loop.at(child.deadline, lambda: self._overdue(child))

    @staticmethod
    def _disarm(child: Child) -> None:
        if child.timer is not None:
            child.timer.cancel()
            child.timer = None

    def _overdue(self, child: Child) -> None:
        if child.key in self._keeper.table.children:
            self.kill(child)
            self._keeper.reaper.settle(child)

    # --- stop_command

    def _run_command(self, child: Child) -> None:
        keeper = self._keeper
        command = child.stop["command"]
        overlay = command.get("env")
        env = child.env or {}
        if overlay is not None:
            env = keeper.spawner.environment(overlay)
        out = keeper.logger.reopen(child)
        try:
            path = find_program(command["argv"][0], env, command.get("cwd"))
            target = keeper.spawner.null if out is None else out
            with keeper.cgroups.inside(child.cgroup):
                pid = keeper.spawner.start(path, command["argv"], env, target, target, cwd=command.get("cwd"))
        except SpawnError as error:
            keeper.kept.event("stop_command_failed", name=child.name, inc=child.inc, reason=error.reason)
            self.ask(child)
            return
        finally:
            if out is not None:
                os.close(out)
        child.command = pid
        keeper.table.others[pid] = _StopCommand(keeper, child)


class _StopCommand:
    """What a stop command's end means: failure falls back to the stop signal."""

    alone = False

    def __init__(self, keeper: Keeper, child: Child) -> None:
        self._keeper = keeper
        self._child = child

    def ended(self, status: int) -> None:
        child = self._child
        child.command = None
        if child.end is None and status != 0 and not child.killed:
            code = os.waitstatus_to_exitcode(status)
            said = f"exit status {code}" if code >= 0 else f"signal {-code}"
            self._keeper.kept.event(
                "stop_command_failed", name=child.name, inc=child.inc, reason=f"the stop command ended with {said}"
            )
            self._keeper.stopper.ask(child)
        self._keeper.reaper.settle(child)


def _signal(pid: int, start: int, number: int) -> None:
    try:
        means.signal_process(pid, start, number)
    except PermissionError:
        return
