"""One file that others write, append to or replace, as something that a coroutine waits for."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from supervisor_tree.system import means


class Watched:
    """``with Watched(path) as watched``: `changed` returns when something happened to the file, or could have.

    The file need not be there yet; its folder must.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = asyncio.Event()

    def __enter__(self) -> Self:
        self._watcher = means.watch_files()
        self._watcher.add(str(self._path.parent))
        self._watch_file()
        asyncio.get_running_loop().add_reader(self._watcher.fileno(), self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._watcher.fileno())
        self._watcher.close()

    async def changed(self) -> None:
        """What happened before the last call returned does not count."""
        every = self._watcher.every
        if every is None:
            await self._changed.wait()
        while not self._changed.is_set():  # this system only tells who asks
            assert every is not None
            await asyncio.sleep(every)
            self._look()
        self._changed.clear()

    def _look(self) -> None:
        if self._watcher.events():
            self._changed.set()
            self._watch_file()

    def _watch_file(self) -> None:
        """Anew each time: it may have come since, or be another one. Not every system says of a folder that
        a file in it has grown."""
        with contextlib.suppress(FileNotFoundError):
            self._watcher.add(str(self._path))
