"""Questions to the disk and to the resolver of names, which may not be answered for hours: threads with a bound.

A question that is asked again while it is still under way is not asked twice: who asks waits for the same answer. So
one dead file system costs one thread for each path on it, however many ask and however often. Threads that have
nothing to do are used again, and end after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

_IDLE = 30.0
"""Seconds after which a thread that has nothing to do ends."""


class AllStuck(Exception):
    """There is no thread for it: too many other questions are not answered."""


class Threads:
    """Up to ``most`` questions under way at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self._loop = loop
        self._most = most
        self._queue: queue.SimpleQueue[tuple[Hashable, Callable[[], Any]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._alive = 0
        self._under_way: dict[Hashable, tuple[asyncio.Future[Any], float]] = {}

    async def ask(self, key: Hashable, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises, or the one of the same ``key`` that is under way.

        Who asks bounds the time; work that is given up goes on in its thread, which nobody waits for.

        Raises:
            AllStuck: it was not asked.
        """
        known = self._under_way.get(key)
        if known is None:
            self._begin(key, work)
            known = self._under_way[key]
        result: T = await asyncio.shield(known[0])
        return result

    def since(self, key: Hashable) -> float | None:
        """Since when this has been under way (the loop's time); None: it is not."""
        known = self._under_way.get(key)
        return None if known is None else known[1]

    def _begin(self, key: Hashable, work: Callable[[], Any]) -> None:
        with self._lock:
            free = self._idle > 0
            if free:
                self._idle -= 1
            elif self._alive >= self._most:
                raise AllStuck
            else:
                self._alive += 1
        if not free:
            try:
                threading.Thread(target=self._run, name="probe", daemon=True).start()
            except RuntimeError:  # no more threads for this user
                with self._lock:
                    self._alive -= 1
                raise AllStuck from None
        self._under_way[key] = self._loop.create_future(), self._loop.time()
        self._queue.put((key, work))

    def _run(self) -> None:
        while True:
            try:
                key, work = self._queue.get(timeout=_IDLE)
            except queue.Empty:
                with self._lock:
                    if self._idle == 0:
                        continue  # work for us is on its way
                    self._idle -= 1
                    self._alive -= 1
                    return
            result, failed = None, None
            try:
                result = work()
            except Exception as error:
                failed = error
            with self._lock:
                self._idle += 1
            with contextlib.suppress(RuntimeError):  # the loop is gone
                self._loop.call_soon_threadsafe(self._settle, key, result, failed)

    def _settle(self, key: Hashable, result: Any, failed: Exception | None) -> None:
        future, _ = self._under_way.pop(key)
        if failed is not None:
            future.set_exception(failed)
            future.exception()  # nobody may be waiting any more
        else:
            future.set_result(result)
