"""Small files, written by a thread, one after the other; a disk that takes nothing holds up nobody.

A write that fails is tried again until it succeeds: what waits is said once, by whoever had it written, and so is its
end. One file that can't be written keeps no other from its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from errno import EAGAIN
from typing import TYPE_CHECKING, Any

from supervisor_tree.root.aside import Aside, TooLate

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

TRY_AGAIN = 5.0
"""Seconds between two attempts to write to a disk that is full."""
_FOREVER = 1e9
"""Seconds: a write that is stuck is not begun a second time beside itself."""

Work = Callable[[], Any]


class Writer:
    """Does what it is given. ``failing`` is told of the first error of a series, ``mended`` of its end."""

    def __init__(self, shell: Shell, failing: Callable[[OSError], None], mended: Callable[[], None]) -> None:
        self._shell = shell
        self._failing = failing
        self._mended = mended
        self._aside = Aside(shell.loop, 1)
        self._waiting: dict[str, tuple[Callable[[], Work], Callable[[Any], None] | None]] = {}
        self._task: asyncio.Task[None] | None = None

    def put(self, key: str, prepare: Callable[[], Work], done: Callable[[Any], None] | None = None) -> None:
        """Have something written soon; of several that wait under one key only the last counts.

        Args:
            prepare: called on the loop, each time before it is tried; returns what the thread does (OSError: again).
            done: called with what the thread returned.
        """
        self._waiting[key] = prepare, done
        if self._task is None:
            self._task = self._shell.background.begin("files", self._write())

    async def finish(self, within: float) -> None:
        """The tree ends: wait so many seconds at most until all is written."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=within)

    async def _write(self) -> None:
        trouble = False
        while self._waiting:
            key, (prepare, done) = next(iter(self._waiting.items()))
            del self._waiting[key]
            try:
                result = await self._aside.do(prepare(), _FOREVER)
                if trouble:
                    trouble = False
                    self._mended()
                if done is not None:
                    done(result)
            except (OSError, TooLate) as error:
                self._waiting.setdefault(key, (prepare, done))
                if not trouble:
                    trouble = True
                    self._failing(error if isinstance(error, OSError) else OSError(EAGAIN, "there is no thread for it"))
                    self._shell.flush()
                await asyncio.sleep(TRY_AGAIN)
                continue
            except Exception as error:
                self._shell.internal_error(f"file {key}", error)
            self._shell.flush()
        self._task = None
