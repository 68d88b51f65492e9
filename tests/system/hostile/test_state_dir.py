"""The state directory damaged, torn or full: supervision goes on, and says what is wrong."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from tests.support.asking import ask
from tests.support.tree import Tree
from tests.support.waiting import PATIENCE, eventually

TWO = """
    [workers.a]
    command = "sleep 1000"
    backoff = "0s"
    [workers.b]
    command = "sleep 1000"
"""


def once(tree: MakeTree) -> Tree:
    """A tree that has lived once and has ended in order."""
    t = tree(TWO)
    t.wait("a", "b")
    t.ctl("stop", "b", "--reason", "because")
    assert t.stop() == 0
    return t


def starts(t: Tree) -> None:
    """It starts as if nothing were wrong, and works."""
    t.start()
    t.wait("a")
    assert t.child("b")["state"] == "stopped"
    t.kill(t.pids()["a"])
    t.wait_until("a", state="running", restarts=1)
    assert "a" in t.ctl("why", "a")
    assert t.stop() == 0
    assert "Traceback" not in t.output()


def test_a_torn_journal(tree: MakeTree) -> None:
    """A power cut in the middle of a line."""
    t = once(tree)
    (segment,) = (t.state_dir / "journal").glob("*.jsonl")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-20])
    last = json.loads(whole.splitlines()[-2])["seq"]
    starts(t)
    lines = t.journal()
    numbers = [line["seq"] for line in lines]
    assert numbers == sorted(set(numbers))
    assert [line["event"] for line in lines if line["seq"] == last + 1] == ["tree_started"]


def test_a_journal_with_garbage(tree: MakeTree) -> None:
    t = once(tree)
    (segment,) = (t.state_dir / "journal").glob("*.jsonl")
    last = json.loads(segment.read_bytes().splitlines()[-1])["seq"]
    with segment.open("ab") as file:
        file.write(
            b"\0" * 5000 + b"\n" + b"\xff\xfe\n" + b"[]\n" + b'{"seq": "x"}\n' + b'{"seq"' * 1000 + b"\nhalf a li"
        )
    t.start()
    t.wait("a")
    started = json.loads(t.ctl("events", "--type", "tree_started", "--json").splitlines()[-1])
    assert started["seq"] == last + 1
    assert "a" in t.ctl("why", "a")
    assert t.stop() == 0
    assert "Traceback" not in t.output()


def test_the_journal_is_gone(tree: MakeTree) -> None:
    t = once(tree)
    shutil.rmtree(t.state_dir / "journal")
    starts(t)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"b": {"wish": "sideways"}}', '{"b": 5}', "\0"])
def test_wishes_that_cannot_be_read_are_refused(tree: MakeTree, text: str) -> None:
    """To guess would start what somebody has stopped."""
    t = tree(TWO, start=False)
    t.state_dir.mkdir()
    (t.state_dir / "wishes.json").write_text(text)
    t.start(wait=False)
    assert t.wait_end() == 1
    assert "wishes.json" in t.output()
    assert "Traceback" not in t.output()


GARBAGE = [b"", b"\0" * 1000, b"[" * 9000, b"{}", b'{"pid": "x", "id": 5, "start": []}\n[]\n{"e": 7}\n']


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_other_files_with_garbage(tree: MakeTree, garbage: bytes) -> None:
    t = tree(TWO, start=False)
    t.state_dir.mkdir()
    for file in ("keeper.log", "run.json", "logs.json", "lock"):
        (t.state_dir / file).write_bytes(garbage)
    t.ctl("status", status=3)
    t.start()
    t.wait("a", "b")
    assert t.keeper is not None
    assert t.run_json()["keeper"] == t.keeper.pid
    assert t.stop() == 0
    assert "Traceback" not in t.output()


def test_the_lock_overwritten_while_it_is_held(tree: MakeTree) -> None:
    """A second start is refused all the same: the lock counts, not what is written in it. Nobody is swept."""
    t = tree(TWO)
    t.wait("a", "b")
    assert t.keeper is not None
    for text in (b'{"pid": "x", "id": 5, "start": [], "boot": {}}', b"\xff" * 100):
        (t.state_dir / "lock").write_bytes(text)
        assert t.spawn("start").wait(PATIENCE) == 1
    assert "Traceback" not in t.output()
    assert t.output().count(f"already running (keeper pid {t.keeper.pid})") == 2
    assert {child["restarts"] for child in t.children().values()} == {0}


def test_added_toml_with_garbage_names_the_file(tree: MakeTree) -> None:
    t = tree(TWO, start=False)
    t.state_dir.mkdir()
    (t.state_dir / "added.toml").write_bytes(b"[workers.x\ncommand =")
    t.start(wait=False)
    assert t.wait_end() == 2
    assert "added.toml:1" in t.output()


def test_the_state_directory_deleted_under_it(tree: MakeTree) -> None:
    """Supervision needs no disk. What can't be written is said."""
    t = tree(TWO)
    t.wait("a", "b")
    root, pids, run_dir = t.root_pid(), t.pids(), t.run_dir
    shutil.rmtree(t.state_dir)
    t.kill(pids["a"])

    def restarted() -> bool:
        children = {child["name"]: child for child in ask(run_dir, "status", names=[])["children"]}
        return bool(children["a"]["restarts"] == 1 and children["a"]["state"] == "running")

    eventually(restarted, "a is restarted")
    assert ask(run_dir, "stop", names=["b"])["state"] == "done"
    os.kill(root, 9)

    def new_root() -> bool:
        try:
            return int(ask(run_dir, "status", 0.5, names=[])["root"]) != root
        except AssertionError:
            return False

    eventually(new_root, "a new root")
    assert t.stop() == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.getuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=False).returncode
    ):
        pytest.skip("may not mount a small file system")
    yield folder
    ctypes.CDLL(None).umount2(os.fsencode(folder), 2)


