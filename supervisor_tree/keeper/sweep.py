"""Kill what is left of a tree (`processes.md` 7).

Called by the root and the logger once the keeper's death is proved, each alone and both at once; by
the keeper at the end of a tree; and by the next start for a life whose every process was killed.
"""

from __future__ import annotations

import os
import select
import signal
import time

from supervisor_tree.keeper import cgroup_names
from supervisor_tree.system import Process, means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from supervisor_tree.system.cgroup import Cgroup

    Row = Sequence[object]

ROLE = "SUPERVISOR_TREE_ROLE"
"""In the environment of root and logger only: ``root`` or ``logger``. A sweep leaves them to the last."""
_OTHERS_MAY_TAKE = 1.0
"""Seconds that the other sweeper (root or logger) gets to finish before it is killed too."""
_BETWEEN_SCANS = 0.01


def kill_all(
    tree_id: str,
    table: Iterable[Row] = (),
    spare: Iterable[int] = (),
    *,
    deadline: float | None = None,
    others: bool = True,
    heir: bool = False,
    cgroup: Cgroup | None = None,
) -> list[dict[str, object]]:
    """SIGKILL every process of a tree until two scans running find none.

    What belongs to it: whatever has ``SUPERVISOR_TREE_ID=tree_id`` in its exec-time environment, the groups and
    sessions of the processes that ``table`` names, and what is in the folders of its cgroup, which are removed.

    Args:
        tree_id: the id of the life to sweep.
        table: rows ``[name, incarnation, pid, start, …]`` as in ``hello``. Give rows of this boot and pid
            namespace only. A row whose pid belongs to another process now is ignored.
        spare: pids that are never touched. This process and pid 1 never are.
        deadline: on `time.monotonic`; after it the scan ends even if something is left. Default: 10 s from now.
        others: also kill another root or logger of that tree: last, after up to a second for it to end
            by itself, so that two sweeps at once don't disturb each other.
        heir: we are such a root or logger, and end after this: we say by our short name that we are done, and
            don't wait for one that has said so.
        cgroup: of a tree that we are not in. An heir knows its own.

    Returns:
        One ``{"name", "pid", "command"}`` for each process killed (name: None where unknown).

    Where there is no cgroup, a process that has left the session, wiped its environment and lost its parent is not
    found.
    """
    if heir:
        cgroup = cgroup_names.mine()
    end = time.monotonic() + 10 if deadline is None else deadline
    spared = {1, os.getpid(), *spare}
    scanner = _Scanner(tree_id, table, spared, cgroup)
    killed: dict[tuple[int, int], dict[str, object]] = {}
    empty = 0
    while empty < 2:
        found = scanner.scan()
        if not found:
            empty += 1
            continue
        empty = 0
        if time.monotonic() > end:
            break
        for each, name in found:
            if (each.pid, each.start) not in killed:
                killed[each.pid, each.start] = {"name": name, "pid": each.pid, "command": means.command(each.pid)}
            kill(each)
        scanner.kill_folders()
        _wait_for_one(found, _BETWEEN_SCANS)
    if heir:
        # Said before the other is looked at: of two that are done at once, one sees it and goes, the other sees that.
        means.call_self(_done_name(tree_id))
        scanner.sweepers = {pid: each for pid, each in scanner.sweepers.items() if not _is_done(each, tree_id)}
    if others and scanner.sweepers:
        _let_end(list(scanner.sweepers.values()), min(end, time.monotonic() + _OTHERS_MAY_TAKE))
    if cgroup is not None:
        _leave(cgroup)
    return list(killed.values())


def _leave(cgroup: Cgroup) -> None:
    cgroup.remove()  # in an heir's is the heir itself: the next start removes that
    try:
        cgroup_names.give_back(cgroup)
    except OSError:
        return  # Another tree is in the same cgroup, or the other sweeper was faster.


def half_spawned_name(tree_id: str) -> str:
    """The short name of a keeper, and so of a child that it was just making when it was killed.

    Between vfork and exec such a child has neither the tree's id in its environment nor a parent; without this name it
    would be missed, execute its program and live on.
    """
    return f"keeper-{tree_id[:8]}"


def _done_name(tree_id: str) -> str:
    return f"swept-{tree_id[:8]}"


def _is_done(process: Process, tree_id: str) -> bool:
    now = means.process(process.pid)
    return now is None or now.start != process.start or now.name == _done_name(tree_id)


def kill(process: Process) -> None:
    """SIGKILL for exactly this process; gone or not ours: nothing."""
    try:
        means.signal_process(process.pid, process.start, signal.SIGKILL)
    except PermissionError:
        return


