"""`supervisor-tree logs`, on files that a logger has written and no tree runs for."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tree import Follower, clean_environment
from tests.support.waiting import PATIENCE, eventually
from tests.system.logs.playing import Keeper
from tests.unit.logs.writing import Written


class Tree:
    """A state directory as a tree leaves it, with a logger that writes into it."""

    def __init__(self, folder: Path) -> None:
        self.dir = folder
        self.state_dir = folder / ".supervisor-tree"
        self.state_dir.mkdir()
        (folder / "tree.toml").write_text('[tree]\nname = "t"\n')
        self.keeper = Keeper(self.state_dir)
        self.files: dict[str, dict[str, str | None]] = {}

    def know(self, name: str, stderr: bool = False) -> None:
        path, errors = self.keeper.log(name), self.keeper.log(f"{name}-err")
        self.files[name] = {"path": str(path), "stderr": str(errors) if stderr else None}
        new = self.state_dir / "logs.json.new"
        new.write_text(json.dumps(self.files))
        new.rename(self.state_dir / "logs.json")

    def spawn(self, *arguments: str, **more: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            [sys.executable, "-m", "supervisor_tree", "logs", *arguments],
            cwd=self.dir,
            env=clean_environment({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )

    def logs(self, *arguments: str, status: int = 0) -> bytes:
        process = self.spawn(*arguments)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == status, err
        return out if status == 0 else err


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    made = Tree(tmp_path)
    yield made
    made.keeper.close()


def test_one_some_all(tree: Tree) -> None:
    for name in ("web@1", "web@2", "db"):
        tree.know(name)
        pipe = tree.keeper.stream(name)
        pipe.write(f"{name} said\n".encode() + b"\xff\xfe raw\n")
        tree.keeper.done(pipe)
    assert tree.logs("db") == b"db said\n\xff\xfe raw\n"
    assert tree.logs("web@1", "-n", "1") == b"\xff\xfe raw\n"
    assert tree.logs("web", "--grep", "said") == b"web@1 | web@1 said\nweb@2 | web@2 said\n"
    assert tree.logs("--grep", "^.. said") == b"db    | db said\n"
    assert tree.logs("-n", "0") == b""
    assert b"did you mean" in tree.logs("webb", status=4)
    assert b"no time" in tree.logs("--since", "noon", status=2)
    assert b"regular expression" in tree.logs("--grep", "(", status=2)
    assert tree.logs("--since", "1h", "db") == b"db said\n\xff\xfe raw\n"
    assert tree.logs("--since", "2001-01-01T00:00:00Z", "-n", "1", "db") == b"\xff\xfe raw\n"


def test_stderr_and_json(tree: Tree) -> None:
    tree.know("web")
    tree.know("apart", stderr=True)
    for name in ("web", "apart"):
        out = tree.keeper.stream(name)
        err = tree.keeper.stream(name, "err", path=str(tree.keeper.log("apart-err")) if name == "apart" else "")
        out.write(b"fine\n")
        tree.keeper.drain()
        err.write(b"wrong\n")
        tree.keeper.done(out, err)
    assert tree.logs("--stderr", "web") == b"wrong\n"
    assert tree.logs("--stderr", "apart") == b"wrong\n"
    assert tree.logs("apart") == b"fine\nwrong\n"
    lines = [json.loads(line) for line in tree.logs("--json").splitlines()]
    assert sorted((line["name"], line["stream"], line["line"]) for line in lines) == [
        ("apart", "stderr", "wrong"), ("apart", "stdout", "fine"), ("web", "stderr", "wrong"), ("web", "stdout", "fine")
    ]  # fmt: skip
    assert all(line["time"].endswith("Z") for line in lines)
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)


def test_follow_through_rotation(tree: Tree) -> None:
    tree.know("web")
    pipe = tree.keeper.stream("web", max_size=400, keep=50)
    pipe.write(b"before\n")
    tree.keeper.drain()
    process = tree.spawn("-f", "web")
    follower = Follower(process)
    try:
        assert follower.line() == "before"
        for number in range(200):
            pipe.write(b"line %d\n" % number)
        for number in range(200):
            assert follower.line() == f"line {number}"
        assert (tree.keeper.log("web").parent / "web.log.3").exists()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.communicate() == (b"", b"")


def test_follow_takes_in_new_workers(tree: Tree) -> None:
    tree.know("old")
    process = tree.spawn("-f")
    follower = Follower(process)
    try:
        old = tree.keeper.stream("old")
        old.write(b"one\n")
        assert follower.line() == "one"
        new = tree.keeper.stream("newer")
        tree.know("newer")
        new.write(b"two\n")
        assert follower.line() == "newer | two"
        old.write(b"three\n")
        assert follower.line() == "old   | three"
    finally:
        process.kill()
        process.communicate()


def test_follow_into_head_ends_quietly(tree: Tree) -> None:
    tree.know("web")
    pipe = tree.keeper.stream("web")
    pipe.write(b"one\ntwo\n")
    tree.keeper.drain()
    follow = tree.spawn("-f", "web")
    head = subprocess.run(["head", "-n", "1"], stdin=follow.stdout, capture_output=True, check=True)
    assert head.stdout == b"one\n"
    assert follow.stdout is not None
    follow.stdout.close()
    # It ends although nothing more is written.
    assert follow.wait(PATIENCE) in (0, 141)
    assert follow.stderr is not None
    with follow.stderr:
        assert follow.stderr.read() == b""


def test_until_the_tree_has_ended(tree: Tree) -> None:
    told, alive = os.pipe()
    process = tree.spawn("-f", "--until-eof", str(told), pass_fds=(told,))
    os.close(told)
    follower = Follower(process)
    # It waits for the tree that is about to come: nothing is known yet.
    tree.know("web")
    pipe = tree.keeper.stream("web")

    def said() -> bool:
        pipe.write(b"again\n")
        return bool(_readable(process))

    eventually(said)
    assert follower.line() == "again"
    pipe.write(b"the end")
    tree.keeper.done(pipe)
    os.close(alive)
    out, err = process.communicate(timeout=PATIENCE)
    assert err == b""
    assert out.endswith(b"the end")


def _readable(process: subprocess.Popen[bytes]) -> list[object]:
    assert process.stdout is not None
    return list(select.select([process.stdout], [], [], 0)[0])


def test_drops_are_told_beside_the_lines(tree: Tree) -> None:
    tree.know("web")
    tree.keeper.log("web").parent.mkdir()
    written = Written(tree.keeper.log("web").parent)
    written.put(b"kept\n")
    written.drop(500, "err")
    written.save()
    out, err = tree.spawn("web").communicate()
    assert out == b"kept\n"
    assert b"web: 500 bytes of stderr were dropped here" in err
