"""What the system knows of a worker's processes: two looks a moment apart, and what is between them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

from msgspec import Struct

from supervisor_tree.system import means
from supervisor_tree.system.look import Look, ThreadLook
from supervisor_tree.system.means import Process

_PROCESSES = 32
"""Processes of one worker that are looked at."""
_COMMAND = 200
"""Characters of a command line that are kept."""
_WALK_LASTS = 0.25
"""Seconds for which one walk over all processes serves: many workers may fall silent together."""


BUSY = 0.5
"""Share of one processor from which somebody computes rather than waits; …"""
_WANTED = 0.75
"""… and with the time for which it was ready, and others had the processors: a machine may have no more to give; …"""
_SQUEEZED = 0.1
"""… and where it was seen ready to run both times: that time is told not by every system, nor before it is over.
Who was ready both times and has not begun to wait in between computes, however little the others left for it."""


class Thread(Struct, frozen=True, kw_only=True):
    tid: int
    name: str
    state: str
    """As in ``ps``, in the second look."""
    cpu: float = 0.0
    """Share of one processor between the looks."""
    busy: bool = False
    """It computes; else it waits."""
    does: str = ""
    """As `ThreadLook.does`, in the second look; empty where it did another thing in the first."""
    fd: int | None = None
    target: str = ""
    where: str = ""


class Facts(Struct, frozen=True, kw_only=True):
    """One process over the time of two looks."""

    pid: int
    parent: int
    name: str
    command: str
    state: str
    cpu: float
    busy: bool = False
    resident: int
    swapped: int = 0
    faults: int = 0
    """How often it waited for memory to come from a disk, between the looks."""
    tracer: int = 0
    tracer_name: str = ""
    threads: tuple[Thread, ...] = ()
    """The main thread first."""
    more_threads: int = 0


class Looks(Struct, frozen=True):
    """All processes of a worker at one moment (monotonic)."""

    at: float
    seen: Mapping[int, Look]
    more: int = 0
    """Processes that were not looked at."""


class Looker:
    """Looks at workers; called in threads."""

    def __init__(self) -> None:
        self._walk: tuple[float, list[Process]] = (-1.0, [])

    def look(self, leader: int) -> Looks:
        """The leader, its group, its session, its descendants."""
        pids = self._members(leader)
        looks = ((pid, means.look(pid) or _by_psutil(pid)) for pid in pids[:_PROCESSES])
        return Looks(time.monotonic(), {pid: seen for pid, seen in looks if seen is not None}, len(pids[_PROCESSES:]))

    def _members(self, leader: int) -> list[int]:
        at, walk = self._walk
        if time.monotonic() - at > _WALK_LASTS:
            walk = means.processes()
            self._walk = (time.monotonic(), walk)
        found = {each.pid: None for each in walk if leader in (each.pgrp, each.session) and not each.dead}
        children: dict[int, list[int]] = {}
        for each in walk:
            if not each.dead:
                children.setdefault(each.ppid, []).append(each.pid)
        waiting = [leader, *found]
        while waiting:
            for pid in children.get(waiting.pop(), ()):
                if pid not in found:
                    found[pid] = None
                    waiting.append(pid)
        return [leader, *sorted(pid for pid in found if pid != leader)]


def between(first: Looks, second: Looks) -> list[Facts]:
    """The processes that lived in both looks (of one that is only in the second: since its beginning), leader first."""
    apart = max(second.at - first.at, 0.001)
    return [_facts(first.seen.get(pid), now, apart) for pid, now in second.seen.items()]


def stopped(pid: int) -> list[Facts]:
    """Where no look came to an end (a machine that is too busy): whether it is stopped, which one small file tells."""
    process = means.process(pid)
    if process is None or process.state not in "Tt":
        return []
    return [
        Facts(pid=pid, parent=process.ppid, name=process.name, command="", state=process.state, cpu=0.0, resident=0)
    ]


def _facts(before: Look | None, now: Look, apart: float) -> Facts:
    if before is not None and before.process.start != now.process.start:
        before = None
    earlier = {} if before is None else {thread.tid: thread for thread in before.threads}
    cpu = 0.0 if before is None else (now.cpu - before.cpu) / apart
    queued = sum(thread.queued - earlier[thread.tid].queued for thread in now.threads if thread.tid in earlier)
    steady = bool(now.threads) and _is_steady(earlier.get(now.process.pid), now.threads[0])
    busy = _is_busy(cpu, queued / apart, before.process.state if before is not None else "", now.process.state, steady)
    return Facts(
        pid=now.process.pid,
        parent=now.process.ppid,
        name=now.process.name,
        command=now.command[:_COMMAND],
        state=now.process.state,
        cpu=cpu,
        busy=busy,
        resident=now.resident,
        swapped=now.swapped,
        faults=0 if before is None else now.major_faults - before.major_faults,
        tracer=now.tracer,
        tracer_name=_name_of(now.tracer),
        threads=tuple(_thread(earlier.get(thread.tid), thread, apart, cpu if busy else None) for thread in now.threads),
        more_threads=now.uncounted,
    )


def _thread(before: ThreadLook | None, now: ThreadLook, apart: float, of_all: float | None) -> Thread:
    """``of_all``: what its process used, where that is busy."""
    cpu = 0.0 if before is None else (now.cpu - before.cpu) / apart
    queued = 0.0 if before is None else (now.queued - before.queued) / apart
    same = before is None or before.does in ("", now.does)
    return Thread(
        tid=now.tid,
        name=now.name,
        state=now.state,
        cpu=cpu,
        # Where a thread's state can't be told, it is busy if most of its process's time is its own.
        busy=_is_busy(cpu, queued, before.state if before is not None else "", now.state, _is_steady(before, now))
        or (now.state == "?" and of_all is not None and cpu >= of_all / 2),
        does=now.does if same else "",
        fd=now.fd if same else None,
        target=now.target if same else "",
        where=now.where,
    )


def _is_steady(before: ThreadLook | None, now: ThreadLook) -> bool:
    """Whether it did not begin to wait for anything between the looks."""
    return before is not None and before.tid == now.tid and now.waits is not None and before.waits == now.waits


def _is_busy(cpu: float, queued: float, before: str, now: str, steady: bool) -> bool:
    if before == now == "R":
        return steady or cpu > _SQUEEZED or cpu + queued > BUSY
    return cpu > BUSY or cpu + queued > _WANTED


def _name_of(pid: int) -> str:
    seen = means.process(pid) if pid else None
    return "" if seen is None else seen.name


_LETTERS = {
    "running": "R",
    "sleeping": "S",
    "idle": "S",
    "disk-sleep": "D",
    "stopped": "T",
    "tracing-stop": "t",
    "zombie": "Z",
    "dead": "X",
}


def _by_psutil(pid: int) -> Look | None:
    """Where the system's own means don't say: no system calls, and threads only where we may see them."""
    import psutil

    seen = means.process(pid)
    if seen is None:
        return None
    found = Look(seen)
    found.command = means.command(pid)
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            seen.state = _LETTERS.get(process.status(), "?")
            times = process.cpu_times()
            found.cpu = times.user + times.system
            memory = process.memory_info()
            found.resident = memory.rss
            found.major_faults = getattr(memory, "pageins", 0)
    except psutil.Error:
        return found
    with contextlib.suppress(psutil.Error, NotImplementedError):
        threads = process.threads()
        for thread in sorted(threads, key=lambda each: each.id)[:64]:
            found.threads.append(ThreadLook(thread.id, "", "?", thread.user_time + thread.system_time))
        found.uncounted = len(threads[64:])
    return found


def peer(pid: int, fd: int) -> str:
    """``10.0.0.5:443`` for a socket that is connected to there; empty when it is none, or can't be told."""
    import psutil

    try:
        for connection in psutil.Process(pid).net_connections(kind="inet"):
            if connection.fd == fd and connection.raddr:
                return f"{connection.raddr.ip}:{connection.raddr.port}"
    except (psutil.Error, OSError, NotImplementedError):
        return ""
    return ""
