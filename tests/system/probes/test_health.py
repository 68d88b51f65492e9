"""`health` probes of real workers: restart, hold, alert; and what must not raise an alarm."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.conftest import MakeTree
from tests.support.ports import free_port
from tests.support.tree import Tree
from tests.support.waiting import eventually
from tests.system.probes.programs import WEB, program, say


def web(tree: MakeTree, health: str, more: str = "") -> tuple[Tree, str]:
    """A tree with a web server that is probed, and its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/health"
    t = tree(
        f"""
        [workers.web]
        command = "${{tree.python}} web.py {port}"
        ready = {{ http = "{url}" }}
        health = {{ http = "{url}", {health} }}
        backoff = "0.1s"
        {more}
        """,
        start=False,
    )
    program(t, "web.py", WEB)
    t.start()
    t.wait("web")
    return t, url


def test_three_failures_in_a_row_are_a_restart_with_a_reason(tree: MakeTree) -> None:
    t, url = web(tree, 'every = "0.2s", failures = 3, status = "API_DOWN"')
    t.wait_until("web", health="healthy")
    with t.follow("ctl", "events", "-f", "--json") as f:
        say(t, "code", "503")
        failed = f.event("probe_failed", "web")
        killed = f.event("kill_requested", "web")
        say(t, "code", "200")
        f.event("probe_passed", "web")
    assert (failed["then"], failed["status"], failed["probe"]) == ("restart", "API_DOWN", url)
    assert failed["reason"] == f"{url} answers 503 Service Unavailable, 3 times in a row"
    words = f"unhealthy: API_DOWN: {url} answers 503 Service Unavailable, 3 times in a row; more in incidents/"
    assert killed["reason"].startswith(words)
    t.wait_until("web", state="running", health="healthy", restarts=1)
    (incident,) = (t.state_dir / "incidents").glob("*-web-unhealthy.txt")
    assert "health.0" in incident.read_text()
    assert "counts as unhealthy" in t.ctl("why", "web")


def test_one_that_does_not_answer_has_failed(tree: MakeTree) -> None:
    t, _ = web(tree, 'every = "0.2s", failures = 2, timeout = "0.3s"')
    with t.follow("ctl", "events", "-f", "--json") as f:
        say(t, "mute")
        assert "has not answered within 300ms, 2 times in a row" in f.event("kill_requested", "web")["reason"]
        (t.dir / "mute").unlink()


