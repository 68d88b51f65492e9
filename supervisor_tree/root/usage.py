"""CPU and memory of processes, asked for by people only: nothing is sampled while nobody looks."""

from __future__ import annotations

import time

from supervisor_tree.system import means

Used = tuple[float | None, int | None]
_MOST = 2000
"""Processes in one look, so that `status` of a very large tree does not wait for /proc."""
_SHORTEST = 0.5
"""Seconds: over less than this the CPU since the last look says nothing."""


class Usage:
    """Remembers the last look. Two looks at once (in two threads) only shorten each other's window."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[float, float]] = {}

    def look(self, pids: list[int]) -> dict[int, Used]:
        """Cores used since the last look (since its start, where that was just now or never), and bytes resident."""
        now = time.monotonic()
        seen: dict[int, tuple[float, float]] = {}
        found: dict[int, Used] = {}
        for pid in pids[:_MOST]:
            cost = means.usage(pid) or _by_psutil(pid)
            if cost is None:
                continue
            spent, memory, age = cost
            at, before = self._before.get(pid, (0.0, 0.0))
            if at and _SHORTEST <= now - at < age:
                found[pid] = round((spent - before) / (now - at), 4), memory
                seen[pid] = (now, spent)
            else:
                found[pid] = round(spent / max(age, 0.01), 4), memory
                seen[pid] = (at, before) if 0 <= now - at < min(age, _SHORTEST) else (now, spent)
        self._before = seen
        return found


def age(pid: int) -> float | None:
    """Seconds since a process began; None: it is gone."""
    cost = means.usage(pid) or _by_psutil(pid)
    return None if cost is None else cost[2]


def _by_psutil(pid: int) -> tuple[float, int, float] | None:
    """Where the system's own means don't say."""
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            age = time.time() - process.create_time()
            return times.user + times.system, process.memory_info().rss, age
    except psutil.Error:
        return None
