"""The run directory: 0700, ours, no link; else it is refused before anything is started."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually

ONE = """
    [tree]
    run_dir = "${RUN_DIR}"
    [workers.a]
    command = "sleep 1000"
"""


@pytest.fixture
def run() -> Iterator[Path]:
    """Where the run directory is to be: a short path, as sockets need it."""
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp") as folder:
        yield Path(folder) / "run"


def refused(t: Tree, told: str) -> None:
    t.start(wait=False)
    assert t.wait_end() == 1
    assert "run_dir" in t.output()
    assert told in t.output()
    assert "Traceback" not in t.output()
    assert not t.processes()


def test_modes(tree: MakeTree, run: Path) -> None:
    t = tree(ONE, environ={"RUN_DIR": str(run)})
    t.wait("a")
    assert t.run_dir == run
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert stat.S_IMODE((run / "control").stat().st_mode) == 0o700
    assert stat.S_IMODE(t.state_dir.stat().st_mode) == 0o700
    for file in t.state_dir.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a new version has just been put in its place
            assert not stat.S_IMODE(file.lstat().st_mode) & 0o077, file


@pytest.mark.parametrize("inner", ["", "control"])
@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_open_to_others(tree: MakeTree, run: Path, inner: str, mode: int) -> None:
    t = tree(ONE, start=False, environ={"RUN_DIR": str(run)})
    made = run / inner
    (run).mkdir(0o700)
    made.mkdir(0o700, exist_ok=True)
    made.chmod(mode)
    refused(t, "open to others")


@pytest.mark.root
@pytest.mark.parametrize("inner", ["", "control"])
def test_somebody_elses(tree: MakeTree, run: Path, inner: str) -> None:
    if os.getuid() != 0:
        pytest.skip("needs to be root to give a folder away")
    t = tree(ONE, start=False, environ={"RUN_DIR": str(run)})
    (run).mkdir(0o700)
    made = run / inner
    made.mkdir(0o700, exist_ok=True)
    os.chown(made, 65534, 65534)
    refused(t, "belongs to user id 65534")


@pytest.mark.parametrize("inner", ["", "control"])
def test_a_link(tree: MakeTree, run: Path, tmp_path: Path, inner: str) -> None:
    t = tree(ONE, start=False, environ={"RUN_DIR": str(run)})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(0o700)
    if inner:
        (run).mkdir(0o700)
    (run / inner).symlink_to(elsewhere)
    refused(t, "no folder of ours")
    assert not list(elsewhere.iterdir())


def test_a_file(tree: MakeTree, run: Path) -> None:
    t = tree(ONE, start=False, environ={"RUN_DIR": str(run)})
    (run).write_text("")
    refused(t, "no folder of ours")


def test_a_client_does_not_talk_to_somebody_elses_socket(tree: MakeTree, run: Path) -> None:
    """A forged run.json must not lead a client, and what it asks for, to another one's socket."""
    t = tree(ONE, environ={"RUN_DIR": str(run)})
    t.wait("a")
    (run).chmod(0o777)
    told = t.ctl("status", status=None)
    assert "Traceback" not in told
    (run).chmod(0o700)
    t.ctl("status")


def test_what_a_killed_life_has_left_is_gone_after_the_next(tree: MakeTree, run: Path) -> None:
    t = tree(
        """
        [tree]
        run_dir = "${RUN_DIR}"
        [workers.speaks]
        run = "app:main"
        [workers.notifies]
        command = "sleep 1000"
        health = { notify = "1h" }
        """,
        start=False,
        environ={"RUN_DIR": str(run)},
    )
    (t.dir / "app.py").write_text("import time\ndef main():\n    time.sleep(1000)\n")
    t.start()
    t.wait("speaks", "notifies")
    eventually(lambda: {"dump-speaks-1", "n1"} <= {each.name for each in run.glob("u-*/*")}, "both have their files")
    left = {each.name for each in run.glob("u-*/*")}
    t.kill(int(t.run_json()["keeper"]))
    t.assert_nothing_left()
    assert left == {each.name for each in run.glob("u-*/*")}
    t.start()
    t.wait("speaks", "notifies")
    assert t.stop() == 0
    assert not run.exists()


@pytest.mark.slow
def test_a_new_root_that_finds_it_open_is_reachable_once_that_is_mended(tree: MakeTree, run: Path) -> None:
    t = tree(ONE, environ={"RUN_DIR": str(run)})
    t.wait("a")
    pid = t.pids()["a"]
    run.chmod(0o755)
    t.kill(t.root_pid())

    def told() -> list[str]:
        return [line["error"] for line in t.journal("unreachable") if "open to others" in line["error"]]

    eventually(lambda: len(told()) == 1, "it is said")
    run.chmod(0o700)
    t.wait_up()
    assert t.pids()["a"] == pid
    assert len(told()) == 1
