"""The core's timers on the event loop. Their deadlines are state of the core; these handles are not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Key = tuple[str, str]


class Timers:
    """``fire(path, timer)`` is called once at each deadline."""

    def __init__(self, fire: Callable[[str, str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._fire = fire
        self._handles: dict[Key, asyncio.Handle] = {}

    def arm(self, path: str, timer: str, at: float) -> None:
        """Monotonic ``at``; one that is past is due after every callback that is ready already."""
        self.cancel(path, timer)
        key = (path, timer)
        if at <= self._loop.time():
            self._handles[key] = self._loop.call_soon(self._due, key)
        else:
            self._handles[key] = self._loop.call_at(at, self._due, key)

    def cancel(self, path: str, timer: str) -> None:
        handle = self._handles.pop((path, timer), None)
        if handle is not None:
            handle.cancel()

    def _due(self, key: Key) -> None:
        del self._handles[key]
        self._fire(*key)
