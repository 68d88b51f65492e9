"""Fixtures of the whole suite."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.tree import Tree

MakeTree = Callable[..., Tree]

# How long an example takes, and to think of one, is the machine's business.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# What is ignored stays so in every child: under `nohup make test &` no ^C and no hangup would reach what is tested.
for _number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(_number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[MakeTree]:
    """``tree(text)`` writes a tree file into a folder of its own and starts it; ``start=False``: only writes.

    ``environ``: more variables for it and everything it starts. May be called more than once in a test. At
    the end every tree is killed and must be gone."""
    made: list[Tree] = []

    def make(text: str = "", *, start: bool = True, environ: dict[str, str] | None = None) -> Tree:
        one = Tree(tmp_path / f"tree{len(made) or ''}", text, environ)
        made.append(one)
        return one.start() if start else one

    yield make
    failures = []
    for one in made:
        try:
            one.close()
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, "\n".join(failures)


@pytest.fixture
def interpreter() -> str:
    """A Python that other users may run: that of the tests may lie in root's home."""
    found = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    new = "import sys; sys.exit(sys.version_info < (3, 11))"
    if found is None or subprocess.run([found, "-c", new], check=False, timeout=30).returncode:
        pytest.skip("no interpreter here that another user may run")
    return found