def test_one_bad_answer_among_good_ones_is_none(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        command = "sleep 1000"
        [[workers.a.health]]
        command = "echo x >>asked; test $(( $(wc -l <asked) % 3 )) -ne 0"
        shell = true
        every = "50ms"
        failures = 2
        """
    )
    eventually(lambda: (t.dir / "asked").exists() and (t.dir / "asked").read_text().count("x") > 12)
    assert t.child("a")["restarts"] == 0
    assert not t.events("probe_failed")


def test_hold_stops_it_until_release_also_over_a_new_root(tree: MakeTree) -> None:
    t, url = web(tree, 'every = "0.1s", failures = 2, then = "hold"')
    say(t, "code", "500")
    held = t.wait_until("web", state="held")
    assert held["reason"].startswith(f"hold by health: unhealthy: {url} answers 500")
    assert held["pid"] is None
    assert held["restarts"] == 0
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    assert t.child("web")["state"] == "held"
    assert len(t.events("probe_failed")) == 1
    assert "nothing until `supervisor-tree ctl release web`" in t.ctl("why", "web")
    say(t, "code", "200")
    t.ctl("release", "web")
    t.wait_until("web", state="running", health="healthy")


def test_an_alert_leaves_it_running_and_is_not_repeated_by_a_new_root(tree: MakeTree) -> None:
    t, _ = web(tree, 'every = "0.1s", failures = 2, then = "alert"')
    pid = t.pids()["web"]
    say(t, "code", "500")
    child = t.wait_until("web", health="unhealthy")
    assert child["state"] == "running"
    assert "answers 500" in child["reason"]
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    rows = t.wait_until("web", health="unhealthy", reason=lambda reason: bool(reason) and "answers 500" in reason)
    assert rows["pid"] == pid
    t.ctl("describe", "web")
    assert len(t.events("probe_failed")) == 1
    say(t, "code", "200")
    t.wait_until("web", health="healthy", reason=None)
    assert len(t.events("probe_passed")) == 1
    assert t.pids()["web"] == pid


def test_an_operators_hold_leaves_it_alone_and_says_so_once(tree: MakeTree) -> None:
    t, _ = web(tree, 'every = "50ms", failures = 2')
    pid = t.pids()["web"]
    t.ctl("hold", "web")
    say(t, "code", "500")
    with t.follow("ctl", "events", "-f", "--json") as f:
        t.wait_until("web", health="unhealthy")

        def asked() -> int:
            return int(t.ask("describe", names=["web"])[0]["probes"][0]["in_a_row"])

        eventually(lambda: t.events("left_alone", "web"), "it is said")
        seen = asked()
        eventually(lambda: asked() > seen + 6, "it is asked on")
        assert len(t.events("left_alone", "web")) == 1
        assert t.pids()["web"] == pid
        t.ctl("release", "web")
        f.event("kill_requested", "web")  # it fails still


PROGRESS = """
import json, os, threading
here = os.path.dirname(os.path.abspath(__file__))
number = 0
while True:
    if not os.path.exists(f"{here}/stuck"):
        number += 1
    with open(f"{here}/beat.new", "w") as file:
        json.dump({"engine": {"iter_count": number}}, file)
    os.replace(f"{here}/beat.new", f"{here}/beat.json")
    threading.Event().wait(0.05)
"""


def test_a_file_that_is_written_again_with_the_same_value_is_no_progress(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.bot]
        command = "${tree.python} bot.py"
        health = { file = "beat.json", key = "engine.iter_count", changes = "3s", every = "0.1s", failures = 1 }
        backoff = "1h"
        """,
        start=False,
    )
    program(t, "bot.py", PROGRESS)
    # Of a life before: nothing that this one could be blamed for.
    say(t, "beat.json", '{"engine": {"iter_count": 4711}}')
    os.utime(t.dir / "beat.json", (1, 1))
    t.start()
    t.wait_until("bot", health="healthy")
    # For longer than that.
    eventually(lambda: json.loads((t.dir / "beat.json").read_text())["engine"]["iter_count"] in range(80, 4000))
    assert t.child("bot")["restarts"] == 0
    say(t, "stuck")
    reason = t.wait_until("bot", state="backoff")["reason"]
    assert reason.startswith("unhealthy: beat.json: engine.iter_count is ")
    assert len(t.events("child_exited", "bot")) == 1


def test_what_a_life_before_left_behind_is_given_its_time(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.old]
        command = "sleep 1000"
        health = { file = "old.log", fresh = "1s", every = "50ms", failures = 2 }
        backoff = "1h"
        """,
        start=False,
    )
    (t.dir / "old.log").touch()
    os.utime(t.dir / "old.log", (1, 1))
    t.start()
    assert "old.log has not changed for" in t.wait_until("old", state="backoff")["reason"]
    started, failed = t.events("child_started", "old")[0]["time"], t.events("probe_failed", "old")[0]["time"]
    assert _seconds(failed) - _seconds(started) > 1


def _seconds(time: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(time).timestamp()


HANGS = """
import threading
def deep():
    print("deep")
    threading.Event().wait()
def main():
    deep()
"""


def test_a_python_workers_stacks_are_in_the_incident(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.py]
        run = "app:main"
        health = { file = "flag", every = "0.1s", failures = 2 }
        backoff = "1h"
        """,
        start=False,
    )
    program(t, "app.py", HANGS)
    (t.dir / "flag").touch()
    t.start()
    t.wait_until("py", health="healthy")
    eventually(lambda: "deep" in t.log("py"), "it is where it hangs")
    (t.dir / "flag").unlink()
    reason = t.wait_until("py", state="backoff")["reason"]
    assert reason.startswith("unhealthy: flag is not there, 2 times in a row; more in incidents/")
    (incident,) = (t.state_dir / "incidents").glob("*-py-unhealthy.txt")
    assert "in deep" in incident.read_text()
    assert any("in deep" in frame for frame in t.events("looked_into", "py")[0]["stack"])


