"""Real programs that hang in known ways, and what is found out about them: the parts of `root/hangs` without a tree."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from supervisor_tree.root.hangs import explaining, facts
from supervisor_tree.root.hangs.stacks import Dump, Expected
from tests.support.waiting import eventually

_BEGIN = """\
import sys
from supervisor_tree.workers.life import dump
told = dump.install()
def hangs():  # called right before the program hangs
    print(told["signal"], flush=True)
"""


class Program:
    """A Python program that has installed its dump and is about to hang, in a session of its own."""

    def __init__(self, folder: Path, text: str, *, installs: bool = True) -> None:
        self._run = folder / f"u-{os.geteuid()}"
        self._run.mkdir(mode=0o700, exist_ok=True)
        self.file = folder / "app.py"
        self.dump_file = self._run / "dump-app-1"
        begin = _BEGIN if installs else "import sys\ndef hangs():\n    print(0, flush=True)\n"
        self.file.write_text(begin + textwrap.dedent(text))
        self.process = subprocess.Popen(
            [sys.executable, str(self.file)],
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={
                **os.environ,
                "SUPERVISOR_TREE_ENDPOINT": f"ipc://{self._run}/heartbeat",
                "SUPERVISOR_TREE_NAME": "app",
                "SUPERVISOR_TREE_INCARNATION": "1",
                "PYTHONPATH": os.getcwd(),
            },
        )
        assert self.process.stdout is not None
        self.signal = int(self.process.stdout.readline())

    def line(self, marked: str) -> str:
        """``app.py:12`` of the line that holds this text."""
        lines = self.file.read_text().splitlines()
        return f"app.py:{next(number for number, line in enumerate(lines, 1) if marked in line)}"

    def dump(self) -> Dump | None:
        expected = Expected(str(self.dump_file))
        os.kill(self.process.pid, self.signal)
        return expected.wait(self.process.pid, 1.5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kill(self.process)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@contextmanager
def command(*argv: str) -> Iterator[int]:
    """A program that knows nothing of us."""
    process = subprocess.Popen(argv, start_new_session=True, stdin=subprocess.PIPE)
    try:
        yield process.pid
    finally:
        kill(process)
        assert process.stdin is not None
        process.stdin.close()


def look_twice(pid: int) -> Sequence[facts.Facts]:
    looker = facts.Looker()
    first = looker.look(pid)
    threading.Event().wait(0.3)
    return facts.between(first, looker.look(pid))


def explained(program: Program) -> explaining.Explained:
    """As the root finds it out."""
    seen = look_twice(program.process.pid)
    return explaining.explain(explaining.Case(facts=seen, dump=program.dump(), asked=True))


def explained_from_outside(pid: int) -> explaining.Explained:
    return explaining.explain(explaining.Case(facts=look_twice(pid)))


@contextmanager
def cgroup(kind: str, knob: str) -> Iterator[Path]:
    """A control group of our own that has this knob, of version 1 or 2; skipped where there is none to be had."""
    for top in (f"/sys/fs/cgroup/{kind}", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        group = Path(top, f"supervisor-tree-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / knob).exists():
            break
        group.rmdir()
    else:
        pytest.skip(f"no cgroup with {knob} can be made here")
    try:
        yield group
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")
        group.rmdir()


def uncached(path: Path, size: int) -> None:
    """A file of so many bytes that are in nobody's memory, so that who reads them is charged with them."""
    with path.open("wb") as file:
        file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
