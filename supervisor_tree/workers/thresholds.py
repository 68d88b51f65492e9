"""Says when the machine's figures stay over a limit, and when that is over.

    python -m supervisor_tree.workers.thresholds --recorder data/recorder.sock --alerts data/alerts.jsonl \\
        --standing data/alerts.json --cpu 90 --memory 90 --disk 90 --over 60

It lives from what the recorder hands it and ends when the recorder does (exit status 1), so that what runs
both must tie them: `rest_for_one`. Each change is a line in its log and in the alerts file; what stands
now is one JSON array, replaced whole.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections import deque
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from supervisor_tree.workers.figures import Figures, decode, write_whole
from supervisor_tree.workers.stopping import Stopping
from supervisor_tree.workers.watching import Watched

EASE = 5.0
"""An alert is over when the mean is so much under its limit: a figure that swings about it is one alert, not fifty."""

PATIENCE = 10.0
"""Seconds to wait for the recorder's socket: it is started just before this program."""


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


def connect(path: Path, stopping: Stopping) -> socket.socket | None:
    """The recorder's socket, waited for; None when asked to stop. Raises OSError when it does not come."""
    end = time.monotonic() + PATIENCE
    with Watched(path) as watched:
        while not stopping.asked:
            recorder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                recorder.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):  # not made yet; left by one that was killed
                recorder.close()
                left = end - time.monotonic()
                if left <= 0:
                    raise
                watched.wait(stopping, left)
            else:
                return recorder
    return None


def tell(alerts: list[Alert], history: Path) -> None:
    """One line in the log and one in the alerts file for each."""
    with open(history, "ab") as file:
        for alert in alerts:
            file.write(msgspec.json.encode(alert) + b"\n")
            what = "over" if alert.raised else "back under"
            print(f"{alert.figure} {what} {alert.limit:g}: {alert.mean:g}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="thresholds", description="Says when figures stay over a limit.")
    parser.add_argument("--recorder", type=Path, required=True, metavar="SOCKET")
    parser.add_argument("--alerts", type=Path, required=True, metavar="FILE", help="appended: one change a line")
    parser.add_argument("--standing", type=Path, required=True, metavar="FILE", help="replaced: what stands now")
    for figure in ("cpu", "memory", "disk"):
        parser.add_argument(f"--{figure}", type=float, default=90.0, metavar="PERCENT", help="default: 90")
    parser.add_argument("--over", type=float, default=60.0, metavar="SECONDS", help="mean over so long; default: 60")
    options = parser.parse_args(arguments)

    limits = {f"{figure}_percent": getattr(options, figure) for figure in ("cpu", "memory", "disk")}
    judge = Judge(limits, timedelta(seconds=options.over))
    with Stopping() as stopping:
        try:
            recorder = connect(options.recorder, stopping)
        except OSError as error:
            print(f"the recorder does not answer on {options.recorder}: {error.strerror}", file=sys.stderr)
            return 1
        if recorder is None:
            return 0
        with recorder:
            recorder.sendall(f"{options.over}\n".encode())
            print(f"watching {', '.join(limits)}, mean over {options.over:g} s", flush=True)
            write_whole(options.standing, b"[]\n")
            rest = b""
            while not stopping.asked:
                if not stopping.wait(None, recorder.fileno()):
                    continue
                got = recorder.recv(1 << 16)
                if not got:
                    print("the recorder has gone", file=sys.stderr)
                    return 1
                *lines, rest = (rest + got).split(b"\n")
                changes = [alert for line in lines for alert in judge.add(decode(line))]
                if changes:
                    tell(changes, options.alerts)
                    write_whole(options.standing, msgspec.json.encode(list(judge.standing.values())) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
