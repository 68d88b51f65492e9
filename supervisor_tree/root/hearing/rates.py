"""Rates: how much of what repeats is taken."""

from __future__ import annotations


class Bucket:
    """``burst`` at once, then ``per_second``. Times are monotonic seconds."""

    __slots__ = ("_at", "_burst", "_left", "_per_second")

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left = burst
        self._at = float("-inf")

    def take(self, now: float) -> bool:
        """Whether there is room for one more."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
