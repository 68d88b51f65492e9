"""What the processes of limited workers cost: one walk over all processes a look, however many workers there are.

Where each worker has a cgroup, that says who belongs to it and counts its CPU, so nothing else is walked over; and its
memory, where the tree has that controller.

Otherwise resident memory is what a walk tells, and it counts a page once for each process that has it: workers forked
by one zygote all have numpy. So a worker that seems to be over its limit is asked for the exact figure (PSS, where each
of N sharers counts an N-th; USS on macOS), which costs a walk of its page tables. Where that may not be read, resident
memory is what counts.

Runs in a thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor_tree.core.limits import BACK, Identity, Meter, Worker, identity, owners
from supervisor_tree.keeper import cgroup_names
from supervisor_tree.system import Cost, means

if TYPE_CHECKING:
    from supervisor_tree.system.cgroup import Cgroup

_BIGGEST = 3
"""Processes named when a limit is passed …"""
_WORDS = 200
"""… and so many characters of their command lines."""


class Wanted(NamedTuple):
    """A worker whose limits are watched; ``None``: no such limit."""

    worker: Worker
    pid: int
    memory_max: int | None
    cpu_max: float | None


class Used(NamedTuple):
    """What a worker uses: bytes, and cores on average (None: not seen long enough)."""

    worker: Worker
    memory: int
    cpu: float | None
    biggest: dict[str, list[dict[str, Any]]]
    """By limit that may have been passed: the processes that cost most."""


class Sampler:
    """Remembers the looks before. Not to be used by two threads at once."""

    def __init__(self, keeper: int) -> None:
        self._adopters = (keeper, 1)
        """Whose children may be orphans of a worker."""
        self._top = cgroup_names.mine()
        self._folders: dict[Worker, Cgroup] = {}
        self._meters: dict[Worker, Meter] = {}
        self._known: dict[Identity, Worker | None] = {}
        self.cost = 0.0
        """Seconds of CPU that the last look took."""

    def look(self, wanted: list[Wanted], others: Collection[int]) -> list[Used]:
        """One look at these; of what is none of theirs any more all is forgotten.

        ``others``: pids of the workers that have no limit, which are no orphans.
        """
        at, began = time.monotonic(), time.thread_time()
        leaders = {each.pid: each.worker for each in wanted}
        workers = set(leaders.values())
        self._find_folders(wanted)
        members = {pid: worker for worker, folder in self._folders.items() for pid in folder.members()}
        only = members if len(self._folders) == len(workers) else None
        costs = means.costs(only) or ([] if only is not None else _by_psutil())
        self._known |= {identity(cost): members[cost.pid] for cost in costs if cost.pid in members}
        self._know_orphans([cost for cost in costs if cost.pid not in others], leaders, workers)
        owned = owners(costs, leaders, self._known)
        groups: dict[Worker, list[Cost]] = {worker: [] for worker in workers}
        known: dict[Identity, Worker | None] = {}
        for cost in costs:
            owner, key = owned.get(cost.pid), identity(cost)
            if owner is not None:
                groups[owner].append(cost)
                known[key] = owner
            elif key in self._known:
                known[key] = None
        self._known = known
        self._meters = {worker: self._meters.get(worker) or Meter() for worker in workers}
        used = [self._used(each, groups[each.worker], at) for each in wanted]
        self.cost = time.thread_time() - began
        return used

    def _know_orphans(self, costs: Iterable[Cost], leaders: dict[int, Worker], workers: set[Worker]) -> None:
        """A daemon has left session and parent; what it was executed with tells whose it is. Each is asked once."""
        known = {key: owner for key, owner in self._known.items() if owner is None or owner in workers}
        for cost in costs:
            if cost.ppid in self._adopters and cost.session not in leaders and identity(cost) not in known:
                known[identity(cost)] = _named(cost.pid, workers)
        self._known = known

    def _find_folders(self, wanted: list[Wanted]) -> None:
        """By where their leaders are: asked once, soon after their start."""
        top = self._top
        if top is None:
            return
        self._folders = {each.worker: known for each in wanted if (known := self._folders.get(each.worker)) is not None}
        for each in wanted:
            if each.worker not in self._folders:
                name = cgroup_names.below(top, means.cgroup_line(each.pid))
                if name is not None and cgroup_names.worker(name) is not None:
                    self._folders[each.worker] = top.child(name)

    def _used(self, wanted: Wanted, group: list[Cost], at: float) -> Used:
        meter, folder = self._meters[wanted.worker], self._folders.get(wanted.worker)
        meter.take(at, group, None if folder is None else folder.spent())
        biggest: dict[str, list[dict[str, Any]]] = {}
        memory, of = _memory(wanted.memory_max, group, folder)
        if wanted.memory_max is not None and memory > wanted.memory_max:
            biggest["memory"] = _biggest(of, "memory")
        cpu = meter.mean
        if cpu is not None and wanted.cpu_max is not None and cpu > wanted.cpu_max:
            biggest["cpu"] = _biggest({pid: round(cores, 2) for pid, cores in meter.last.items()}, "cpu")
        return Used(wanted.worker, memory, cpu, biggest)


def _memory(limit: int | None, group: list[Cost], folder: Cgroup | None) -> tuple[int, dict[int, int]]:
    """Bytes that a worker has, as exactly as it must be known; and of each process."""
    resident = {cost.pid: cost.memory for cost in group}
    held = None if folder is None else folder.memory()
    if held is not None:
        return held, resident
    if limit is not None and sum(resident.values()) > limit * BACK:
        resident = {cost.pid: _exact(cost) for cost in group}
    return sum(resident.values()), resident


def _named(pid: int, workers: set[Worker]) -> Worker | None:
    """The worker that a process' environment names, if it is one of these."""
    said = dict(line.partition(b"=")[::2] for line in (means.environment(pid) or b"").split(b"\0"))
    name, incarnation = said.get(b"SUPERVISOR_TREE_NAME", b""), said.get(b"SUPERVISOR_TREE_INCARNATION", b"")
    worker = os.fsdecode(name), int(incarnation) if incarnation.isdigit() else 0
    return worker if worker in workers else None


def _biggest(values: dict[int, Any], unit: str) -> list[dict[str, Any]]:
    pids = sorted(values, key=lambda pid: values[pid], reverse=True)[:_BIGGEST]
    return [{"pid": pid, "command": means.command(pid)[:_WORDS], unit: values[pid]} for pid in pids if values[pid]]


def _exact(cost: Cost) -> int:
    """Bytes that would be free if this process ended, as far as the system says; else what it has resident."""
    import psutil

    try:
        full = psutil.Process(cost.pid).memory_full_info()
    except psutil.Error:
        return cost.memory
    return int(getattr(full, "pss", full.uss))


def _by_psutil() -> list[Cost]:
    """Where the system's own means don't say."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                session = os.getsid(process.pid)
                times, memory = process.cpu_times(), process.memory_info().rss
                start = int(process.create_time() * 1_000_000)
                spent, reaped = times.user + times.system, times.children_user + times.children_system
                found.append(Cost(process.pid, process.ppid(), session, start, spent, reaped, memory))
        except (psutil.Error, OSError):
            continue
    return found
