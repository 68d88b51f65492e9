"""When nothing useful has happened for too long: one watch, as a pure machine.

What counts is time for which the tree ran, the machine's sleep included: who is not running can do nothing, and a
tree that starts after a holiday is not at once in alarm. Time for which it was down is remembered and told.
"""

from __future__ import annotations

from msgspec import Struct

STRICT = 1e-3
"""Share of the threshold by which it must be passed: `6h` is passed 22 s after six hours, and shows as more than 6."""


class Absence(Struct, kw_only=True):
    """One watch; this is its state. Times are wall-clock seconds."""

    since: float
    """When it was watched first: counts as the last activity as long as there is none."""
    last: float | None = None
    quiet: float = 0.0
    """Seconds that count, without activity."""
    slept: float = 0.0
    """Seconds of these for which the machine slept."""
    down: float = 0.0
    """Seconds without activity for which the tree did not run, or did not watch yet: they do not count."""
    told_at: float | None = None
    """`quiet` when it was told last."""
    times: int = 0
    """How often it was told."""

    @property
    def gap(self) -> float:
        """Seconds since the last activity (or since it is watched)."""
        return self.quiet + self.down

    def passed(self, seconds: float, slept: float = 0.0) -> None:
        """Time went by while the tree ran."""
        self.quiet += max(0.0, seconds)
        self.slept += min(max(0.0, slept), max(0.0, seconds))

    def was_down(self, seconds: float) -> None:
        """Time went by while it did not."""
        self.down += max(0.0, seconds)

    def active(self, at: float, ago: float = 0.0) -> bool:
        """Something useful happened at ``at``, ``ago`` seconds ago. Answers whether that ends an alarm."""
        if ago >= self.gap and self.last is not None:
            return False  # nothing new
        if ago >= self.quiet and self.told_at is not None:
            return False
        resumed = self.told_at is not None
        self.last = at
        self.quiet, self.slept, self.down = min(ago, self.quiet), 0.0, max(0.0, ago - self.quiet)
        self.told_at, self.times = None, 0
        return resumed

    def due(self, within: float, repeat: float | None) -> bool:
        """Whether it is to be told now (again)."""
        if self.quiet <= within * (1 + STRICT):
            return False
        return self.told_at is None or (repeat is not None and self.quiet - self.told_at >= repeat)

    def left(self, within: float, repeat: float | None) -> float | None:
        """Seconds until it is due; None: not again."""
        if self.told_at is None:
            return max(0.0, within * (1 + 2 * STRICT) - self.quiet)
        return None if repeat is None else max(0.0, self.told_at + repeat - self.quiet)

    def told(self) -> None:
        """It was told."""
        self.told_at = self.quiet
        self.times += 1
