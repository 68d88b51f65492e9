"""When each probe is asked: one heap and one timer for all of them, and none while nobody is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import ceil
from typing import TYPE_CHECKING

from supervisor_tree.root.hearing.beating import LATE

if TYPE_CHECKING:
    from supervisor_tree.root.probes.asked import Asked

_LOOK = 1.0
"""Seconds between two looks at most, so that a pause of ours shows."""
_GRAIN = 0.25
"""Seconds. What is asked seldom is asked with others: to be woken costs more than a question."""
_OLD = 64
"""Entries of what has ended that are kept, beyond as many as there are others."""


class Schedule:
    """``ask`` is called with each that is due; ``paused`` when nobody looked for a while."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, ask: Callable[[Asked], None], paused: Callable[[float], None]
    ) -> None:
        self._loop = loop
        self._ask = ask
        self._paused = paused
        self._heap: list[tuple[float, int, Asked]] = []
        self._number = 0
        self._old = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._under_way = 0
        """Questions that wait for their answer."""

    def at(self, due: float, each: Asked) -> None:
        """Ask it then (the loop's time), and not when was said before."""
        if due - self._loop.time() > _LOOK:
            due = ceil(due / _GRAIN) * _GRAIN
        self._number += 1
        each.entry = self._number
        heappush(self._heap, (due, self._number, each))
        self._old += 1
        if self._old > len(self._heap) // 2 + _OLD:
            self._heap = [entry for entry in self._heap if _holds(entry)]
            heapify(self._heap)
            self._old = 0
        self.arm()

    def asked(self, task: asyncio.Task[None]) -> None:
        """``task`` waits for an answer from now on. Also while nothing else is due it is looked for a pause of ours."""
        self._under_way += 1
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._under_way -= 1

    def arm(self) -> None:
        """Set the timer to what is next."""
        heap = self._heap
        while heap and not _holds(heap[0]):
            heappop(heap)
        if not heap and not self._under_way:
            self._set(None)
        else:
            now = self._loop.time()
            self._set(min(heap[0][0] if heap else now + _LOOK, now + _LOOK))

    def _set(self, due: float | None) -> None:
        if self._timer is not None:
            if due is not None and self._due <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._due = due
            self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        if now - self._due > LATE:
            self._paused(now)
        heap = self._heap
        while heap and heap[0][0] <= now:
            entry = heappop(heap)
            if _holds(entry) and entry[2].task is None:
                self._ask(entry[2])
        self.arm()


def _holds(entry: tuple[float, int, Asked]) -> bool:
    return not entry[2].ended and entry[2].entry == entry[1]
