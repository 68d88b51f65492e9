"""The programs that `guard` runs, and who asks it to end meanwhile: whatever runs then is ended first."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from types import FrameType
from typing import Any


class Interrupted(BaseException):
    """We were asked to end, by this signal."""

    def __init__(self, number: int) -> None:
        self.number = number


class Programs:
    """One after the other."""

    def __init__(self) -> None:
        self._making = False
        self._asked: int | None = None
        """The signal that has asked us to end; those that follow change nothing."""

    def listen(self) -> None:
        """Who asks us to end is heard from now on, by `Interrupted`."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._interrupt)

    def make(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Begin one, in a group of its own. `made` is to be called next, where its end is seen to: who asks us to end
        before that would else have left a program that nobody knows.

        Raises:
            OSError: it can't be run.
        """
        self._making = True
        try:
            return subprocess.Popen(argv, process_group=0, **options)
        except OSError:
            self.made()
            raise

    def made(self) -> None:
        """It is known.

        Raises:
            Interrupted: we were asked to end meanwhile.
        """
        self._making = False
        if self._asked is not None:
            raise Interrupted(self._asked)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        if self._asked is None:
            self._asked = number
            if not self._making:
                raise Interrupted(number)


def kill(child: subprocess.Popen[Any], number: int) -> None:
    """Signal its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
