"""Rule 17 and rule 2 as somebody who is not root."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from supervisor_tree import config
from tests.unit.config.conftest import Bad, Good


@pytest.fixture
def not_root(monkeypatch: pytest.MonkeyPatch) -> str:
    """This process thinks that it runs as some user; the answer is that user's name."""
    somebody = next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)
    monkeypatch.setattr(os, "geteuid", lambda: somebody.pw_uid)
    return somebody.pw_name


def test_only_root_runs_programs_as_others(bad: Bad, not_root: str) -> None:
    mend = "start the tree as root, or leave this out"
    assert bad("[workers.a]\ncommand = 'x'\nuser = 'root'\ngroup = '0'\n") == [
        f"tree.toml:3: workers.a.user: only root can run programs as another user: {mend}",
        f"tree.toml:4: workers.a.group: only root can run programs in another group: {mend}",
    ]


def test_as_oneself_is_no_change(good: Good, not_root: str) -> None:
    plan = good(f"[workers.a]\ncommand = 'x'\nuser = '{not_root}'\n")
    assert config.program(plan, "a").env["USER"] == not_root


def test_a_file_that_others_may_write_is_warned_of(tmp_path: Path, not_root: str) -> None:
    file = tmp_path / "tree.toml"
    file.write_text("[workers.a]\ncommand = 'true'\n")
    file.chmod(0o666)
    (warning,) = config.load([str(file)], {}).warnings
    assert str(warning) == f"{file}:1: is writable by everybody: chmod o-w {file}"
