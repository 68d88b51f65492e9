"""One worker of a test's own module, run as `python -m supervisor_tree.workers` runs it, with a tree or without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from tests.support.router import Router
from tests.support.tree import REPOSITORY
from tests.support.waiting import PATIENCE

TOKEN = "0123456789abcdef" * 2


class Running:
    """``Running(folder, '''module text''')`` then `start`. Ended by `close`."""

    def __init__(self, folder: Path, text: str, *, router: Router | None = None) -> None:
        self.dir = folder
        self.router = router
        (folder / "app.py").write_text(textwrap.dedent(text))
        self._process: subprocess.Popen[str] | None = None
        self._errors = open(folder / "stderr", "w+")  # noqa: SIM115, closed by `close`

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def start(self, attribute: str, args: dict[str, Any] | None = None, *flags: str) -> Running:
        """Run ``app:attribute``. ``flags``: of the interpreter."""
        argv = ["-m", "supervisor_tree.workers", f"app:{attribute}"]
        return self.python(*flags, *argv, *([] if args is None else [json.dumps(args)]))

    def python(self, *argv: str) -> Running:
        """Any Python, in a session of its own as a worker is."""
        self._process = subprocess.Popen(
            [sys.executable, *argv],
            cwd=self.dir,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        return self

    def _environment(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("SUPERVISOR_TREE_")}
        env["PYTHONPATH"] = str(REPOSITORY)
        if self.router is not None:
            env["SUPERVISOR_TREE_NAME"] = "a"
            env["SUPERVISOR_TREE_INCARNATION"] = "3"
            env["SUPERVISOR_TREE_TOKEN"] = TOKEN
            env["SUPERVISOR_TREE_ENDPOINT"] = self.router.endpoint
        return env

    def line(self) -> str:
        """The next line that it prints; empty at its end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def wait(self) -> int:
        """Its exit status; by a signal: minus its number."""
        return self.process.wait(PATIENCE)

    def rest(self) -> list[str]:
        """The lines that it has printed since, up to its end."""
        assert self.process.stdout is not None
        return self.process.stdout.read().splitlines()

    def errors(self) -> str:
        """All that it has written to stderr."""
        return (self.dir / "stderr").read_text()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
        self._errors.close()
