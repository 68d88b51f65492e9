"""SIGTERM and SIGINT as something to wait for, beside the descriptors that a program waits for anyway."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Self


class Stopping:
    """``with Stopping() as stopping: while not stopping.asked: stopping.wait(timeout, fd, …)``

    A program that sleeps in `wait` is woken at once by a signal; one that is at work finishes what it
    does and sees `asked`. Nothing is interrupted half-way.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        self._wake, self._written = os.pipe()
        os.set_blocking(self._written, False)
        # why a descriptor and not an Event: setting one in a handler can find its lock held by the code interrupted
        signal.set_wakeup_fd(self._written, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._wake)
        os.close(self._written)

    def wait(self, timeout: float | None, *descriptors: int) -> list[int]:
        """Those of ``descriptors`` that can be read, as soon as there is one; none when ``timeout`` seconds
        are over (None: never) or the program is asked to stop."""
        if self.asked:
            return []
        ready, _, _ = select.select([self._wake, *descriptors], [], [], timeout)
        return [descriptor for descriptor in ready if descriptor != self._wake]

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
