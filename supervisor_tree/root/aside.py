"""Work that may wait for ever (a stalled disk, a process that the kernel holds), kept away from everything else.

The loop's own executor is for what every start needs: a few threads that are waited for at the end. Here each piece
of work has a thread of its own that nobody waits for, and there are never more of them than asked for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TooLate(Exception):
    """The work has not ended in time, or there is no thread for it: too much other work is stuck."""


class Aside:
    """Up to ``most`` pieces of work at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self._loop = loop
        self._free = most

    async def do(self, work: Callable[[], T], within: float) -> T:
        """What ``work`` returns or raises; it runs in a thread.

        Raises:
            TooLate: nothing within so many seconds. The thread is left to itself.
        """
        if self._free <= 0:
            raise TooLate
        self._free -= 1
        ended: asyncio.Future[T] = self._loop.create_future()

        def settle(result: T | None, error: Exception | None) -> None:
            self._free += 1
            if ended.done():
                return
            if error is not None:
                ended.set_exception(error)
            else:
                ended.set_result(result)  # type: ignore[arg-type]  # T may be None

        def run() -> None:
            result, failed = None, None
            try:
                result = work()
            except Exception as error:
                failed = error
            try:
                self._loop.call_soon_threadsafe(settle, result, failed)
            except RuntimeError:
                return  # the loop is gone

        try:
            threading.Thread(target=run, name="aside", daemon=True).start()
        except RuntimeError:  # no more threads for this user
            self._free += 1
            raise TooLate from None
        try:
            # Not `wait_for`: up to Python 3.11 it swallows a cancellation that comes together with the result, and who
            # writes one file after the other would never end.
            async with asyncio.timeout(within):
                return await ended
        except TimeoutError:
            raise TooLate from None
