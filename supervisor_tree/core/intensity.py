"""How many restarts a supervisor has had within its period, and whether one more is too many.

A sliding window over the restarts of all its children: intensity N allows N restarts within `period`
seconds, the N+1st gives up. Cost is O(1) for each restart, amortised, in time as in what is written
down: the window is kept in chunks, and only the chunks that changed are written.
"""

from __future__ import annotations

from collections import deque

CHUNK = 64

Entry = tuple[float, str]
"""When (monotonic seconds), and the name of the child that was restarted."""


class Window:
    """The restarts of one supervisor instance that still count."""

    __slots__ = ("changed", "chunks", "first", "size")

    def __init__(self) -> None:
        self.chunks: deque[list[Entry]] = deque()
        self.first = 0
        """Number of the oldest chunk."""
        self.size = 0
        self.changed: set[int] = set()
        """Numbers of the chunks to be written (or, gone from `chunks`, to be deleted)."""

    def add(self, now: float, name: str, period: float) -> int:
        """Count a restart at ``now``; answer how many there are within ``period``, this one included."""
        while self.size and now - self.chunks[0][0][0] > period:
            self._drop_oldest()
        if not self.chunks or len(self.chunks[-1]) >= CHUNK:
            self.chunks.append([])
        self.chunks[-1].append((now, name))
        self.changed.add(self.first + len(self.chunks) - 1)
        self.size += 1
        return self.size

    def forgive(self, name: str) -> None:
        """Take the restarts of one child out."""
        self.replace([entry for chunk in self.chunks for entry in chunk if entry[1] != name])

    def replace(self, entries: list[Entry]) -> None:
        self.changed.update(range(self.first, self.first + len(self.chunks)))
        self.chunks = deque(entries[i : i + CHUNK] for i in range(0, len(entries), CHUNK))
        self.changed.update(range(self.first, self.first + len(self.chunks)))
        self.size = len(entries)

    def _drop_oldest(self) -> None:
        oldest = self.chunks[0]
        oldest.pop(0)
        self.size -= 1
        self.changed.add(self.first)
        if not oldest:
            self.chunks.popleft()
            self.first += 1

    def chunk(self, number: int) -> list[Entry] | None:
        index = number - self.first
        return self.chunks[index] if 0 <= index < len(self.chunks) else None

    @classmethod
    def of(cls, chunks: dict[int, list[Entry]]) -> Window:
        """The window that was written down as ``chunks``."""
        window = cls()
        if chunks:
            window.first = min(chunks)
            window.chunks = deque(chunks[number] for number in sorted(chunks))
            window.size = sum(map(len, window.chunks))
        return window
