"""One file that others write, append to or replace, as something to wait for."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from supervisor_tree.system import means
from supervisor_tree.workers.stopping import Stopping


class Watched:
    """``with Watched(path) as watched``: `wait` returns when something happened to the file, or could have.

    The file need not be there yet; its folder must.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._watcher = means.watch_files()
        self._watcher.add(str(self._path.parent))
        self._watch_file()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watcher.close()

    def fileno(self) -> int:
        return self._watcher.fileno()

    def wait(self, stopping: Stopping, timeout: float | None = None, *descriptors: int) -> list[int]:
        """Those of ``descriptors`` that can be read; none when the file changed, ``timeout`` seconds are over
        or the program is asked to stop."""
        every = self._watcher.every
        if every is not None:  # this system only tells who asks
            timeout = every if timeout is None else min(every, timeout)
        ready = stopping.wait(timeout, self.fileno(), *descriptors)
        if self.fileno() in ready or every is not None:
            self._watcher.events()
            self._watch_file()
        return [descriptor for descriptor in ready if descriptor != self.fileno()]

    def _watch_file(self) -> None:
        """Anew each time: it may have come since, or be another one. Not every system says of a folder that
        a file in it has grown."""
        with contextlib.suppress(FileNotFoundError):
            self._watcher.add(str(self._path))
