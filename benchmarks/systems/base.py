"""What every measured system has to be able to do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, ClassVar, NamedTuple

from benchmarks import processes
from benchmarks.build import Tools

MARK = "SUPERVISOR_BENCHMARK"
"""In the environment of everything that a system starts, with its folder as the value."""


class Capture(NamedTuple):
    """Let each child write ``bytes`` bytes of lines once ``gate`` is opened, captured and rotated at ``max_size``."""

    bytes: int
    gate: Path
    max_size: int
    keep: int


class System(ABC):
    """One launch of one system over ``number`` children, in a folder of its own.

    `launch` may be called again after the system was ended or killed; `cleanup` leaves nothing behind.
    """

    name: ClassVar[str]
    bound: ClassVar[str]
    """What its figures are limited by, in a line."""
    backoff: ClassVar[bool] = False
    """Waits before a second restart: only the measures of a single restart make sense."""
    logs_only: ClassVar[bool] = False
    """Differs from another only in how it captures output."""

    def __init__(self, tools: Tools, folder: Path, fifo: Path, number: int, capture: Capture | None = None) -> None:
        self.tools = tools
        self.folder = folder
        self.fifo = fifo
        self.number = number
        self.capture = capture
        self.process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        folder.mkdir(parents=True)
        self.configuration = self.configure()
        """Its configuration, for the reader of the results: the files with one child."""

    @classmethod
    @abstractmethod
    def version(cls, tools: Tools) -> str: ...

    @abstractmethod
    def configure(self) -> str:
        """Write the configuration into `folder`; return what a reader needs to see of it."""

    @abstractmethod
    def command(self) -> list[str]:
        """What starts it."""

    @abstractmethod
    def status_command(self) -> list[str]:
        """What shows the state of all children."""

    @abstractmethod
    def log_files(self, child: int) -> list[Path]:
        """The captured output of one child, oldest file first. Only with a `Capture`."""

    def stop(self) -> None:
        """Ask it to stop all children and end. Does not wait."""
        os.kill(self.main_pid(), signal.SIGTERM)

    def main_pid(self) -> int:
        """The process that holds the others: what a user would think of killing."""
        assert self.process is not None
        return self.process.pid

    def environment(self) -> dict[str, str]:
        # Without byte code every start would compile the program anew; an installed one has it.
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        return {**inherited, MARK: str(self.folder)}

    def arguments(self, child: int) -> list[str]:
        """The argv of one child."""
        argv = [str(self.tools.child), f"w{child}", str(self.fifo)]
        if self.capture:
            argv += ["log", str(self.capture.bytes), str(self.capture.gate)]
        return argv

    def launch(self) -> None:
        """Start it. Its own output goes to ``launch.out`` in its folder."""
        if self._output:
            self._output.close()
        self._output = (self.folder / "launch.out").open("ab")
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    def has_failed(self) -> bool:
        """What was launched has ended with an error."""
        return self.process is not None and self.process.poll() not in (None, 0)

    def own_processes(self) -> list[processes.Process]:
        """Its processes that are not children of ours: what it costs itself."""
        return [process for process in processes.marked(str(self.folder)) if not self._is_child(process)]

    def living_children(self) -> list[processes.Process]:
        return [process for process in processes.marked(str(self.folder)) if self._is_child(process)]

    def cleanup(self) -> None:
        """Kill what is left of it and remove its folder.

        Raises:
            TimeoutError: something can't be killed.
        """
        if self.process and self.process.poll() is None:
            self.process.kill()
        processes.kill_marked(str(self.folder))
        if self.process:
            self.process.wait()
        if self._output:
            self._output.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_child(self, process: processes.Process) -> bool:
        return process.executable == str(self.tools.child)


def first_lines(text: str, number: int) -> str:
    lines = text.splitlines()
    return "\n".join(lines[:number] + (["…"] if len(lines) > number else []))


def numbered(folder: Path, name: str) -> list[Path]:
    """``name`` and ``name.1``, ``name.2`` …, oldest (highest number) first."""
    files = [folder / name] if (folder / name).exists() else []
    number = 1
    while (folder / f"{name}.{number}").exists():
        files.append(folder / f"{name}.{number}")
        number += 1
    return files[::-1]
