"""Who has been silent too long: a ledger of limits, for the shell to ask now and then.

To be heard costs one assignment, however many are watched and whatever their limits: nothing is re-armed. Of each one
watched the heap holds one instant at which it may be overdue at the earliest; when that has come, whoever was heard
since is put back with a later one. So 10,000 workers that beat each second move a few thousand entries of a heap in
that time, and only in `overdue`.

Times are monotonic seconds, given by the caller.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, NamedTuple, TypeVar

Who = TypeVar("Who", bound=Hashable)


class Watched(Generic[Who]):
    """One who is watched. `heard` may be set by whoever holds it: that is all that a sign of life costs."""

    __slots__ = ("heard", "limit", "since", "who")

    def __init__(self, who: Who, limit: float, since: float) -> None:
        self.who = who
        self.limit = limit
        self.since = since
        """From when on silence counts: the start of the watch, or the last time that it was reported."""
        self.heard = since
        """The last sign of life; of one that has given none, the start of the watch."""


class Overdue(NamedTuple, Generic[Who]):
    """Seconds of silence and the limit that they are beyond."""

    who: Who
    silent: float
    limit: float


class Silence(Generic[Who]):
    """The ledger."""

    def __init__(self) -> None:
        self._watched: dict[Who, Watched[Who]] = {}
        self._heap: list[tuple[float, int, Watched[Who]]] = []
        """By the instant before which nobody needs to look. One entry for each watched, and those of the ended ones
        that have not come to the top yet."""
        self._number = 0
        self._anew = float("-inf")

    def __len__(self) -> int:
        return len(self._watched)

    def __contains__(self, who: object) -> bool:
        return who in self._watched

    def watch(self, who: Who, limit: float, now: float) -> Watched[Who]:
        """From ``now`` on ``who`` may be silent for ``limit`` seconds at most; what was watched before ends."""
        watched = self._watched[who] = Watched(who, limit, now)
        self._push(now + limit, watched)
        if len(self._heap) > 2 * len(self._watched) + 64:
            # Workers that crash faster than their limits pass leave their entries behind.
            self._heap = [entry for entry in self._heap if self._watched.get(entry[2].who) is entry[2]]
            self._heap.sort()
        return watched

    def end(self, who: Who) -> None:
        """Nothing is expected of ``who`` any more."""
        self._watched.pop(who, None)

    def limit(self, who: Who) -> float | None:
        """How long ``who`` may be silent; None: it is not watched."""
        watched = self._watched.get(who)
        return None if watched is None else watched.limit

    def heard(self, who: Who) -> float | None:
        """Its last sign of life (none yet: the start of the watch); None: it is not watched."""
        watched = self._watched.get(who)
        return None if watched is None else watched.heard

    def hear(self, who: Who, at: float) -> None:
        """``who`` gave a sign of life at that time; one that is older than the last known says nothing."""
        watched = self._watched.get(who)
        if watched is not None and at > watched.heard:
            watched.heard = at

    def anew(self, now: float) -> None:
        """No limit begins before ``now``: whoever asks could not hear for a while, or can't yet."""
        self._anew = max(self._anew, now)

    def next(self) -> float | None:
        """The first instant at which somebody may be overdue; None while nobody is watched."""
        heap = self._heap
        while heap and self._watched.get(heap[0][2].who) is not heap[0][2]:
            heappop(heap)
        return heap[0][0] if heap else None

    def overdue(self, now: float) -> list[Overdue[Who]]:
        """Who has been silent for longer than its limit, each once: silence that goes on is reported again when
        another limit has passed."""
        found = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            watched = heappop(heap)[2]
            if self._watched.get(watched.who) is not watched:
                continue
            due = max(watched.heard, watched.since, self._anew) + watched.limit
            if due <= now:
                found.append(Overdue(watched.who, now - watched.heard, watched.limit))
                watched.since = now
                due = now + watched.limit
            self._push(due, watched)
        return found

    def _push(self, due: float, watched: Watched[Who]) -> None:
        self._number += 1
        heappush(self._heap, (due, self._number, watched))
