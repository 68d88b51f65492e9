"""`keep_awake`: the system's helper is there while a run goes on, and only then."""

from __future__ import annotations

import os
from pathlib import Path

from tests.conftest import MakeTree
from tests.support.processes import commands
from tests.support.tree import Tree
from tests.support.waiting import eventually
from tests.system.jobs.looking import lines, wait_job, wait_lines, wait_runs

# Says what it was asked for, and goes on with it, as `systemd-inhibit … sleep infinity` does.
HELPER = '#!/bin/sh\necho "$@" >> "$HELPED"\nexec sleep 1000\n'

JOB = """
    [jobs.long]
    command = ["sh", "-c", "while [ ! -e go ]; do sleep 0.05; done"]
    keep_awake = true
    """


def _helpers(t: Tree) -> list[str]:
    return [" ".join(command) for command in commands(t.processes(), "sleep") if "1000" in command]


def _with_helper(t: Tree, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("systemd-inhibit", "caffeinate"):
        (folder / name).write_text(HELPER)
        (folder / name).chmod(0o755)
    t.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    t.environ["HELPED"] = str(t.dir / "helped")


def test_the_machine_is_kept_awake_while_a_run_goes_on(tree: MakeTree, tmp_path: Path) -> None:
    t = tree(JOB, start=False)
    _with_helper(t, tmp_path)
    t.start()
    assert lines(t, "helped") == []
    t.ctl("run", "long")
    wait_lines(t, "helped", 1)
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    wait_job(t, "long", lambda j: j["state"] == "running", "it is adopted")
    eventually(lambda: len(_helpers(t)) == 1, lambda: f"one helper is there: {_helpers(t)}")
    (t.dir / "go").touch()
    wait_runs(t, "long", 1, state="succeeded")
    eventually(lambda: not _helpers(t), "the helper is gone")
    assert len(lines(t, "helped")) == 1


def test_a_tree_is_kept_awake_from_its_start_to_its_end(tree: MakeTree, tmp_path: Path) -> None:
    t = tree('[tree]\nkeep_awake = true\n[workers.a]\ncommand = "sleep 500"\n', start=False)
    _with_helper(t, tmp_path)
    t.start()
    wait_lines(t, "helped", 1)
    assert t.stop() == 0


def test_where_there_is_no_helper_that_is_said_and_nothing_else_depends_on_it(tree: MakeTree, tmp_path: Path) -> None:
    t = tree(JOB, start=False)
    (tmp_path / "bin").mkdir()
    for name in ("sh", "sleep"):
        (tmp_path / "bin" / name).symlink_to(f"/bin/{name}")
    t.environ["PATH"] = str(tmp_path / "bin")
    t.start()
    t.ctl("run", "long")
    eventually(lambda: t.events("not_kept_awake"), "it is said")
    (t.dir / "go").touch()
    wait_runs(t, "long", 1, state="succeeded")
