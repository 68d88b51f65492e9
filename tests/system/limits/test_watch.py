"""`watch`: one planned restart when files change, whatever way they change."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.support.tree import Follower, Tree

TEXT = """
    [workers.app]
    command = "sleep 1000"
    watch = ["src/**/*.py", "app.conf"]
    [workers.other]
    command = "sleep 1000"
    """


@pytest.fixture
def app(tree: MakeTree) -> Tree:
    t = tree(TEXT, start=False)
    (t.dir / "src" / "deep").mkdir(parents=True)
    (t.dir / "src" / "deep" / "main.py").write_text("1")
    (t.dir / "app.conf").write_text("1")
    return t


def begun(t: Tree, f: Follower) -> dict[str, Any]:
    """Files are watched from now on; asked of what was said before `f` listened, too."""
    said = t.events("watch_began")
    return said[-1] if said else f.event("watch_began")


def restarted(f: Follower, name: str = "app") -> dict[str, Any]:
    told = f.event("planned_restart", name)
    f.event("child_started", name)
    return told


def replace(file: Path, text: str) -> None:
    """As editors save."""
    file.with_name("saved.tmp").write_text(text)
    file.with_name("saved.tmp").rename(file)


def test_files_that_are_written_replaced_and_new(app: Tree) -> None:
    app.start()
    src = app.dir / "src"
    with app.follow("ctl", "events", "-f", "--json") as f:
        assert begun(app, f)["files"] == 2
        (src / "deep" / "main.py").write_text("2")
        assert restarted(f)["reason"] == "src/deep/main.py was changed"
        replace(src / "deep" / "main.py", "3")
        assert restarted(f)["reason"] == "src/deep/main.py was changed"
        (src / "new").mkdir()
        (src / "new" / "more.py").write_text("1")
        assert restarted(f)["reason"] == "src/new/more.py was added"
    assert app.child("app")["restarts"] == 0
    assert app.child("other")["incarnation"] == 1
    assert "app is restarted as planned: src/new/more.py was added" in app.ctl("why", "app")
    began = time.monotonic()
    assert app.stop() == 0
    assert time.monotonic() - began < 5  # the root ends by itself: it does not wait for the thread that watches


def test_a_file_that_goes_and_comes_and_a_folder_that_is_replaced(app: Tree) -> None:
    app.start()
    with app.follow("ctl", "events", "-f", "--json") as f:
        begun(app, f)
        (app.dir / "app.conf").unlink()
        assert restarted(f)["reason"] == "app.conf was removed"
        shutil.copytree(app.dir / "src", app.dir / "next")
        (app.dir / "src").rename(app.dir / "last")
        (app.dir / "next").rename(app.dir / "src")
        assert restarted(f)["reason"] == "src/deep/main.py was changed"
        (app.dir / "src" / "deep" / "main.py").write_text("2")
        assert restarted(f)["reason"] == "src/deep/main.py was changed"


def test_a_folder_that_does_not_exist_yet(tree: MakeTree) -> None:
    t = tree(TEXT)
    with t.follow("ctl", "events", "-f", "--json") as f:
        assert begun(t, f)["files"] == 0
        (t.dir / "src" / "deep").mkdir(parents=True)
        (t.dir / "src" / "deep" / "main.py").write_text("1")
        assert restarted(f)["reason"] == "src/deep/main.py was added"
        (t.dir / "src" / "deep" / "main.py").write_text("2")
        assert restarted(f)["reason"] == "src/deep/main.py was changed"


def test_a_flood_is_one_restart(app: Tree) -> None:
    app.start()
    with app.follow("ctl", "events", "-f", "--json") as f:
        begun(app, f)
        for number in range(3000):
            folder = app.dir / "src" / f"package{number % 100}"
            folder.mkdir(exist_ok=True)
            (folder / f"module{number}.py").write_text(str(number))
        shutil.rmtree(app.dir / "src" / "package7")
        others = re.search(r"and (\d+) other files", restarted(f)["reason"])
        assert others is not None
        assert int(others[1]) >= 2969
        (app.dir / "app.conf").write_text("2")
        assert restarted(f)["reason"] == "app.conf was changed"
        assert app.child("app")["incarnation"] == 3


def test_what_is_not_meant_restarts_nobody(app: Tree) -> None:
    app.start()
    src = app.dir / "src"
    with app.follow("ctl", "events", "-f", "--json") as f:
        begun(app, f)
        (src / "notes.txt").write_text("not one of the pattern")
        (src / "__pycache__").mkdir()
        (src / "__pycache__" / "main.py").write_text("a cache")
        (src / ".git").mkdir()
        (src / ".git" / "hook.py").write_text("version control")
        (src / "deep" / "main.py").chmod(0o600)
        (src / "deep" / "main.py").read_text()
        os.utime(src / "deep" / "main.py", ns=(1, os.stat(src / "deep" / "main.py").st_mtime_ns))
        (app.dir / "app.conf").touch()
        assert restarted(f)["files"] == ["app.conf"]
    assert app.child("app")["incarnation"] == 2


def test_the_trees_own_files_restart_nobody(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.app]
        command = ["sh", "-c", "echo started; sleep 1000"]
        watch = ["**"]
        log = { file = "app.log" }
        """
    )
    with t.follow("ctl", "events", "-f", "--json") as f:
        begun(t, f)
        (t.dir / "a").write_text("1")
        assert restarted(f)["files"] == ["a"]
        (t.dir / "b").write_text("1")
        assert restarted(f)["files"] == ["b"]


