"""Recovery logs, written by one thread in the order in which things were said; a slow disk holds up nothing else."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING

from supervisor_tree.root.recovery import log_file

if TYPE_CHECKING:
    from supervisor_tree.config.tree_kinds import LogSettings
    from supervisor_tree.core.recovery.words import Said
    from supervisor_tree.root.shell import Shell

_MOST = 1000
"""Entries that wait for the disk; beyond them an entry is dropped, and that is said."""
_LAST_WORDS = 2.0
"""Seconds that the disk has to take the last ones when the root ends."""


class Saying:
    """The logs of all rules of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._queue: queue.SimpleQueue[tuple[LogSettings, list[str]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting = 0
        self._broken: set[str] = set()
        """Files that can't be written at present: said once."""

    def say(self, log: LogSettings | None, *said: Said) -> None:
        """Write, once the present round is committed. Without a log the journal alone knows."""
        if log is not None and said:
            rows = log_file.lines(said, time.time())
            self._shell.after_commit(lambda: self._submit(log, rows))

    def _submit(self, log: LogSettings, rows: list[str]) -> None:
        if self._waiting >= _MOST:
            self._failed(log.file, "the disk is slow: too much waits for it")
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recovery log", daemon=True)
            self._thread.start()
        self._waiting += 1
        self._queue.put((log, rows))

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            log, rows = entry
            error = ""
            try:
                log_file.append(log, rows)
            except OSError as failure:
                error = failure.strerror or str(failure)
            with contextlib.suppress(RuntimeError):  # the loop is gone
                self._shell.loop.call_soon_threadsafe(self._written, log.file, error)

    def _written(self, file: str, error: str) -> None:
        self._waiting -= 1
        if error:
            self._failed(file, error)
        else:
            self._broken.discard(file)

    def _failed(self, file: str, error: str) -> None:
        if file not in self._broken:
            self._broken.add(file)
            self._shell.note("file_not_written", None, path=file, error=error)
            self._shell.flush()

    def close(self) -> None:
        """What was said is written, unless the disk takes nothing."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(_LAST_WORDS)
