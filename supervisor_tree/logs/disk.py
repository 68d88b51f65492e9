"""Blocking calls of the writer thread, made so that the main thread can see them and act meanwhile."""

from __future__ import annotations

import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Disk:
    """Whoever holds `hands` may touch the pipes: the writer thread, but not while it waits for a disk."""

    def __init__(self, nudge: Callable[[], None]) -> None:
        """``nudge`` wakes the main thread, so that it begins to look at `busy_since`."""
        self.hands = threading.Lock()
        self.watched = False
        """The main thread looks at `busy_since` from time to time."""
        self.busy_since: float | None = None
        """Monotonic time at which the operation under way began."""
        self.dropped_meanwhile = False
        """The main thread has taken bytes from pipes while an operation was under way."""
        self._nudge = nudge

    def call(self, what: Callable[..., Any], *arguments: Any) -> Any:
        """Writer thread: ``what(*arguments)``, which may block, with the hands off the pipes."""
        self.busy_since = time.monotonic()
        if not self.watched:
            self.watched = True
            self._nudge()
        self.hands.release()
        try:
            return what(*arguments)
        finally:
            self.hands.acquire()
            self.busy_since = None

    def meanwhile(self, what: Callable[[], None]) -> bool:
        """Main thread: do ``what`` to the pipes. False: no operation is under way any more."""
        if not self.hands.acquire(timeout=0.1):
            return False
        try:
            if self.busy_since is None:
                return False
            self.dropped_meanwhile = True
            what()
            return True
        finally:
            self.hands.release()

    def look_away(self) -> None:
        """Main thread: stop looking, unless an operation has just begun."""
        self.watched = False
        if self.busy_since is not None:
            # It began between the look before and the line above, and saw no need to nudge.
            self.watched = True
