"""`keeper.log` on disk: the keeper's table, in lines worded by `keeper.record` (`processes.md` 8)."""

from __future__ import annotations

import os
from collections import deque

_MOST = 100_000
"""Lines that wait for a stuck disk; more are forgotten, oldest first: the file is a hint."""


class Table:
    """Lines are added by the main thread and written by the writer thread."""

    def __init__(self) -> None:
        self.path = ""
        self._lines: deque[str] = deque(maxlen=_MOST)
        self._fd = -1
        self.lines: list[str] = []
        """All of the present table, for a sweep: a file might have to be waited for."""

    def add(self, line: str) -> bool:
        """Queue a line. True: nobody was asked to `write` since the queue was empty."""
        first = not self._lines
        self.lines.append(line)
        self._lines.append(line)
        return first

    def write(self) -> None:
        """Append what is queued.

        Raises:
            OSError: as for any file; the lines are gone.
        """
        parts = []
        while self._lines:
            parts.append(self._lines.popleft().rstrip("\n") + "\n")
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.write(self._fd, "".join(parts).encode())

    def replace(self, lines: list[str]) -> None:
        """Write the whole table anew, by rename. Lines queued before are in it.

        Raises:
            OSError: as for any file; the old one stays.
        """
        new = self.path + ".new"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, "".join(line.rstrip("\n") + "\n" for line in lines).encode())
            os.rename(new, self.path)
        except OSError:
            os.close(fd)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
