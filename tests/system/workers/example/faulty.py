"""The workers of the example tree, with two faults that a signal brings about: USR1 blocks the main thread for good,
USR2 takes 400 MB and keeps them. They work as they are until then. As a program: the web server."""

from __future__ import annotations

import signal
import sys
import threading

from supervisor_tree.workers.example.host_watcher import HostWatcher
from supervisor_tree.workers.example.page_builder import build
from supervisor_tree.workers.example.recorder import Recorder
from supervisor_tree.workers.example.thresholds import watch
from supervisor_tree.workers.example.web_server import main

__all__ = ["HostWatcher", "Recorder", "build", "watch"]

_taken = threading.Lock()
_kept: list[bytes] = []


def lock_up(number: int, frame: object) -> None:
    with _taken:
        _taken.acquire()  # which this thread has


def leak(number: int, frame: object) -> None:
    _kept.append(b"x" * 400_000_000)


signal.signal(signal.SIGUSR1, lock_up)
signal.signal(signal.SIGUSR2, leak)

if __name__ == "__main__":
    sys.exit(main())
