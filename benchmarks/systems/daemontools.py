"""s6 and runit, from Debian: a small supervisor process for each service."""

from __future__ import annotations

import os
import shlex
import signal
from abc import abstractmethod
from pathlib import Path

from benchmarks.build import Tools, first_line
from benchmarks.systems.base import System


class _Folders(System):
    """A folder for each service, with a ``run`` in it."""

    @property
    def services(self) -> Path:
        return self.folder / "services"

    def configure(self) -> str:
        for child in range(self.number):
            service = self.services / f"w{child}"
            service.mkdir(parents=True)
            _script(service / "run", f"exec {shlex.join(self.arguments(child))}")
            if self.capture:
                self.write_logger(service)
        return f"$ {shlex.join(self.command())}\nw0/run: {(self.services / 'w0' / 'run').read_text()}"

    @abstractmethod
    def write_logger(self, service: Path) -> None: ...

    def log_files(self, child: int) -> list[Path]:
        folder = self.services / f"w{child}" / "log" / "main"
        old = sorted(path for path in folder.iterdir() if path.name.startswith("@"))
        return [*old, folder / "current"]


class S6(_Folders):
    name = "s6"
    bound = "s6-supervise waits 1 s after a death before the next ./run; one process for each service"

    @classmethod
    def version(cls, tools: Tools) -> str:
        return "s6 " + first_line(["dpkg-query", "-W", "-f", "${Version}", "s6"])

    def command(self) -> list[str]:
        return ["s6-svscan", "-c", "4000", str(self.services)]

    def status_command(self) -> list[str]:
        return ["sh", "-c", 'for service in "$0"/*; do s6-svstat "$service"; done', str(self.services)]

    def write_logger(self, service: Path) -> None:
        assert self.capture is not None
        (service / "log").mkdir()
        _script(service / "log" / "run", f"exec s6-log n{self.capture.keep} s{self.capture.max_size} ./main")


class Runit(_Folders):
    name = "runit"
    bound = "runsv waits 1 s when ./run lived less than 1 s; one process for each service, at most 1,000"

    @classmethod
    def version(cls, tools: Tools) -> str:
        return "runit " + first_line(["dpkg-query", "-W", "-f", "${Version}", "runit"])

    def command(self) -> list[str]:
        return ["runsvdir", str(self.services)]

    def status_command(self) -> list[str]:
        return ["sv", "status", *(str(self.services / f"w{child}") for child in range(self.number))]

    def stop(self) -> None:
        """HUP: runsvdir ends its runsv processes, each of which ends its service (TERM would leave them)."""
        os.kill(self.main_pid(), signal.SIGHUP)

    def write_logger(self, service: Path) -> None:
        assert self.capture is not None
        main = service / "log" / "main"
        main.mkdir(parents=True)
        (main / "config").write_text(f"s{self.capture.max_size}\nn{self.capture.keep}\n")
        _script(service / "log" / "run", "exec svlogd ./main")


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
