"""Looking at the processes of this machine from outside of the tree."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil


def lives(pid: int) -> bool:
    """Whether ``pid`` runs. A zombie does not: on some machines PID 1 takes seconds to reap orphans."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def processes_with(variables: set[tuple[str, str]]) -> list[psutil.Process]:
    """Living processes that were executed with one of these (name, value) in their environment."""
    wanted = {f"{name}={value}".encode() for name, value in variables}
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if wanted.intersection(_environment(process)) and lives(process.pid):
                found.append(process)
    return found


def commands(processes: list[psutil.Process], name: str) -> list[list[str]]:
    """The command lines of those that run the program ``name``; who ends meanwhile is none of them."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() == name:
                found.append(process.cmdline())
    return found


def _environment(process: psutil.Process) -> list[bytes]:
    """As it was at exec; raises psutil.Error or OSError where it may not be read."""
    try:
        with open(f"/proc/{process.pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except FileNotFoundError:  # no /proc on this system
        return [f"{key}={value}".encode() for key, value in process.environ().items()]


def told(process: psutil.Process) -> str:
    """One line about a process, for messages."""
    try:
        command = " ".join(process.cmdline()) or process.name()
        return f"{process.pid} (parent {process.ppid()}, {process.status()}): {command}"
    except psutil.Error:
        return f"{process.pid}: gone meanwhile"


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            process.send_signal(signal.SIGKILL)
