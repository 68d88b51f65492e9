"""What each word of sd_notify means, and that a new root knows what was said to the one before."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from tests.support.notifying import program
from tests.support.tree import Tree
from tests.support.waiting import eventually

_OBEY = """
    import glob
    say("READY=1")
    while True:
        for path in sorted(glob.glob("say-*")):
            say(open(path).read())
            os.unlink(path)
        time.sleep(0.01)
"""
"""A worker that says what it finds in files `say-*`."""


def worker(tree: MakeTree, text: str, settings: str = "", *, start: bool = True) -> Tree:
    """A tree with one worker `a` that runs this Python."""
    t = tree(
        f"[workers.a]\ncommand = ['{sys.executable}', '-S', 'a.py']\nready = {{ notify = true }}\n"
        + textwrap.dedent(settings),
        start=False,
    )
    (t.dir / "a.py").write_text(program(text))
    return t.start() if start else t


def say(t: Tree, text: str) -> None:
    """Have the worker say it, and return when it has."""
    path = t.dir / "say-1"
    written = t.dir / "new"
    written.write_text(text)
    written.rename(path)
    eventually(lambda: not path.exists(), f"it says {text}")


def said(t: Tree) -> dict[str, object]:
    found: dict[str, object] = t.ask("describe", names=["a"])[0]["said"]
    return found


def test_reloading_until_ready(tree: MakeTree) -> None:
    t = worker(tree, _OBEY)
    t.wait("a")
    say(t, "RELOADING=1\nSTATUS=reading")
    t.wait_until("a", status="reading", ready=True)
    assert said(t)["reloading"] is True
    t.wait_new_root(_kill_root(t))
    assert said(t)["reloading"] is True
    say(t, "READY=1\nSTATUS=")
    t.wait_until("a", status=None)
    assert said(t)["reloading"] is False
    assert [line["event"] for line in t.events() if str(line["event"]).startswith("worker_")] == [
        "worker_reloading",
        "worker_reloaded",
    ]
    assert len(t.events("ready", "a")) == 1


def _kill_root(t: Tree) -> int:
    root = t.root_pid()
    t.kill(root)
    return root


def test_what_was_said_comes_back_with_a_new_root(tree: MakeTree) -> None:
    t = worker(tree, _OBEY)
    t.wait("a")
    say(t, "STATUS=page 3")
    t.wait_until("a", status="page 3")
    t.wait_new_root(_kill_root(t))
    assert t.child("a")["status"] == "page 3"
    root = t.root_pid()
    t.kill(root)
    say(t, "STATUS=said to nobody")  # the keeper has it
    t.wait_new_root(root)
    t.wait_until("a", status="said to nobody")
    t.ctl("restart", "a")
    t.wait_until("a", status=None, state="running")


def test_who_stops_by_itself_is_left_to(tree: MakeTree) -> None:
    """No hang verdict, though its limit passes; its exit is its own."""
    t = worker(
        tree,
        """
        say("READY=1\\nWATCHDOG=1")
        say("STOPPING=1\\nSTATUS=writing")
        while not os.path.exists("go"):
            time.sleep(0.01)
        """,
        f"""
        health = {{ notify = "1s" }}
        restart = "transient"
        [workers.b]
        command = ['{sys.executable}', '-S', '-c', 'import time; time.sleep(1000)']
        health = {{ notify = "1s" }}
        backoff = "0s"
        """,
    )
    t.wait_until("a", status="writing")
    t.wait_new_root(_kill_root(t))
    with t.follow("ctl", "events", "-f", "--json") as events:
        for _ in range(2):
            events.event("hung", "b")  # whose limit is the same
    (t.dir / "go").touch()
    t.wait("a", state="completed")
    assert t.events("hung", "a") == []


def test_who_says_that_it_stops_and_does_not_is_killed_as_a_crash(tree: MakeTree) -> None:
    t = worker(
        tree,
        "say('READY=1')\nif not os.path.exists('second'):\n    say('STOPPING=1')\nopen('second', 'w')\nsleep()",
        'shutdown = "600ms"',
    )
    t.wait_until("a", restarts=1, state="running")
    (exited,) = t.events("child_exited", "a")
    assert exited["exit"].startswith("hung: it said ")
    assert exited["normal"] is False


def test_more_time_to_become_ready(tree: MakeTree) -> None:
    t = worker(
        tree,
        """
        say("EXTEND_TIMEOUT_USEC=60000000")
        while not os.path.exists("go"):
            time.sleep(0.01)
        say("READY=1")
        sleep()
        """,
        """
        start_timeout = "3s"
        [workers.b]
        command = "sleep 1000"
        ready = { notify = true }
        start_timeout = "3500ms"
        """,
    )
    with t.follow("ctl", "events", "-f", "--json", "--since", "1m") as events:
        events.event("kill_requested", "b")  # its time, which is longer, has passed
    assert t.child("a")["state"] == "starting"
    (t.dir / "go").touch()
    t.wait("a")


def test_it_says_so_when_what_a_worker_says_is_ignored(tree: MakeTree) -> None:
    t = worker(tree, _OBEY)
    t.wait("a")
    say(t, "MAINPID=1")
    say(t, "MAINPID=1")
    say(t, "STATUS=done")
    t.wait_until("a", status="done")
    (ignored,) = t.events("notify_ignored", "a")
    assert ignored["what"] == "MAINPID=1: it is no process of this worker"
    assert "it is no process of this worker" in t.ctl("why", "a")


def test_ready_opens_the_gates_of_ordered_supervisors(tree: MakeTree) -> None:
    t = tree(
        f"""
        [supervisors.s]
        strategy = "rest_for_one"
        children = ["a", "b"]
        [workers.a]
        command = ['{sys.executable}', '-S', 'a.py']
        ready = {{ notify = true }}
        [workers.b]
        command = "sleep 1000"
        """,
        start=False,
    )
    Path(t.dir / "a.py").write_text(
        program("while not os.path.exists('go'):\n    time.sleep(0.01)\nsay('READY=1')\nsleep()")
    )
    t.start()
    t.wait("a", state="starting")
    assert t.child("b")["pid"] is None
    (t.dir / "go").touch()
    t.wait("a", "b")


def test_an_exit_before_ready_is_a_crash(tree: MakeTree) -> None:
    t = worker(tree, "if os.path.exists('second'):\n    say('READY=1')\n    sleep()\nopen('second', 'w')")
    t.wait_until("a", restarts=1, state="running")
    (exited,) = t.events("child_exited", "a")
    assert exited["exit"] == "exit status 0 before it was ready"


@pytest.mark.slow
def test_a_flood_of_one_costs_the_others_nothing(tree: MakeTree) -> None:
    t = worker(
        tree,
        """
        say("READY=1")
        while True:
            say(b"x" * 5000)
            say("STATUS=" + "y" * 4000)
            say("READY=1")
            say("RELOADING=1")
            say("MAINPID=1")
        """,
        '[workers.b]\ncommand = "sleep 1000"',
    )
    t.wait("a", "b")
    for restarts in range(1, 4):
        t.kill(t.pids()["b"])
        t.wait_until("b", restarts=restarts, state=lambda state: state in ("running", "backoff"))
        t.ctl("start", "b")
        t.wait("b")
    assert len(t.events("notify_ignored", "a")) == 2
    assert t.stop() == 0
