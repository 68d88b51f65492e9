"""What is to happen, by the make-believe clock."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

Action = Callable[[], None]


class Entry:
    """One thing to be done at its time, unless it is cancelled before."""

    __slots__ = ("action", "at", "number")

    def __init__(self, at: float, number: int, action: Action) -> None:
        self.at = at
        self.number = number
        self.action: Action | None = action

    def cancel(self) -> None:
        self.action = None

    def __lt__(self, other: Entry) -> bool:
        return (self.at, self.number) < (other.at, other.number)


class Agenda:
    """The clock (monotonic seconds since the start) and all that is still to come."""

    def __init__(self) -> None:
        self.now = 0.0
        self._entries: list[Entry] = []
        self._number = 0

    def at(self, at: float, action: Action) -> Entry:
        """Do ``action`` then; what is past is done next, behind what is due already."""
        self._number += 1
        entry = Entry(max(at, self.now), self._number, action)
        heappush(self._entries, entry)
        return entry

    def next(self) -> float | None:
        """When the next thing happens; None: nothing will."""
        while self._entries and self._entries[0].action is None:
            heappop(self._entries)
        return self._entries[0].at if self._entries else None

    def step(self) -> None:
        """Do the next thing, at its time."""
        entry = heappop(self._entries)
        self.now = entry.at
        if entry.action is not None:
            entry.action()
