"""Adopted processes: whose is a process that lost its parent? (`processes.md` 12)

Looked for once after each burst of exits and before a stop: one read of a file of /proc, and no more unless the
number of children is not the known one.
"""

from __future__ import annotations

import os
import signal

from supervisor_tree.keeper.sweep import ROLE, kill, value
from supervisor_tree.keeper.table import Adopted
from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.table import Child, Key
    from supervisor_tree.system import Process


class Adopter:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._table = keeper.table
        self._first = os.getpid() == 1
        self._reported: dict[int, Child] = {}
        """Ends that were reported before this look, by the number of their group and session."""

    def reported(self, child: Child) -> None:
        """The end of a crashed child was reported before looking: nothing of its group is left, and looking at 1,000
        children takes as long as a restart. What the look finds is killed before its name is started anew."""
        self._reported[child.pid] = child

    def let_start(self) -> list[str]:
        """After a look: names of which nothing lingers any more."""
        lingering = self._table.lingering
        free = [name for name, pids in lingering.items() if not pids]
        for name in free:
            del lingering[name]
        self._reported = {number: child for number, child in self._reported.items() if child.name in lingering}
        return free

    def look(self) -> None:
        """Find, attribute and, where their worker has ended, kill newly adopted processes."""
        if not means.orphans_come_to_us:
            return
        table = self._table
        if means.number_of_children() == table.direct():
            return
        pids = means.own_children() or ()
        for pid in pids:
            if pid in table.leaders or pid in table.adopted or pid in table.others or pid in table.forked:
                continue
            seen = means.process(pid)
            # A zombie is reaped by the SIGCHLD that comes with it.
            if seen is not None and not seen.dead:
                self._adopt(seen)

    def look_without_adoption(self, ended: list[Child]) -> None:
        """`look` where orphans go to init: one walk for all children that ended in this burst."""
        wanted = {child.key: child for child in ended if child.sweep}
        if not wanted:
            return
        tree_id = self._keeper.tree_id
        for seen in means.processes_of(tree_id):
            if any(seen.pid in known for known in (self._table.leaders, self._table.forked, self._table.others)):
                continue
            key = _named(means.environment(seen.pid) or b"", tree_id)[0]
            child = None if key is None else wanted.get(key)
            if child is not None:
                self._belongs(seen, child)
        for child in wanted.values():
            for pid, start in child.lineage.items():
                known = means.process(pid)
                if known is not None and known.start == start and not known.dead and pid not in child.rest:
                    self._belongs(known, child)

    def _adopt(self, seen: Process) -> None:
        table = self._table
        child, key, ours = self._whose(seen)
        if child is None and ours == "id" and self._keeper.zygotes.may_be_forking(key):
            return  # It says itself who it is in a moment, or ends.
        if child is None and not ours and means.command(seen.pid) == f"[{seen.name}]":
            return  # Neither environment nor arguments: it is ending, its memory is given back already.
        adopted = table.adopted[seen.pid] = Adopted(seen.pid, seen.start, key)
        if child is not None:
            adopted.key = child.key
            self._belongs(seen, child)
        elif key is not None:
            # Of an incarnation that is over, by its environment.
            if key[0] not in self._keeper.left_on_purpose:
                self._lingers(seen, key[0])
        elif ours == "role":
            # What a root or logger that died had started.
            kill(seen)
        elif not (self._first and ours == ""):
            self._keeper.kept.event("adopted", pid=seen.pid, command=means.command(seen.pid))

    def _lingers(self, seen: Process, name: str) -> None:
        self._table.lingering.setdefault(name, {})[seen.pid] = seen.start
        kill(seen)

    def _belongs(self, seen: Process, child: Child) -> None:
        if child.key not in self._table.children:
            self._lingers(seen, child.name)
            return
        child.rest[seen.pid] = seen.start
        if not child.sweep:
            return
        if child.killed or (child.end is not None and not child.asked):
            kill(seen)
        elif seen.pid == child.main:
            return  # It is told by its number.
        elif child.asked and child.command is None and child.stop.get("to") != "leader":
            try:
                means.signal_process(seen.pid, seen.start, self._keeper.stopper.number(child))
            except PermissionError:
                return

    def owner(self, seen: Process) -> Child | None:
        """The living child that a process belongs to, by its cgroup, group, session, environment or lineage."""
        return self._whose(seen)[0]

    def _whose(self, seen: Process) -> tuple[Child | None, Key | None, str]:
        """The child it belongs to, or the name that it was of, and how its environment is ours."""
        table = self._table
        key = self._keeper.cgroups.whose(seen.pid)
        if key is not None:
            return table.children.get(key), key, "cgroup"
        for number in (seen.session, seen.pgrp):
            child = table.groups.get(number) or self._reported.get(number)
            if child is not None and seen.start >= child.start:
                return child, child.key, "group"
        key, ours = _named(means.environment(seen.pid) or b"", self._keeper.tree_id)
        if key is not None:
            return table.children.get(key), key, ours
        for child in table.children.values():
            if child.lineage.get(seen.pid) == seen.start:
                return child, child.key, "lineage"
        return None, None, ours

    def remember(self, child: Child) -> None:
        """Note the descendants of a living leader, so that they are known when they lose their parents."""
        if not child.sweep or child.end is not None:
            return
        for pid in (None if child.reaped else child.pid, child.main):
            for seen in () if pid is None else means.descendants(pid):
                child.lineage[seen.pid] = seen.start

    def reaped(self, pid: int) -> Child | None:
        """An adopted process is gone; the child it belonged to, if any."""
        adopted = self._table.adopted.pop(pid, None)
        if adopted is None or adopted.key is None:
            return None
        lingering = self._table.lingering.get(adopted.key[0])
        if lingering is not None:
            lingering.pop(pid, None)
        child = self._table.children.get(adopted.key)
        if child is not None:
            child.rest.pop(pid, None)
        return child

    def left_on_purpose(self) -> list[int]:
        """pids of what workers with `sweep = false` have left behind."""
        wanted = self._keeper.left_on_purpose
        if not wanted:
            return []
        tree_id = self._keeper.tree_id
        found = []
        for each in means.processes_of(tree_id):
            key = _named(means.environment(each.pid) or b"", tree_id)[0]
            if key is not None and key[0] in wanted:
                found.append(each.pid)
        return found

    def strangers(self) -> list[Adopted]:
        """Adopted processes that belong to nobody."""
        return [each for each in self._table.adopted.values() if each.key is None]

    def signal_strangers(self, number: signal.Signals) -> None:
        """Signal them all; where we are PID 1, that is everybody else's orphans too, as init does at its end."""
        for each in self.strangers():
            try:
                means.signal_process(each.pid, each.start, number)
            except PermissionError:
                continue


def _named(environment: bytes, tree_id: str) -> tuple[Key | None, str]:
    """Name and incarnation in an environment of this tree; and ``"role"``, ``"id"`` or ``""`` for not ours."""
    if tree_id.encode() not in environment:
        return None, ""
    entries = environment.split(b"\0")
    if value(entries, "SUPERVISOR_TREE_ID") != tree_id:
        return None, ""
    if value(entries, ROLE) is not None:
        return None, "role"
    name, inc = value(entries, "SUPERVISOR_TREE_NAME"), value(entries, "SUPERVISOR_TREE_INCARNATION")
    if name is None or inc is None or not inc.isdigit():
        return None, "id"
    return (name, int(inc)), "id"
