"""A shim in a tree: when it is ready, how a standstill of its command is found and said, and that nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import psutil
import pytest

from tests.conftest import MakeTree
from tests.support.ports import free_port
from tests.support.tree import Tree
from tests.support.waiting import eventually, wait_gone

COUNTING = """
import json, os, sys, threading
stop = threading.Event()
number = 0
while not stop.wait(0.1):
    number += not os.path.exists("halt")
    with open("state.new", "w") as file:
        json.dump({"iter_count": number}, file)
    os.replace("state.new", "state.json")
"""


def command(tree: Tree, name: str = "a") -> psutil.Process:
    """The command of a shim."""
    (child,) = eventually(psutil.Process(tree.pids()[name]).children, "it runs its command")
    return child


def test_it_is_ready_when_all_that_is_watched_holds(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        use = "shim"
        [workers.a.args]
        command = ["sh", "-c", "echo begun; sleep 1000"]
        watch = [{ output = "begun" }, { file = "there", status = "NOT_THERE" }]
        [workers.b]
        command = "sleep 1000"
        needs = { a = "ready" }
        """
    )
    waits = "waits: NOT_THERE: there is not there"
    eventually(lambda: t.ask("describe", names=["a"])[0]["said"]["unwell"] == waits, "it says what it waits for")
    assert t.child("a")["state"] == "starting"
    assert t.child("b")["state"] == "waiting"
    (t.dir / "there").touch()
    t.wait("a")
    t.wait("b")
    assert t.stop() == 0


def test_a_command_that_does_nothing_is_hung_and_the_reason_says_what_stood_still(
    tree: MakeTree, tmp_path: Path
) -> None:
    (tmp_path / "counting.py").write_text(COUNTING)
    t = tree(
        f"""
        [workers.a]
        use = "shim"
        health = {{ heartbeat = "2s" }}
        shutdown = "2s"
        [workers.a.args]
        command = {json.dumps([sys.executable, str(tmp_path / "counting.py")])}
        watch = {{ file = "state.json", key = "iter_count", changes = "2s" }}
        """
    )
    t.wait("a")
    pid, inner = t.pids()["a"], command(t).pid
    (t.dir / "halt").touch()
    t.wait_until("a", pid=lambda now: now not in (None, pid), timeout=20)
    wait_gone(inner)
    assert "state.json: iter_count is" in t.ctl("why", "a")
    (t.dir / "halt").unlink()
    assert t.stop() == 0


def test_a_command_that_is_frozen_is_found_by_its_socket(tree: MakeTree) -> None:
    port = str(free_port())
    t = tree(
        f"""
        [workers.a]
        use = "shim"
        health = {{ heartbeat = "3s" }}
        shutdown = "2s"
        [workers.a.args]
        command = {json.dumps([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", port])}
        watch = {{ http = "http://127.0.0.1:{port}/", every = "200ms", timeout = "1s" }}
        """
    )
    t.wait("a")
    pid, inner = t.pids()["a"], command(t).pid
    os.kill(inner, signal.SIGSTOP)
    t.wait_until("a", pid=lambda now: now not in (None, pid), timeout=20)
    wait_gone(inner)
    assert "stopped by a signal" in t.ctl("why", "a")
    assert t.stop() == 0


def test_a_shim_that_is_killed_leaves_no_command(tree: MakeTree) -> None:
    t = tree('[workers.a]\nuse = "shim"\nargs = { command = "sleep 1000" }\n')
    t.wait("a")
    pid, inner = t.pids()["a"], command(t).pid
    t.kill(pid)
    t.wait_until("a", pid=lambda now: now not in (None, pid), restarts=1)
    wait_gone(inner)
    t.wait("a")
    assert command(t).pid != inner
    assert t.stop() == 0


@pytest.mark.parametrize("to", ["group", "leader"])
def test_a_stop_reaches_the_command_once_and_its_status_is_the_worker_s(tree: MakeTree, to: str) -> None:
    t = tree(
        f"""
        [workers.a]
        use = "shim"
        stop_to = "{to}"
        [workers.a.args]
        command = "trap 'echo told; exit 5' TERM; echo begun; while :; do sleep 0.1; done"
        shell = true
        watch = {{ output = "begun" }}
        """
    )
    t.wait("a")
    t.ask("stop", names=["a"])
    t.wait("a", state="stopped")
    assert t.child("a")["last_exit"]["code"] == 5

    def lines() -> list[str]:
        return [line for line in t.log("a").splitlines() if line != "Terminated"]

    eventually(lambda: lines() == ["begun", "told"], lambda: f"what it has said is in its log: {lines()}")
    assert t.stop() == 0


def test_a_command_that_does_not_end_is_killed_with_its_shim(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        use = "shim"
        shutdown = "500ms"
        [workers.a.args]
        command = "trap '' TERM; echo begun; while :; do sleep 0.1; done"
        shell = true
        watch = { output = "begun" }
        """
    )
    t.wait("a")
    inner = command(t).pid
    assert t.stop() == 0
    wait_gone(inner)


def test_a_command_s_own_death_is_the_worker_s(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        use = "shim"
        restart = "temporary"
        args = { command = "sleep 0.3; kill -KILL $$$$", shell = true }
        """
    )
    t.wait("a", state="failed")
    assert t.child("a")["last_exit"]["signal"] == signal.SIGKILL
    assert t.stop() == 0


def test_it_needs_nothing_but_the_standard_library(tree: MakeTree, tmp_path: Path) -> None:
    """In an interpreter that has none of our dependencies."""
    venv = tmp_path / "venv"
    base = Path(sysconfig.get_config_var("BINDIR")) / f"python{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run([base, "-m", "venv", "--without-pip", venv], check=True, timeout=60)
    t = tree(
        f"""
        [workers.a]
        use = "shim"
        python = "{venv}/bin/python"
        health = {{ heartbeat = "30s" }}
        [workers.a.args]
        command = ["sh", "-c", "echo begun; sleep 1000"]
        watch = [{{ output = "begun" }}, {{ file = "tree.toml" }}]
        """
    )
    t.wait("a")
    assert psutil.Process(t.pids()["a"]).children()
    assert t.stop() == 0
