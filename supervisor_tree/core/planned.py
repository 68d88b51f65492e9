"""When a planned restart is due. Not in OTP: such a restart counts in no intensity."""

from __future__ import annotations

from supervisor_tree.core.spread import share

_SOON = 5.0
"""Seconds after a worker's start within which a change of files is suspected to be its own doing …"""
_PATIENCE = 3
"""… once that has happened so often in a row: a person who saves a file now and then is never slowed."""
_FIRST = 5.0
_MOST = 300.0
"""Seconds: the pauses between restarts by a worker's own changes go 5, 10, 20 … 300."""


def lifetime(max_age: float, jitter: float, name: str, incarnation: int) -> float:
    """Seconds for which this incarnation is let run: ``max_age`` and a share of ``jitter`` that is its own.

    The share comes from name and incarnation alone: a new root finds the same, and no state is needed.
    """
    return max_age + jitter * share(f"{name}/{incarnation}")


class Slowing:
    """Slows restarts for changed files down where they follow one another at each start.

    A worker that writes into what it watches would be restarted for ever. It is, but less and less often.
    """

    def __init__(self) -> None:
        self.in_a_row = 0
        """Restarts for files that changed soon after the worker's start, each following the one before."""

    def restarted(self, changed_after: float) -> None:
        """A restart happens, for files that changed so many seconds after the worker's start."""
        self.in_a_row = self.in_a_row + 1 if changed_after < _SOON else 0

    @property
    def pause(self) -> float:
        """Seconds that the worker is to have been up before files may restart it."""
        beyond = self.in_a_row - _PATIENCE
        return 0.0 if beyond < 0 else min(_FIRST * 2.0 ** min(beyond, 16), _MOST)
