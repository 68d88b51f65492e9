"""Work that goes on beside the rounds, as tasks of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell


class Background:
    """Keeps what it begins until it is done: the loop itself does not, and what nobody keeps may vanish half done."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, what: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have ``work`` done. An error of ours that ends it is said at once, as one of ``what``."""
        task = self._shell.loop.create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._shell.internal_error(task.get_name(), error)
            self._shell.flush()