class _Known:
    """The groups and sessions that the table names, each with the start time of its leader."""

    def __init__(self, table: Iterable[Row]) -> None:
        self.leaders: dict[int, tuple[int, str]] = {}
        for row in table:
            name, _, pid, start = row[:4]
            if isinstance(pid, int) and isinstance(start, int) and pid > 1:
                self.leaders[pid] = (start, str(name))

    def drop_reused(self, alive: dict[int, Process]) -> None:
        """Forget leaders whose pid is another process now: its group is not the tree's."""
        for pid in [pid for pid, (start, _) in self.leaders.items() if pid in alive and alive[pid].start != start]:
            del self.leaders[pid]

    def owner(self, process: Process) -> str | None:
        """Name of the worker whose group or session this is a member of.

        A member can't be older than the leader that made the group. A number is not given to a new process
        while a group or session of that number has members.
        """
        for number in (process.pid, process.pgrp, process.session):
            leader = self.leaders.get(number)
            if leader is not None and process.start >= leader[0]:
                return leader[1]
        return None


class _Scanner:
    """Walks over all processes, again and again; what turned out to be no part of the tree is asked only once."""

    def __init__(self, tree_id: str, table: Iterable[Row], spared: set[int], cgroup: Cgroup | None) -> None:
        self._cgroup = cgroup
        self._wanted = b"SUPERVISOR_TREE_ID=" + tree_id.encode()
        self._half_spawned = half_spawned_name(tree_id)
        self._known = _Known(table)
        self._spared = spared
        self._others: set[tuple[int, int]] = set()
        self.sweepers: dict[int, Process] = {}
        """Roots and loggers seen by the last `scan`."""

    def scan(self) -> list[tuple[Process, str | None]]:
        """Living processes of the tree but roots, loggers and the spared; each with its worker's name."""
        members = {pid: name for folder, name in self._folders() for pid in folder.members()}
        alive = {each.pid: each for each in means.processes() if not each.dead}
        self._known.drop_reused(alive)
        self.sweepers = {}
        found: list[tuple[Process, str | None]] = []
        for each in alive.values():
            if each.pid in self._spared:
                continue
            name = self._known.owner(each) or members.get(each.pid)
            if each.name == self._half_spawned:
                found.append((each, name))
                continue
            if name is None and (each.pid, each.start) in self._others:
                continue
            text = means.environment(each.pid)
            entries = text.split(b"\0") if text is not None and self._wanted in text else []
            if self._wanted in entries:
                if each.session == each.pid and value(entries, ROLE) is not None:
                    self.sweepers[each.pid] = each
                else:
                    found.append((each, value(entries, "SUPERVISOR_TREE_NAME") or name))
            elif name is not None:
                found.append((each, name))
            elif text != b"":  # Empty: perhaps in the middle of an exec.
                self._others.add((each.pid, each.start))
        return found

    def _folders(self) -> list[tuple[Cgroup, str]]:
        """Folders of workers, with their names."""
        folders = [] if self._cgroup is None else self._cgroup.folders()
        return [(each, name) for each in folders if (name := cgroup_names.worker(each.name)) is not None]

    def kill_folders(self) -> None:
        """SIGKILL to all that are in folders of workers: those that fork meanwhile don't get away."""
        for folder, _ in self._folders():
            try:
                folder.kill()
            except OSError:
                continue  # the other sweeper was faster


def value(entries: Iterable[bytes], key: str) -> str | None:
    """The value of ``key`` in an environment split at NUL."""
    start = key.encode() + b"="
    for each in entries:
        if each.startswith(start):
            return each[len(start) :].decode(errors="replace")
    return None


def _wait_for_one(found: list[tuple[Process, str | None]], seconds: float) -> None:
    """Until one of the killed has gone, at most ``seconds``: a SIGKILL takes effect within microseconds."""
    watch = means.watch_process(found[-1][0].pid)
    if watch is None:
        time.sleep(seconds)  # noqa: TID251 - there is no event to wait for
        return
    poller = select.poll()
    poller.register(watch, select.POLLIN)
    poller.poll(seconds * 1000)
    os.close(watch)


def _let_end(processes: list[Process], end: float) -> None:
    for each in processes:
        watch = means.watch_process(each.pid)
        if watch is not None:
            poller = select.poll()
            poller.register(watch, select.POLLIN)
            poller.poll(max(0.0, end - time.monotonic()) * 1000)
            os.close(watch)
        else:
            while means.process_identity(each.pid) == each.start and time.monotonic() < end:
                time.sleep(_BETWEEN_SCANS)  # noqa: TID251 - there is no event to wait for
        kill(each)
