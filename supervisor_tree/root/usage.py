"""CPU and memory of processes, asked for by people only: nothing is sampled while nobody looks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

Used = tuple[float | None, int | None]
_MOST = 2000
"""Processes in one look: at 60 µs each a larger tree would make `status` wait."""


class Usage:
    """Called from one worker thread at a time is not guaranteed; a lost update only widens one window."""

    def __init__(self) -> None:
        self._before: dict[tuple[int, float], tuple[float, float]] = {}

    def look(self, pids: list[int]) -> dict[int, Used]:
        """Cores used since the last look (or since its start), and bytes of resident memory, by pid."""
        import psutil

        now = time.time()
        seen: dict[tuple[int, float], tuple[float, float]] = {}
        found: dict[int, Used] = {}
        for pid in pids[:_MOST]:
            try:
                found[pid] = self._one(psutil.Process(pid), now, seen)
            except psutil.Error:
                continue
        self._before = seen
        return found

    def _one(self, process: psutil.Process, now: float, seen: dict[tuple[int, float], tuple[float, float]]) -> Used:
        with process.oneshot():
            began = process.create_time()
            times = process.cpu_times()
            memory = process.memory_info().rss
        spent = times.user + times.system
        key = (process.pid, began)
        at, before = self._before.get(key, (began, 0.0))
        if now - at < 0.5 and key in self._before:
            at, before = began, 0.0
            seen[key] = self._before[key]
        else:
            seen[key] = (now, spent)
        return round((spent - before) / max(now - at, 0.01), 4), memory
