"""Trees that a program describes: a real script, run by a real interpreter."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.tree import MARK, Tree
from tests.support.waiting import PATIENCE, eventually


class Program(Tree):
    """A tree whose `start` is a script of its own, ``app.py`` in its folder; `keeper` is the process of that script."""

    def __init__(self, folder: Path, text: str, environ: dict[str, str] | None = None) -> None:
        super().__init__(folder, environ=environ)
        self.script = folder / "app.py"
        self.script.write_text(textwrap.dedent(text))
        # for the commands; the script says itself which tree it is
        self.environ["SUPERVISOR_TREE_CONFIG"] = str(self.state_dir / "tree.json")

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The script, not waited for. Any other command: as of every tree."""
        if arguments[:1] != ("start",):
            return super().spawn(*arguments)
        with open(self.dir / f"start-{len(self._spawned) + 1}.out", "wb") as out:
            process = subprocess.Popen(
                [sys.executable, str(self.script), *arguments[1:]],
                cwd="/",
                env={**self.environ, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._spawned.append(process)
        return process

    def wait_up(self, timeout: float = PATIENCE) -> None:
        """Return once the root of the script that was started last answers."""
        program = self._keeper()

        def up() -> bool:
            if program.poll() is not None:
                raise AssertionError(f"the program ended with {program.returncode}:\n{self.output()}")
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                parents = [parent.pid for parent in self.keeper_process().parents()]
                return program.pid in parents and (self.run_dir / "control" / "control").exists()
            return False

        eventually(up, lambda: f"the tree is up; it said:\n{self.output()}", timeout)
        self.ask("status", timeout, names=[])

    def keeper_process(self) -> psutil.Process:
        """The keeper, below the script. Raises ValueError while there is none."""
        try:
            return psutil.Process(self.run_json()["keeper"])
        except psutil.NoSuchProcess as error:
            raise ValueError("no keeper") from error


MakeProgram = Callable[..., Program]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[MakeProgram]:
    """``program(text)`` writes a script into a folder of its own and starts it; ``start=False``: only writes."""
    made: list[Program] = []

    def make(text: str, *, start: bool = True, environ: dict[str, str] | None = None) -> Program:
        one = Program(tmp_path / f"program{len(made) or ''}", text, environ)
        made.append(one)
        if start:
            one.start()
        return one

    yield make
    for one in made:
        one.close()
