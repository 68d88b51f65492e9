"""pm2, from npm."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from benchmarks.build import Tools, first_line
from benchmarks.systems.base import System, first_lines


class Pm2(System):
    name = "pm2"
    bound = "the event loop of Node; no fixed delay with restart_delay 0"

    @classmethod
    def version(cls, tools: Tools) -> str:
        package = json.loads((tools.pm2.parent.parent / "pm2" / "package.json").read_text())
        return f"pm2 {package['version']}, Node {first_line(['node', '--version'])}"

    def configure(self) -> str:
        apps = []
        for child in range(self.number):
            log = str(self.folder / f"w{child}.log") if self.capture else "/dev/null"
            program, *arguments = self.arguments(child)
            apps.append(
                {
                    "name": f"w{child}",
                    "script": program,
                    "args": arguments,
                    "interpreter": "none",
                    "exec_mode": "fork",
                    "autorestart": True,
                    "restart_delay": 0,
                    "min_uptime": 0,
                    "max_restarts": 1_000_000_000,
                    "out_file": log,
                    "error_file": "/dev/null",
                }
            )
        (self.folder / "apps.json").write_text(json.dumps({"apps": apps}))
        return first_lines(json.dumps({"apps": apps[:1]}, indent=1), 100)

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PM2_HOME": str(self.folder / "home"), "PM2_DISABLE_VERSION_CHECK": "true"}

    def command(self) -> list[str]:
        return [str(self.tools.pm2), "start", str(self.folder / "apps.json")]

    def status_command(self) -> list[str]:
        return [str(self.tools.pm2), "list"]

    def main_pid(self) -> int:
        return int((self.folder / "home" / "pm2.pid").read_text())

    def stop(self) -> None:
        subprocess.Popen(
            [str(self.tools.pm2), "kill"],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def log_files(self, child: int) -> list[Path]:
        return [self.folder / f"w{child}.log"]
