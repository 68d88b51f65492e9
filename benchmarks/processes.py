"""Looking at processes from outside, through /proc: whose they are, what they cost, when they are gone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.clock import pause


class Process(NamedTuple):
    pid: int
    executable: str
    command: str


def marked(mark: str) -> list[Process]:
    """Every living process that has ``mark`` in its environment or its arguments (a zombie has neither)."""
    needle = mark.encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            arguments = Path("/proc", entry, "cmdline").read_bytes()
            if needle not in arguments and needle not in Path("/proc", entry, "environ").read_bytes():
                continue
            executable = os.readlink(f"/proc/{entry}/exe")
        except OSError:
            continue
        command = arguments.replace(b"\0", b" ").decode(errors="replace").strip()
        found.append(Process(int(entry), executable, command))
    return found


def kill_marked(mark: str, timeout: float = 30.0) -> None:
    """Kill everything marked, until two looks in a row find nothing.

    Raises:
        TimeoutError: something still lives after ``timeout`` seconds; it is named.
    """
    deadline = time.monotonic() + timeout
    empty = 0
    while empty < 2:
        left = marked(mark)
        empty = 0 if left else empty + 1
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        if left and time.monotonic() > deadline:
            raise TimeoutError("these processes can't be killed: " + ", ".join(str(process) for process in left[:5]))
        if left:
            pause(0.02)


class Watch:
    """Tells when processes have ended. Made before they are asked to, so that no pid can be mistaken."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._fds: list[int] = []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                self._fds.append(os.pidfd_open(pid))

    def alive(self) -> int:
        """How many are alive."""
        return sum(1 for fd in self._fds if not _ended(fd, 0))

    def wait(self, timeout: float) -> int | None:
        """Nanoseconds of CLOCK_MONOTONIC when the last was gone, or None if some live on after ``timeout`` seconds.

        Waits for one after the other, in their order: woken at each end, the watcher would take a processor from those
        that it watches. Put the one that ends last first.
        """
        deadline = time.monotonic() + timeout
        for fd in self._fds:
            if not _ended(fd, max(0.0, deadline - time.monotonic())):
                return None
        return time.monotonic_ns()

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()


def _ended(fd: int, timeout: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def cpu_seconds(pids: Iterable[int]) -> float:
    """Time on a processor of all threads of these processes so far, in seconds, from the scheduler's nanoseconds."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


def private(pid: int) -> float:
    """Megabytes that only this process has: what would be free if it ended."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in rollup if line.startswith("Private_"))


class Memory(NamedTuple):
    """Megabytes (1,000,000 bytes). ``pss`` counts a page that k processes share as 1/k of a page in each;
    ``anonymous`` is the heap and stack part of it, the rest is mapped files (programs, libraries)."""

    pss: float
    anonymous: float


def memory(pid: int) -> Memory:
    values = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, amount, *_ = line.split()
        values[name] = int(amount) * 1024 / 1e6
    return Memory(values["Pss:"], values.get("Pss_Anon:", 0.0))
