"""supervisord, from PyPI."""

from __future__ import annotations

from pathlib import Path

from benchmarks.build import Tools, first_line
from benchmarks.systems.base import System, first_lines, numbered

_HEAD = """\
[unix_http_server]
file=%(folder)s/s
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://%(folder)s/s
[supervisord]
logfile=%(folder)s/supervisord.log
pidfile=%(folder)s/supervisord.pid
childlogdir=%(folder)s
minfds=10000
"""
_PROGRAM = """
[program:w%(child)d]
command=%(command)s
autorestart=true
startsecs=0
startretries=1000000
stdout_logfile=%(log)s
stderr_logfile=NONE
"""


class Supervisord(System):
    name = "supervisord"
    bound = "its loop: poll of 1 s; an exit is noticed in one turn, the restart happens in the next"

    @classmethod
    def version(cls, tools: Tools) -> str:
        return "supervisor " + first_line([str(tools.venv / "supervisord"), "--version"])

    def configure(self) -> str:
        text = _HEAD % {"folder": self.folder}
        for child in range(self.number):
            log = "NONE"
            if self.capture:
                log = f"{self.folder}/w{child}.log\nstdout_logfile_maxbytes={self.capture.max_size}"
                log += f"\nstdout_logfile_backups={self.capture.keep}"
            text += _PROGRAM % {"child": child, "command": " ".join(self.arguments(child)), "log": log}
        (self.folder / "supervisord.conf").write_text(text)
        return first_lines(text, text[: text.find("[program:w1]")].count("\n") if self.number > 1 else 100)

    def command(self) -> list[str]:
        return [str(self.tools.venv / "supervisord"), "-n", "-c", str(self.folder / "supervisord.conf")]

    def status_command(self) -> list[str]:
        return [str(self.tools.venv / "supervisorctl"), "-c", str(self.folder / "supervisord.conf"), "status"]

    def log_files(self, child: int) -> list[Path]:
        return numbered(self.folder, f"w{child}.log")
