"""An alarm on the wall clock itself (Linux's timerfd): no step of that clock, and no sleep, is slept through."""

from __future__ import annotations

import errno
import os
import struct
import time

from supervisor_tree.system import libc

_ABSOLUTE = 1
_CANCEL_ON_SET = 2
_TIMERSPEC = struct.Struct("@4l")
"""The interval, none here, and the instant: seconds and nanoseconds each."""
_FAR = 1 << 33
"""Seconds since 1970, in the 23rd century: the timer is armed, so that a step of the clock is told, and never rings."""
_GRAIN = 1000
"""Nanoseconds by which it rings too late rather than too early: instants are floats, which are that exact."""


class WallTimer:
    """One timer. Its descriptor becomes readable when its instant has come, when the wall clock was set (by more than
    the kernel's slow corrections), and when the machine has woken from sleep; then `read` is to be called.

    Raises:
        OSError: there is no such timer here.
    """

    def __init__(self) -> None:
        self._fd = libc.call("timerfd_create", time.CLOCK_REALTIME, os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.arm(None)
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        return self._fd

    def arm(self, at: float | None) -> bool:
        """Ring at this instant (seconds since 1970), at once where it is past; None: for a step of the clock only.

        Returns False where the clock was set since the last call or `read`: that is not told by another ring.
        """
        due = _FAR * 1_000_000_000 if at is None else max(1, int(min(at, _FAR) * 1e9) + _GRAIN)
        spec = _TIMERSPEC.pack(0, 0, *divmod(due, 1_000_000_000))
        try:
            libc.call("timerfd_settime", self._fd, _ABSOLUTE | _CANCEL_ON_SET, spec, None)
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
            return False  # it is armed nevertheless
        return True

    def read(self) -> None:
        """Take what it has rung for."""
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.ECANCELED:  # the clock was set
                raise

    def close(self) -> None:
        os.close(self._fd)
