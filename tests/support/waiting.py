"""Waiting for something to become true, with a deadline and a message that says what did not happen.

For what has an event (a process' end, a line on a pipe, a file's change) wait for the event. This is for
the rest: a condition that only asking can tell.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds. Long, because a loaded machine is slow and a test that waits for an event ends when it comes."""


def eventually(ask: Callable[[], T], what: str | Callable[[], str] = "", timeout: float = PATIENCE) -> T:
    """The first true answer of ``ask``, asked every 10 ms; AssertionError naming ``what`` after ``timeout`` seconds."""
    pause = threading.Event()
    end = time.monotonic() + timeout
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            said = what() if callable(what) else what
            raise AssertionError(f"not within {timeout:g} s: {said or ask!r}; the last answer was {answer!r}")
        pause.wait(0.01)


def wait_gone(pid: int, timeout: float = PATIENCE) -> None:
    """Return once the process ``pid`` (any process, ours or not) has ended: reaped, or a zombie of somebody else's."""
    if hasattr(os, "pidfd_open"):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            if not poll.poll(timeout * 1000):
                raise AssertionError(f"process {pid} still lives after {timeout:g} s")
        finally:
            os.close(fd)
        return
    from tests.support.processes import lives

    eventually(lambda: not lives(pid), f"process {pid} ends", timeout)
