"""`ready` probes of real workers: gates of those who need them, in every kind."""

from __future__ import annotations

import os
import socket

import pytest

from tests.conftest import MakeTree
from tests.support.ports import free_port
from tests.system.probes.programs import WEB, program, say


def test_who_needs_a_worker_waits_until_it_answers(tree: MakeTree) -> None:
    port = free_port()
    t = tree(
        f"""
        [workers.web]
        command = "${{tree.python}} web.py {port}"
        ready = {{ http = "http://127.0.0.1:{port}/health", key = "state.ok", status = "WARMING_UP" }}
        [workers.app]
        command = "sleep 1000"
        needs = {{ web = "ready" }}
        """,
        start=False,
    )
    program(t, "web.py", WEB)
    say(t, "code", "503")
    t.start()
    web = t.wait_until("web", state="starting", reason=lambda reason: bool(reason) and "503" in reason)
    assert f"http://127.0.0.1:{port}/health answers 503 Service Unavailable" in web["reason"]
    assert web["status"] == "WARMING_UP"
    assert not web["ready"]
    assert t.child("app")["state"] == "waiting"
    say(t, "code", "200")
    t.wait_until("web", reason=lambda reason: bool(reason) and "answers without state.ok" in reason)
    say(t, "body", '{"state": {"ok": true}}')
    t.wait("app")
    assert t.wait_until("web", state="running", reason=None, status=None)["ready"]


def test_sockets_files_and_all_of_a_list(tree: MakeTree) -> None:
    port = free_port()
    t = tree(
        f"""
        [workers.slow]
        command = "sleep 1000"
        ready = [
          {{ tcp = "127.0.0.1:{port}" }},
          {{ unix = "slow.sock" }},
          {{ file = "there.flag" }},
          {{ file = "pid.lock", exists = false }},
          {{ file = "state.json", key = "jobs[0].id" }},
          {{ disk_free = "1kB" }},
          {{ env = ["PATH"] }},
        ]
        """,
        start=False,
    )
    (t.dir / "pid.lock").touch()
    t.start()
    words = [
        f"tcp 127.0.0.1:{port} refuses connections",
        "unix slow.sock is not there",
        "there.flag is not there",
        "pid.lock is there",
        "state.json is not there",
    ]
    t.wait_until("slow", reason=lambda reason: bool(reason) and all(each in reason for each in words))
    with socket.create_server(("127.0.0.1", port)), socket.socket(socket.AF_UNIX) as unix:
        there = os.getcwd()
        os.chdir(t.dir)  # the whole path may be too long for a socket's name
        try:
            unix.bind("slow.sock")
        finally:
            os.chdir(there)
        unix.listen()
        (t.dir / "there.flag").touch()
        say(t, "state.json", '{"jobs": [{"id": 4}]}')
        t.wait_until("slow", reason=lambda reason: bool(reason) and reason.endswith("pid.lock is there"))
        assert t.child("slow")["state"] == "starting"
        (t.dir / "pid.lock").unlink()
        t.wait("slow")


def test_output_counts_from_the_first_byte_and_of_this_incarnation_only(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.talker]
        command = "sh -c 'cat first 2>/dev/null; sleep 1000'"
        ready = { output = "^up and running$" }
        start_timeout = "3s"
        backoff = "0.2s"
        """,
        start=False,
    )
    say(t, "first", "up and running\n")
    t.start()
    t.wait("talker")
    # What the one before has said says nothing of the next one.
    (t.dir / "first").unlink()
    with t.follow("ctl", "events", "-f", "--json") as f:
        t.ctl("restart", "talker", status=None)
        assert "not ready within 3 s" in f.event("kill_requested", "talker")["reason"]
        say(t, "first", "x" * 2_000_000 + "\nup and running\n")  # a line that hurts nobody
        f.event("ready", "talker")


def test_a_file_counts_that_was_written_since_the_start_and_not_one_of_the_life_before(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.writer]
        command = "sh -c 'if test -e go; then echo >> state; fi; exec sleep 1000'"
        ready = { file = "state", fresh = "1h" }
        """,
        start=False,
    )
    (t.dir / "go").touch()
    t.start()
    t.wait("writer")
    (t.dir / "go").unlink()
    old = (t.dir / "state").stat().st_mtime - 60
    os.utime(t.dir / "state", (old, old))
    t.kill(t.child("writer")["pid"])
    t.wait_until(
        "writer", incarnation=2, state="starting", reason="not ready yet: state has not changed since the start"
    )
    # The next root knows, too, when it was started.
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    t.wait_until("writer", state="starting", reason="not ready yet: state has not changed since the start")
    (t.dir / "state").touch()
    t.wait("writer")


@pytest.mark.parametrize("shown", ["probe", "exit"])
def test_what_is_never_ready_has_failed(tree: MakeTree, shown: str) -> None:
    command, within = ("sleep 1000", "1s") if shown == "probe" else ("true", "30s")
    t = tree(
        f"""
        [workers.never]
        command = "{command}"
        ready = {{ file = "never", every = "0.2s" }}
        start_timeout = "{within}"
        backoff = "1h"
        """
    )
    never = t.wait_until("never", state="backoff")
    if shown == "probe":
        assert "not ready within 1 s (never is not there)" in never["reason"]
    else:
        assert never["reason"] == "exit status 0 before it was ready"
    assert never["last_exit"]["reason"] == never["reason"]


def test_a_command_is_asked_as_the_worker_in_its_folder(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.db]
        command = "sleep 1000"
        cwd = "sub"
        env = { WHO = "db" }
        ready = { command = "echo asked as $WHO; test -e up", shell = true, every = "0.1s" }
        """,
        start=False,
    )
    (t.dir / "sub").mkdir()
    t.start()
    db = t.wait_until("db", reason=lambda reason: bool(reason) and "exit status 1" in reason)
    assert db["reason"].endswith("exit status 1 (asked as db)")
    (t.dir / "sub" / "up").touch()
    t.wait("db")


def test_delay_and_successes(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        command = "sleep 1000"
        ready = { command = "echo x >>asked; true", shell = true, delay = "0.5s", every = "0.1s", successes = 3 }
        """
    )
    t.wait("a")
    assert (t.dir / "asked").read_text() == "x\n" * 3
    started, ready = t.events("child_started", "a")[0], t.events("ready", "a")[0]
    assert ready["time"] > started["time"]


def test_waiting_goes_on_through_restarts_of_what_is_needed(tree: MakeTree) -> None:
    port = free_port()
    t = tree(
        f"""
        [workers.web]
        command = "${{tree.python}} web.py {port}"
        ready = {{ http = "http://127.0.0.1:{port}/" }}
        health = {{ http = "http://127.0.0.1:{port}/", every = "0.1s", failures = 1, then = "alert" }}
        backoff = "0.1s"
        [workers.app]
        command = "sh -c 'test -e again && exec sleep 1000; exit 1'"
        backoff = "0.3s"
        needs = {{ web = "healthy" }}
        """,
        start=False,
    )
    program(t, "web.py", WEB)
    t.start()
    t.wait("web")
    t.wait_until("app", state="backoff")
    say(t, "code", "500")
    assert t.wait_until("app", state="waiting")["reason"] == "waiting for web"
    assert t.child("web")["state"] == "running"
    assert t.child("web")["health"] == "unhealthy"
    for _ in range(2):
        pid = t.pids()["web"]
        t.kill(pid)
        t.wait_until("web", pid=lambda now, old=pid: now not in (None, old))
        assert t.child("app")["state"] == "waiting"
    say(t, "again")
    say(t, "code", "200")
    t.wait("app")
