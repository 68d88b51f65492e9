"""The floor: `floor.c`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from benchmarks.build import Tools, first_line
from benchmarks.systems.base import System, numbered


class Floor(System):
    name = "floor"
    bound = "fork, exec and the first page faults of the child itself; it promises nothing"
    how: ClassVar[str] = "copy"

    @classmethod
    def version(cls, tools: Tools) -> str:
        return "floor.c, " + first_line(["gcc", "--version"])

    def configure(self) -> str:
        if self.capture:
            return f"a pipe for each child, {self.how} of 64 KiB, rotated at the last line end that fits"
        return "posix_spawn, signalfd, epoll, waitpid in one loop; no throttle"

    def command(self) -> list[str]:
        argv = [str(self.tools.floor), str(self.number), str(self.tools.child), str(self.fifo)]
        if self.capture:
            amount, gate, max_size, keep = self.capture
            argv += [str(self.folder), str(max_size), str(keep), str(amount), str(gate), self.how]
        return argv

    def status_command(self) -> list[str]:
        """A floor for every command written in Python: the interpreter that does nothing."""
        return [sys.executable, "-c", "pass"]

    def log_files(self, child: int) -> list[Path]:
        return numbered(self.folder, f"w{child}.log")


class FloorSplice(Floor):
    """The same, moving pages instead of copying bytes."""

    name = "floor, splice"
    logs_only = True
    how = "splice"
