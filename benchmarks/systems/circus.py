"""circus, from PyPI."""

from __future__ import annotations

from pathlib import Path

from benchmarks.build import Tools, first_line
from benchmarks.systems.base import System, first_lines, numbered

_HEAD = """\
[circus]
check_delay = 0.1
warmup_delay = 0
endpoint = ipc://{folder}/e
pubsub_endpoint = ipc://{folder}/p
statsd = False
"""
_WATCHER = """
[watcher:w{child}]
cmd = {command}
numprocesses = 1
copy_env = True
warmup_delay = 0
graceful_timeout = 10
{log}"""
_LOG = """\
stdout_stream.class = FileStream
stdout_stream.filename = {folder}/w{child}.log
stdout_stream.max_bytes = {capture.max_size}
stdout_stream.backup_count = {capture.keep}
"""


class Circus(System):
    name = "circus"
    bound = "polling: it looks for exits every check_delay (default 5 s, here 0.1 s, which is what its idle cost pays)"

    @classmethod
    def version(cls, tools: Tools) -> str:
        return "circus " + first_line([str(tools.venv / "circusd"), "--version"])

    def configure(self) -> str:
        text = _HEAD.format(folder=self.folder)
        for child in range(self.number):
            log = _LOG.format(folder=self.folder, child=child, capture=self.capture) if self.capture else ""
            text += _WATCHER.format(child=child, command=" ".join(self.arguments(child)), log=log)
        (self.folder / "circus.ini").write_text(text)
        return first_lines(text, text[: text.find("[watcher:w1]")].count("\n") if self.number > 1 else 100)

    def command(self) -> list[str]:
        configuration = str(self.folder / "circus.ini")
        return [str(self.tools.venv / "circusd"), "--log-output", str(self.folder / "log"), configuration]

    def status_command(self) -> list[str]:
        return [str(self.tools.venv / "circusctl"), "--endpoint", f"ipc://{self.folder}/e", "status"]

    def log_files(self, child: int) -> list[Path]:
        return numbered(self.folder, f"w{child}.log")
