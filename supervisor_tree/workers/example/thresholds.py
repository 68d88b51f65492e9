"""Says when the machine's figures stay over a limit, and when that is over: a plain function.

It lives from what the recorder hands it and ends when the recorder does (exit status 1), so that what runs
both must tie them: `rest_for_one`. Each change is a line in its log and in the alerts file; what stands
now is one JSON array, replaced whole.
"""

from __future__ import annotations

import socket
import sys
import time
from collections import deque
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from supervisor_tree.system import means
from supervisor_tree.workers import beat
from supervisor_tree.workers.example.figures import Figures, decode, write_whole

EASE = 5.0
"""An alert is over when the mean is so much under its limit: a figure that swings about it is one alert, not fifty."""

PATIENCE = 10.0
"""Seconds to wait for the recorder's socket: it is started just before this program."""

_QUIET = 5.0
"""Seconds without a sample after which a beat says that this program is well all the same."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A change: ``figure`` went over ``limit`` (``raised``), or back under it."""

    time: datetime
    figure: str
    raised: bool
    mean: float
    limit: float


class Judge:
    """Holds a window of samples against limits. Pure: time is that of the samples."""

    def __init__(self, limits: dict[str, float], over: timedelta) -> None:
        self._limits = limits
        self._over = over
        self._window: deque[Figures] = deque()
        self.standing: dict[str, Alert] = {}

    def add(self, figures: Figures) -> list[Alert]:
        """What this sample changes. Nothing is said before the window is full: one busy second is no alert."""
        self._window.append(figures)
        while len(self._window) > 1 and self._window[1].time <= figures.time - self._over:
            self._window.popleft()
        if figures.time - self._window[0].time < self._over:
            return []
        changes = []
        for figure, limit in self._limits.items():
            mean = sum(getattr(each, figure) for each in self._window) / len(self._window)
            raised = figure not in self.standing and mean >= limit
            if raised or (figure in self.standing and mean < limit - EASE):
                alert = Alert(time=figures.time, figure=figure, raised=raised, mean=round(mean, 1), limit=limit)
                changes.append(alert)
                if raised:
                    self.standing[figure] = alert
                else:
                    del self.standing[figure]
        return changes


def connect(path: Path) -> socket.socket:
    """The recorder's socket, waited for. Raises OSError when it does not come."""
    end = time.monotonic() + PATIENCE
    with means.watch_files() as watcher:
        watcher.add(str(path.parent))
        while True:
            recorder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                recorder.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):  # not made yet; left by one that was killed
                recorder.close()
                left = end - time.monotonic()
                if left <= 0:
                    raise
                watcher.wait(left)
            else:
                return recorder


def tell(alerts: list[Alert], history: Path) -> None:
    """One line in the log and one in the alerts file for each."""
    with open(history, "ab") as file:
        for alert in alerts:
            file.write(msgspec.json.encode(alert) + b"\n")
            what = "over" if alert.raised else "back under"
            print(f"{alert.figure} {what} {alert.limit:g}: {alert.mean:g}", flush=True)


def watch(
    recorder: Path,
    alerts: Path,
    standing: Path,
    cpu: float = 90.0,
    memory: float = 90.0,
    disk: float = 90.0,
    over: float = 60.0,
) -> int:
    """Watch until the recorder goes; the exit status. At its end it is interrupted, wherever it waits.

    Args:
        recorder: the recorder's socket.
        alerts: appended, one change a line.
        standing: replaced, what stands now.
        cpu, memory, disk: limits in percent.
        over: seconds; the mean over so long counts.
    """
    limits = {"cpu_percent": cpu, "memory_percent": memory, "disk_percent": disk}
    judge = Judge(limits, timedelta(seconds=over))
    try:
        connection = connect(recorder)
    except OSError as error:
        print(f"the recorder does not answer on {recorder}: {error.strerror}", file=sys.stderr)
        return 1
    with connection:
        connection.sendall(f"{over}\n".encode())
        connection.settimeout(_QUIET)
        print(f"watching {', '.join(limits)}, mean over {over:g} s", flush=True)
        write_whole(standing, b"[]\n")
        rest = b""
        while True:
            beat(f"{len(judge.standing)} alerts")
            try:
                got = connection.recv(1 << 16)
            except TimeoutError:
                continue
            if not got:
                print("the recorder has gone", file=sys.stderr)
                return 1
            *lines, rest = (rest + got).split(b"\n")
            changes = [alert for line in lines for alert in judge.add(decode(line))]
            if changes:
                tell(changes, alerts)
                write_whole(standing, msgspec.json.encode(list(judge.standing.values())) + b"\n")