def test_a_file_that_never_opens_costs_one_thread_and_nobody_else(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.stuck]
        command = "sleep 1000"
        health = { file = "pipe", key = "x", every = "50ms", timeout = "100ms", failures = 5 }
        backoff = "0.1s"
        [workers.fine]
        command = "sleep 1000"
        health = { file = "flag", every = "50ms", failures = 1 }
        """,
        start=False,
    )
    os.mkfifo(t.dir / "pipe")  # who opens it to read waits for a writer
    (t.dir / "flag").touch()
    t.start()
    t.wait_until("stuck", restarts=lambda restarts: restarts >= 3)
    reason = t.events("kill_requested", "stuck")[-1]["reason"]
    assert "pipe has not answered within" in reason
    root = psutil.Process(t.root_pid())
    assert root.num_threads() < 25
    assert t.child("fine")["restarts"] == 0
    os.close(os.open(t.dir / "pipe", os.O_WRONLY | os.O_NONBLOCK))  # the thread goes on


SPEAKER = """
import os, signal, threading
from supervisor_tree.workers import beat
def main():
    while True:
        if not os.path.exists("silent"):
            beat()
        threading.Event().wait(0.1)
"""


@pytest.mark.parametrize("then", ["alert", "hold"])
def test_then_of_a_silence(tree: MakeTree, then: str) -> None:
    t = tree(
        f"""
        [workers.py]
        run = "app:main"
        health = {{ heartbeat = "2s", then = "{then}", status = "QUIET" }}
        """,
        start=False,
    )
    program(t, "app.py", SPEAKER)
    t.start()
    t.wait("py")
    pid = t.pids()["py"]
    say(t, "silent")
    if then == "hold":
        held = t.wait_until("py", state="held")
        assert held["reason"].startswith("hold by health: hung: QUIET: no beat for")
        return
    child = t.wait_until("py", health="unhealthy")
    assert (child["status"], child["pid"], child["state"]) == ("QUIET", pid, "running")
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    t.wait_until("py", health="unhealthy", status="QUIET")
    (t.dir / "silent").unlink()
    t.wait_until("py", health="healthy", status=None)
    assert [len(t.events(kind, "py")) for kind in ("probe_failed", "probe_passed")] == [1, 1]
    assert t.pids()["py"] == pid


def test_a_reload_changes_what_is_asked(tree: MakeTree) -> None:
    t, _ = web(tree, 'every = "0.1s", failures = 2, then = "alert"')
    pid = t.pids()["web"]
    say(t, "code", "500")
    t.wait_until("web", health="unhealthy")
    t.file.write_text(t.file.read_text().replace("failures = 2", 'code = "5xx", failures = 2'))
    t.ctl("reload")
    t.wait_until("web", health="healthy", reason=None)
    assert t.pids()["web"] == pid


@pytest.mark.linux
@pytest.mark.slow
@pytest.mark.parametrize("who", ["root", "keeper", "all"])
def test_a_pause_of_ours_raises_no_alarm(tree: MakeTree, who: str) -> None:
    t = tree(
        """
        [workers.bot]
        command = "${tree.python} bot.py"
        health = [
          { file = "beat.json", key = "engine.iter_count", changes = "2s", every = "0.2s", failures = 1 },
          { file = "beat.json", fresh = "2s", every = "0.2s", failures = 1 },
          { command = "sleep 0.1", every = "0.2s", failures = 1, timeout = "2s" },
          { heartbeat = "100s", then = "alert" },
        ]
        """,
        start=False,
    )
    program(t, "bot.py", PROGRESS)
    t.start()
    t.wait_until("bot", health="healthy")
    bot = t.pids()["bot"]
    root = t.root_pid()
    assert t.keeper is not None
    # As when the machine sleeps: the worker can't write either.
    stopped = {"root": [bot, root], "keeper": [t.keeper.pid], "all": [t.keeper.pid, root, bot]}[who]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    if who == "root":
        t.wait_new_root(root)  # a stopped root is replaced
        os.kill(bot, signal.SIGCONT)
    else:
        _wait(t, 4.0)
        for pid in [pid for pid in (root, t.keeper.pid, bot) if pid in stopped]:
            if pid == bot:
                _wait(t, 0.5)  # we are awake before it is: what it has not written is not its fault
            os.kill(pid, signal.SIGCONT)
    asked = [each["in_a_row"] for each in _answers(t)]
    assert asked
    # Long enough for what must happen within 2 s to be missed.
    t.ask("status", names=[])
    _wait(t, 3.0)
    assert all(each["passes"] in (True, None) for each in _answers(t))
    assert not t.events("probe_failed")
    assert t.pids()["bot"] == bot


def _answers(t: Tree) -> list[dict[str, object]]:
    found: list[dict[str, object]] = t.ask("describe", names=["bot"])[0]["probes"]
    return found


def _wait(t: Tree, seconds: float) -> None:
    """So long as a test of silence must wait."""
    import threading

    threading.Event().wait(seconds)
    assert Path(t.file).exists()