def fill(folder: Path) -> Path:
    """Take all the room that is left; the file that has it."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return filler


@pytest.mark.linux
@pytest.mark.root
def test_a_start_on_a_full_disk(tree: MakeTree, small: Path) -> None:
    t = tree(TWO.replace("[workers.a]", f'[tree]\n    state_dir = "{small}/state"\n    [workers.a]', 1), start=False)
    t.state_dir = small / "state"
    t.start()
    t.wait("a", "b")
    t.ctl("stop", "b", "--reason", "because")
    assert t.stop() == 0
    fill(small)
    t.start(wait=False)  # run.json tells nothing new: it can't be written
    assert t.keeper is not None
    keeper = t.keeper.pid

    def up() -> bool:
        status = json.loads(t.ctl("status", "--json", status=None) or "{}")
        return status.get("keeper") == keeper and [child["state"] for child in status["children"]] == [
            "running",
            "stopped",
        ]

    eventually(up, "it runs")
    assert t.stop() == 0
    assert "Traceback" not in t.output()


@pytest.mark.linux
@pytest.mark.root
def test_a_full_disk(tree: MakeTree, small: Path) -> None:
    t = tree(
        f"""
        [tree]
        state_dir = "{small}/state"
        [logs]
        max_size = 0
        [workers.a]
        command = "sleep 1000"
        backoff = "0s"
        [workers.talks]
        command = "sh -c 'while :; do seq 1 200; sleep 0.02; done'"
        """,
        start=False,
    )
    t.state_dir = small / "state"
    t.start()
    t.wait("a", "talks")
    filler = fill(small)
    talks = t.pids()["talks"]
    # Supervision, requests and a new root, with no byte of disk.
    for restarts in range(1, 4):
        t.kill(t.pids()["a"])
        t.wait_until("a", state="running", restarts=restarts)
    assert t.ask("stop", names=["a"], reason="no disk")["state"] == "done"
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    assert t.child("a")["state"] == "stopped"
    assert t.child("a")["restarts"] == 3
    assert t.pids() == {"talks": talks}
    assert "no disk" in json.dumps(t.ask("why", name="a"))
    eventually(lambda: "output dropped: No space left on device" in t.ctl("status", "talks"), "it is said in status")
    filler.unlink()
    # Room again: the journal has everything, the drop is said.
    eventually(lambda: len(t.journal("child_exited", "a")) == 3, "the journal catches up")
    eventually(lambda: t.events("logger_recovered"), "what was dropped is said")
    assert sum(line.get("bytes") or 0 for line in t.events("logger_recovered")) > 0
    t.ask("start", names=["a"])
    t.ask("stop", names=["a"], reason="again")
    wishes = small / "state" / "wishes.json"
    eventually(lambda: wishes.exists() and "again" in wishes.read_text(), "wishes are written again")
    assert t.stop() == 0
    numbers = [line["seq"] for line in t.journal()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert not t.journal("internal_error")
