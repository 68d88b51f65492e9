"""Limits of memory and CPU: samples of processes in, verdict out.

A worker is all of its processes: its session, and whoever descends from it, wherever he went. Memory counts at
once. CPU counts as the mean over the last `WINDOW` seconds, so that a burst (an import, a garbage collection, a
heavy request) ends nobody: before a worker has been seen for that long there is no mean at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

WINDOW = 30.0
"""Seconds over which CPU is averaged."""

BACK = 0.95
"""A limit that was passed counts as kept again from this share of it downwards: one told of, not one a round."""


class Cost(Protocol):
    """One process in one look. Times are seconds of CPU, memory is bytes."""

    @property
    def pid(self) -> int: ...
    @property
    def ppid(self) -> int: ...
    @property
    def session(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def spent(self) -> float:
        """Its own, since its start."""

    @property
    def reaped(self) -> float:
        """Of those of its children that it has waited for, and of theirs."""

    @property
    def memory(self) -> int:
        """Resident."""


Identity = tuple[int, int]
"""pid and start time of a process."""


Worker = tuple[str, int]
"""Name and incarnation."""


def owners(
    costs: Iterable[Cost], leaders: Mapping[int, Worker], known: Mapping[Identity, Worker | None]
) -> dict[int, Worker]:
    """Whose each process is, by pid: of the worker that leads its session, or that its nearest such ancestor is of.

    ``leaders``: worker by the pid that leads its session. ``known``: by process what was found out before, which
    still tells of one that has left its session and lost its parent since.
    """
    by_pid = {cost.pid: cost for cost in costs}
    found: dict[int, Worker | None] = {}
    for cost in by_pid.values():
        trail: list[int] = []
        at: Cost | None = cost
        owner: Worker | None = None
        while at is not None and owner is None:
            if at.pid in found:
                owner = found[at.pid]
                break
            trail.append(at.pid)
            # Set now: numbers are used again while we look, so a process may seem to be its own ancestor.
            found[at.pid] = None
            owner = leaders.get(at.session) or known.get(identity(at))
            at = by_pid.get(at.ppid)
        found.update(dict.fromkeys(trail, owner))
    return {pid: owner for pid, owner in found.items() if owner is not None}


def identity(cost: Cost) -> Identity:
    return cost.pid, cost.start


class Meter:
    """How much CPU the processes of one incarnation use, from one look to the next.

    A process that ends between two looks is not lost: whoever waits for it inherits its time (`Cost.reaped`),
    and what was counted of it already is not counted again. Lost is only the time between its last look and its
    end of a process that nobody of the worker waits for.
    """

    def __init__(self) -> None:
        self._before: dict[Identity, Cost] = {}
        self._seen: deque[tuple[float, float]] = deque()
        """When, and seconds of CPU used until then, from the first look or from the start."""
        self.last: dict[int, float] = {}
        """Cores that each process used between the two last looks, by pid."""

    def take(self, at: float, processes: Collection[Cost], spent: float | None = None) -> None:
        """One look, at monotonic ``at``: all processes of the worker.

        ``spent``: seconds of CPU that all its processes have used since its start, those that are gone included, where
        the system counts that.
        """
        now = {identity(cost): cost for cost in processes}
        used = 0.0
        self.last = {}
        if self._seen:
            inherited = self._inherited(now)
            took = max(at - self._seen[-1][0], 1e-9)
            for key, cost in now.items():
                before = self._before.get(key)
                own = cost.spent - (before.spent if before is not None else 0.0)
                children = cost.reaped - (before.reaped if before is not None else 0.0) - inherited.get(key, 0.0)
                share = max(own, 0.0) + max(children, 0.0)
                used += share
                self.last[cost.pid] = share / took
        total = self._seen[-1][1] if self._seen else 0.0
        self._seen.append((at, total + used if spent is None else spent))
        while len(self._seen) > 1 and self._seen[1][0] <= at - WINDOW:
            self._seen.popleft()
        self._before = now

    def _inherited(self, now: Mapping[Identity, Cost]) -> dict[Identity, float]:
        """Of processes that are gone: what was counted of them, by the nearest ancestor that lives."""
        by_pid = {cost.pid: key for key, cost in self._before.items()}
        found: dict[Identity, float] = {}
        for key, gone in self._before.items():
            if key in now:
                continue
            heir = by_pid.get(gone.ppid)
            for _ in range(len(by_pid)):
                if heir is None or heir in now:
                    break
                heir = by_pid.get(self._before[heir].ppid)
            if heir is not None and heir in now:
                found[heir] = found.get(heir, 0.0) + gone.spent + gone.reaped
        return found

    @property
    def mean(self) -> float | None:
        """Cores used on average over the last `WINDOW` seconds (and up to one look more); None: not seen so long."""
        if not self._seen or self._seen[-1][0] - self._seen[0][0] < WINDOW:
            return None
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return (after - before) / (last - first)


def over(was: bool, value: float, limit: float) -> bool:
    """Whether a limit counts as passed now; ``was``: whether it did at the look before."""
    return value > limit or (was and value > limit * BACK)
