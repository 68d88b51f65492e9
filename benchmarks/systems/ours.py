"""supervisor-tree itself."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import ClassVar

from benchmarks.build import ROOT, Tools, first_line
from benchmarks.systems.base import System, first_lines, numbered

_TREE = """\
[tree]
name = "bench"
state_dir = "state"
run_dir = "run"
{defaults}{logs}"""
_MERGE_FROM = 2000
"""From so many children on, standard output and error share a pipe: with two pipes each, the keeper alone would need
more descriptors than a hard limit of 20,000 allows for 10,000 children."""


class Ours(System):
    name = "supervisor-tree"
    bound = "its promises: a state that survives the root, no survivor of a child's group, a journal of each decision"
    settings: ClassVar[str] = '\n[defaults]\nbackoff = "0s"\n'
    worker: ClassVar[str] = """
[workers.w{child}]
command = {argv}
{log}"""

    @classmethod
    def version(cls, tools: Tools) -> str:
        commit = first_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty"])
        return f"{commit or 'working copy'}, Python {sys.version.split()[0]}"

    def configure(self) -> str:
        logs = ""
        if self.capture:
            logs = f"\n[logs]\nmax_size = {self.capture.max_size}\nkeep = {self.capture.keep}\n"
        text = _TREE.format(defaults=self.settings, logs=logs)
        for child in range(self.number):
            log = ""
            if self.number >= _MERGE_FROM:
                log = f'log = {{ file = "state/logs/w{child}.log", stderr = "state/logs/w{child}.log" }}\n'
            text += self.worker.format(
                child=child,
                argv=json.dumps(self.arguments(child)),
                log=log,
                python=self.tools.python,
                folder=self.tools.child.parent,
                fifo=self.fifo,
            )
        (self.folder / "tree.toml").write_text(text)
        return first_lines(text, text[: text.find("[workers.w1]")].count("\n") if self.number > 1 else 100)

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        return {**super().environment(), "PYTHONPATH": path}

    def command(self) -> list[str]:
        return [sys.executable, "-m", "supervisor_tree", "start", "-c", str(self.folder / "tree.toml")]

    def status_command(self) -> list[str]:
        return [sys.executable, "-m", "supervisor_tree", "ctl", "-c", str(self.folder / "tree.toml"), "status"]

    def log_files(self, child: int) -> list[Path]:
        return numbered(self.folder / "state" / "logs", f"w{child}.log")


class OursPython(Ours):
    """The child as a Python worker: a zygote has imported numpy and pandas, and forks."""

    name = "supervisor-tree, zygote"
    bound = "a fork of an interpreter that has imported what the worker needs"
    worker = """
[workers.w{child}]
run = "python_child:work"
python = "{python}"
preload = ["numpy", "pandas"]
cwd = "{folder}"
args = {{ name = "w{child}", fifo = "{fifo}" }}
{log}"""


class OursBeating(Ours):
    """Every worker has to beat, from its hello on, or it is taken to hang."""

    name = "supervisor-tree, beating"
    bound = "reading a message of ZeroMQ, decoding its JSON, one entry in a table"
    worker = """
[workers.w{child}]
command = {argv}
ready = {{ heartbeat = true }}
start_timeout = "10m"
health = {{ heartbeat = "30s" }}
{log}"""


class OursDefaults(Ours):
    """The same without a word about backoff."""

    name = "supervisor-tree, defaults"
    bound = 'its default backoff: the first restart at once, the second after 1 s, doubling up to "5m"'
    settings = ""
    backoff = True
