"""What the children say themselves: who ran its first instruction when."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.clock import pause

_RECORD = struct.Struct("=qii")
_CAPACITY = 1 << 20
_LOOK = 0.004
"""Seconds between two looks at how much has come. Nobody reads record by record while children start: a reader that
wakes up for each would take its share of the processors from what is measured."""


class Report(NamedTuple):
    """``at``: nanoseconds of CLOCK_MONOTONIC (the clock of `time.monotonic_ns`) at the child's first instruction."""

    at: int
    pid: int
    id: int


class Missing(Exception):
    """Children that were expected did not report in time."""


class Reports:
    """The FIFO that children report to; it holds 65,536 records, so that no child ever waits to be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _CAPACITY)
        self.latest: dict[int, Report] = {}

    def read(self) -> list[Report]:
        """Everything that has come, in order; never waits."""
        reports: list[Report] = []
        while True:
            try:
                data = os.read(self._fd, _RECORD.size * 4096)
            except BlockingIOError:
                break
            reports += [Report(*fields) for fields in _RECORD.iter_unpack(data)]
        for report in reports:
            self.latest[report.id] = report
        return reports

    def wait_number(self, number: int, timeout: float, hopeless: Callable[[], bool] = lambda: False) -> list[Report]:
        """Wait, in looks of 4 ms, until ``number`` different children have reported.

        Raises:
            Missing: they had not, ``timeout`` seconds later, or once it was ``hopeless``.
        """
        deadline = time.monotonic() + timeout
        seen: dict[int, Report] = {}
        while len(seen) < number:
            left = number - len(seen)
            while self._waiting() < left * _RECORD.size and time.monotonic() < deadline and not hopeless():
                pause(_LOOK)
            seen.update({report.id: report for report in self.read()})
            if (time.monotonic() > deadline or hopeless()) and len(seen) < number:
                raise Missing(f"{number - len(seen)} of {number} children did not report")
        return list(seen.values())

    def wait_one(self, identity: int, timeout: float) -> Report:
        """The next report of this child.

        Raises:
            Missing: none within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            for report in self.read():
                if report.id == identity:
                    return report
            if time.monotonic() > deadline:
                raise Missing(f"child {identity} did not report within {timeout:.0f} s")

    def close(self) -> None:
        os.close(self._fd)

    def _waiting(self) -> int:
        buffer = fcntl.ioctl(self._fd, termios.FIONREAD, b"\0\0\0\0")
        return int(struct.unpack("=i", buffer)[0])
