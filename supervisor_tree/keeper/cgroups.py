"""A cgroup of its own for each worker, where the system has left us one to divide (systemd's ``Delegate=yes``).

The keeper moves itself there for the moment of a vfork, so that what it starts is in it from the first instruction on.
(To write the child's number afterwards races with its first fork; a helper would cost an exec.) A fork of a zygote is
moved before its *go*. Whatever fails is said once and the worker runs without. Where nothing is delegated, nothing of
this is done.
"""

from __future__ import annotations

import os
import select

from supervisor_tree.keeper import cgroup_names
from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.table import Child, Key
    from supervisor_tree.system import Process
    from supervisor_tree.system.cgroup import Cgroup

_OF_ONE_NAME = 100
"""Folders of one name that are tried: those before may have been left with daemons in them, on purpose."""


class Cgroups:
    """Made before the first child: what is started later is in the folder that this process has moved to."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.own = means.own_cgroup()
        """Where we were started."""
        self._top: Cgroup | None = None
        self._home: Cgroup | None = None
        self._of: dict[str, Key] = {}
        """Whose each folder is, by its name."""
        self._left: list[Cgroup] = []
        """Folders whose workers are over, and in which something lives."""
        self._watched: dict[str, int] = {}
        """Descriptors that tell when a folder is empty, by its name."""
        self._refused: str | None = None
        self._told: set[str] = set()
        self._away = False
        """We are in a worker's folder, and could not leave it."""
        if self.own is not None and self.own.is_ours:
            self._settle(self.own)

    def _settle(self, own: Cgroup) -> None:
        cgroup_names.remove_left(own)
        top = own.child(cgroup_names.of_tree(self._keeper.tree_id))
        home = top.child(cgroup_names.HOME)
        try:
            top.make()
            home.make()
            home.take()
        except OSError as error:
            self._refused = f"{home.path}: {error.strerror}"
            top.remove()
            return
        self._top, self._home = top, home
        # Only now: a folder whose controllers its folders have may hold no process itself.
        own.enable()
        top.enable()

    def tell(self) -> None:
        """Once somebody listens: what there is."""
        if self._top is not None:
            controllers = " ".join(self._top.controllers)
            self._keeper.kept.event("cgroups", folder=self._top.path, controllers=controllers or None)
        elif self._refused is not None:
            self._tell(None, self._refused)

    def note(self) -> dict[str, Any]:
        """For the next start, should this one be killed: a part of what the lock's file says."""
        return {} if self._top is None else {"cgroup": cgroup_names.note(self._top)}

    def _tell(self, child: str | None, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            self._keeper.kept.event("no_cgroup", name=child, reason=reason)

    # --- a worker begins

    def make(self, name: str) -> Cgroup | None:
        """A folder for a start of this worker; None: it gets none."""
        if self._top is None:
            return None
        self._left = [each for each in self._left if not self._remove(each)]
        for number in range(1, _OF_ONE_NAME):
            folder = self._top.child(cgroup_names.of_worker(name, number))
            try:
                folder.make()
            except FileExistsError:
                continue
            except OSError as error:
                self._tell(name, f"{self._top.path}: {error.strerror}")
                return None
            return folder
        self._tell(name, f"{self._top.path}: too many are left of it")
        return None

    def inside(self, folder: Cgroup | None) -> _Stay:
        """A context in which we, and so whoever is started, are in that folder."""
        return _Stay(self, folder)

    def enter(self, folder: Cgroup) -> None:
        """Move there, if it can be."""
        try:
            folder.take()
        except OSError as error:
            self._tell(cgroup_names.worker(folder.name), f"it can't be entered: {error.strerror}")
            # Gone, it tells nothing; there, it would say that nothing of the worker lives.
            self._remove(folder)
        else:
            self._away = True

    def go_home(self) -> bool:
        """Whether we are where we belong."""
        if self._away and self._home is not None:
            try:
                self._home.take()
                self._away = False
            except OSError as error:
                self._tell(None, f"{self._home.path}: {error.strerror}")
        return not self._away

    def belongs(self, folder: Cgroup | None, child: Child) -> None:
        """It was started in that folder."""
        if folder is not None:
            child.cgroup = folder
            self._of[folder.name] = child.key

    def take(self, child: Child) -> None:
        """Move one that was forked by a zygote to a folder of its own."""
        folder = self.make(child.name)
        if folder is None:
            return
        try:
            folder.take(child.pid)
        except ProcessLookupError:
            folder.remove()  # dead already
        except OSError as error:
            self._tell(child.name, f"it can't be entered: {error.strerror}")
            folder.remove()
        else:
            self.belongs(folder, child)

    def drop(self, folder: Cgroup | None) -> None:
        """Nothing was started in it."""
        if folder is not None and not self._remove(folder):
            self._left.append(folder)

    # --- while it lives

    def whose(self, pid: int) -> Key | None:
        """The incarnation in whose folder a process is."""
        if self._top is None:
            return None
        name = cgroup_names.below(self._top, means.cgroup_line(pid))
        return None if name is None else self._of.get(name)

    def populated(self, child: Child) -> bool:
        return child.cgroup is not None and child.cgroup.populated

    def members(self, child: Child) -> list[Process]:
        """Living processes in its folder."""
        pids = [] if child.cgroup is None else child.cgroup.members()
        return [seen for seen in map(means.process, pids) if seen is not None and not seen.dead]

    def oom_killed(self, child: Child) -> bool | None:
        """Whether the kernel has killed any of it for want of memory; None: not known by its folder."""
        kills = None if child.cgroup is None else child.cgroup.oom_kills()
        return None if kills is None else kills > 0

    def kill(self, child: Child) -> None:
        """SIGKILL to all in its folder."""
        if child.cgroup is not None and self.go_home():
            try:
                child.cgroup.kill()
            except OSError:
                return  # it is gone

    def when_empty(self, child: Child, call: Callable[[], object]) -> None:
        """Call once nothing lives in its folder, unless `done` comes first."""
        folder = child.cgroup
        if folder is None or folder.name in self._watched:
            return
        try:
            events = folder.events()
        except OSError:
            return
        self._watched[folder.name] = events

        def changed(_ready: int) -> None:
            if not folder.is_populated(events):
                self._unwatch(folder)
                call()

        self._keeper.loop.watch(events, changed, select.POLLPRI)

    # --- it is over

    def done(self, child: Child) -> None:
        """It is over: its folder goes, if nothing was left in it on purpose."""
        if child.cgroup is not None:
            self._unwatch(child.cgroup)
            self.drop(child.cgroup)
            child.cgroup = None

    def _remove(self, folder: Cgroup) -> bool:
        if folder.populated or not folder.remove():
            return False
        self._of.pop(folder.name, None)
        return True

    def _unwatch(self, folder: Cgroup) -> None:
        events = self._watched.pop(folder.name, None)
        if events is not None:
            self._keeper.loop.unwatch(events)
            os.close(events)

    def leave(self) -> None:
        """The tree is over: back to where we were started, and no folder is left that nothing lives in."""
        if self._top is None or self.own is None:
            return
        try:
            cgroup_names.give_back(self._top)
            self.own.take()
        except OSError:
            return  # Another tree is here, too: it, or the next start, removes our folders.
        self._top.remove()


class _Stay:
    __slots__ = ("_cgroups", "_folder")

    def __init__(self, cgroups: Cgroups, folder: Cgroup | None) -> None:
        self._cgroups = cgroups
        self._folder = folder

    def __enter__(self) -> None:
        if self._folder is not None:
            self._cgroups.enter(self._folder)

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._cgroups.go_home()
