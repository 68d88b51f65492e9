"""What the answers to one question come to: so many failures in a row are a failure, so many passes a pass.

Pure; times are monotonic seconds, given by the caller.
"""

from __future__ import annotations

from msgspec import Struct

FIRST = 0.05
"""Seconds from a first answer that was no pass to the next question, where a start waits for it; twice as long each
time, …"""
MOST = 1.0
"""… up to this, and never longer than `every`."""
COSTLY = 0.5
"""The first such pause, where a question is a program to be run; there is no other bound than `every` then."""


class Tally(Struct):
    """The verdict on one question. ``failed`` None: there is none yet."""

    failed: bool | None = None
    row: int = 0
    """Equal answers in a row: passes, or (below 0) failures."""

    def take(self, passed: bool, failures: int, successes: int) -> bool:
        """One answer more. True: the verdict is another one now."""
        if passed:
            self.row = max(self.row, 0) + 1
        else:
            self.row = min(self.row, 0) - 1
        if self.row >= successes:
            verdict: bool | None = False
        elif self.row <= -failures:
            verdict = True
        else:
            return False
        changed = self.failed is not verdict
        self.failed = verdict
        return changed

    def fails_now(self, failures: int) -> bool:
        """Whether the last answers are failures, enough of them: a verdict may be older than they are."""
        return self.failed is True and self.row <= -failures


class Pace:
    """When a question that a start waits for is asked next."""

    def __init__(self, every: float, costly: bool) -> None:
        self._pause = COSTLY if costly else FIRST
        self._most = every if costly else min(every, MOST)

    def next(self) -> float:
        """Seconds until then."""
        pause = min(self._pause, self._most)
        self._pause *= 2
        return pause


def in_words(sentence: str, row: int) -> str:
    """What failed so many times: ``http://… answers 503, 3 times in a row``."""
    times = -row
    return sentence if times < 2 else f"{sentence}, {times} times in a row"
