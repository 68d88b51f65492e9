"""A tree that a program describes, run in the foreground of that program.

The tables go into one file, `tree.json` in the state directory, and `start` reads it like a tree file: one way to
check and to run a tree, whoever describes it, and every command knows it by that file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Self

from supervisor_tree import config
from supervisor_tree.api.child import Child
from supervisor_tree.api.describing import Tables, told
from supervisor_tree.api.errors import ConfigError
from supervisor_tree.api.supervisor import Supervisor
from supervisor_tree.cli import target
from supervisor_tree.cli.start import module
from supervisor_tree.config.problems import Path, Problem, dotted
from supervisor_tree.system import disk


def run(root: Supervisor, *, logs: bool) -> int:
    """See `Supervisor.run`."""
    tables = Tables(root)
    file = _written(root, tables)
    # Its other end is closed when this process is gone, however it went.
    alive, ours = os.pipe()
    try:
        argv = [*module("supervisor_tree"), "start", "-c", file, "--while-open", str(alive)]
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with _Forwarded() as signals:
            # A process group of its own: ^C at the terminal comes to us alone, and is forwarded once.
            keeper = subprocess.Popen(
                [*argv, *(["--logs"] if logs else [])], env=_environment(), pass_fds=[alive], process_group=0
            )
            signals.to(keeper)
            status = keeper.wait()
    finally:
        os.close(alive)
        os.close(ours)
    return 128 - status if status < 0 else status


def _environment() -> dict[str, str]:
    """Ours, in which a fresh interpreter finds this package even if the program alone knew where it is."""
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    known = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    if home in known or home in sysconfig.get_paths().values():
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*known, home])}


def _written(root: Supervisor, tables: Tables) -> str:
    """The file that describes this tree.

    Raises:
        ConfigError: what it describes can't be run.
    """
    text = json.dumps(tables.data(), ensure_ascii=False, indent=1)
    try:
        plan = config.load_text(os.path.join(tables.state_dir, "tree.json"), text, os.environ)
    except config.ConfigError as error:
        raise ConfigError(_said(error.errors, root)) from None
    file = os.path.join(plan.state_dir, "tree.json")
    if not _runs(plan.state_dir):
        # Of a tree that runs, it is the description: `start` refuses to run a second.
        try:
            os.makedirs(plan.state_dir, 0o700, exist_ok=True)
            disk.replace(file, text.encode())
        except OSError as error:
            raise ConfigError([f"Supervisor: state_dir: can't write {file}: {error.strerror}"]) from None
    return file


def _runs(state_dir: str) -> bool:
    run = target.read(os.path.join(state_dir, "run.json"))
    return run is not None and run.lives()


def _said(problems: list[Problem], root: Supervisor) -> list[str]:
    """Problems of the tables, told of the objects that they were made of, in the order of those."""
    prefixes = {"tree": (0, "Supervisor")}
    for number, (path, whom) in enumerate(_inside(root), 1):
        prefixes[dotted(path)] = number, whom
    said = []
    for problem in problems:
        number, whom, key = 0, "Supervisor", problem.key
        # What is inside another comes after it.
        for prefix, (index, name) in prefixes.items():
            rest = problem.key.removeprefix(prefix)
            if rest != problem.key and rest[:1] in ("", ".", "["):
                number, whom, key = index, name, rest.removeprefix(".")
        line = ": ".join(part for part in (whom, key, problem.message) if part)
        # What was added at run time, with `ctl add`, is in a file.
        said.append((number, str(problem) if problem.file.endswith(".toml") else line))
    return [line for _, line in sorted(said, key=lambda one: one[0])]


def _inside(root: Supervisor) -> Iterator[tuple[Path, str]]:
    """The place of each object's table, and whom it is told of, as; each after what it is in."""
    yield from _children(root)
    for job in root.options.get("jobs", ()):
        yield ("jobs", job.name), told(job)
        for number, stage in enumerate(job.options.get("stages", ())):
            yield ("jobs", job.name, "stages", number), told(job, stage)


def _children(supervisor: Supervisor) -> Iterator[tuple[Path, str]]:
    for child in supervisor.children:
        yield ("workers" if isinstance(child, Child) else "supervisors", str(child.name)), told(child)
        if isinstance(child, Supervisor):
            yield from _children(child)


class _Forwarded:
    """Signals to this process are the keeper's, from before it is there until it has ended."""

    def __init__(self) -> None:
        self._keeper: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._forward)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def to(self, keeper: subprocess.Popen[bytes]) -> None:
        self._keeper = keeper
        for number in self._early:
            keeper.send_signal(number)

    def _forward(self, number: int, _: FrameType | None) -> None:
        if self._keeper is None:
            self._early.append(number)
        else:
            self._keeper.send_signal(number)