@pytest.mark.slow
def test_a_worker_that_writes_what_it_watches_is_restarted_less_and_less_often(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.app]
        command = ["sh", "-c", "sleep 0.3; date +%s%N > written; exec sleep 1000"]
        watch = ["written"]
        """
    )
    with t.follow("ctl", "events", "-f", "--json") as f:
        slowed = f.event("watch_slowed", "app")
        assert (slowed["file"], slowed["seconds"]) == ("written", 5.0)
        f.event("planned_restart", "app")
        assert f.event("watch_slowed", "app")["seconds"] == 10.0
    assert "does it write them itself?" in t.ctl("why", "app")


def test_a_crashed_worker_is_tried_again_when_its_files_change(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.app]
        command = ["sh", "main.sh"]
        watch = ["main.sh"]
        backoff = "1h"
        """,
        start=False,
    )
    (t.dir / "main.sh").write_text("exit 1\n")
    t.start()
    t.wait("app", state="backoff")
    with t.follow("ctl", "events", "-f", "--json") as f:
        begun(t, f)
        (t.dir / "main.sh").write_text("exec sleep 1000\n")
        restarted(f)
    t.wait("app")


def test_changes_count_while_it_is_held_and_between_two_roots(app: Tree) -> None:
    app.start()
    with app.follow("ctl", "events", "-f", "--json") as f:
        begun(app, f)
        app.wait("app")  # what is written before it runs is no change to it
        app.ctl("hold", "app")
        root = app.root_pid()
        os.kill(root, signal.SIGSTOP)
        (app.dir / "app.conf").write_text("2")
        app.kill(root)
        app.wait_new_root(root)
        f.event("watch_began")
        app.ctl("release", "app")
        assert restarted(f)["files"] == ["app.conf"]


def test_no_watch_without_the_library_and_the_mend_is_said(app: Tree) -> None:
    # A package of that name that is none: found before the one that is installed.
    hidden = app.dir / "hide" / "sitecustomize.py"
    hidden.parent.mkdir()
    hidden.write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'watchfiles' else found(name, *rest)\n"
    )
    app.environ["PYTHONPATH"] = f"{hidden.parent}:{app.environ['PYTHONPATH']}"
    said = app.cli("check", "--json", status=2)
    assert "supervisor-tree[watch]" in said
    assert "watch" in said
