"""`memory_max` and `cpu_max` of real workers: a leak, a leak among many processes, a burning one, an alert."""

from __future__ import annotations

import os
import signal
from datetime import datetime

import psutil
import pytest

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually

LEAK = """
import sys, threading
held = []
print("leaks", flush=True)
while len(held) < int(sys.argv[1]):
    held.append(bytearray(b"x" * 1_000_000))
    threading.Event().wait(0.001)
print("has", len(held), flush=True)
threading.Event().wait()
"""


def program(t: Tree, name: str, text: str) -> None:
    (t.dir / name).write_text(text)


def why(t: Tree, name: str) -> str:
    return t.ctl("why", name)


def test_a_worker_that_leaks_is_replaced_and_the_journal_says_what_it_had(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.leaky]
        command = "${tree.python} leak.py 1000"
        memory_max = "60MB"
        backoff = "1h"
        [workers.other]
        command = "sleep 1000"
        """,
        start=False,
    )
    program(t, "leak.py", LEAK)
    t.start()
    with t.follow("ctl", "events", "-f", "--json") as f:
        exceeded = f.event("limit_exceeded", "leaky")
        ended = f.event("child_exited", "leaky")
    assert exceeded["kind"] == "memory"
    assert exceeded["limit"] == 60_000_000 < exceeded["value"]
    assert exceeded["severity"] == "warning"
    assert exceeded["then"] == "restart"
    assert "leak.py" in exceeded["processes"][0]["command"]
    assert exceeded["processes"][0]["memory"] > 50_000_000
    assert ended["exit"].startswith("memory: ")
    assert not ended["normal"]
    leaky = t.wait_until("leaky", state="backoff")  # counted, as a crash is
    assert "over memory_max = 60 MB" in leaky["reason"]
    assert "leaky is over its memory_max" in why(t, "leaky")
    assert t.child("other")["restarts"] == 0


GROUP = """
import os, subprocess, sys, threading
here, how = os.path.dirname(os.path.abspath(__file__)), sys.argv[1]
for _ in range(4):
    subprocess.Popen([sys.executable, f"{here}/leak.py", "25"], start_new_session=how == "away")
threading.Event().wait()
"""


@pytest.mark.parametrize("how", ["in the group", "away"])
def test_all_of_a_workers_processes_count(tree: MakeTree, how: str) -> None:
    t = tree(
        f"""
        [workers.many]
        command = ["${{tree.python}}", "group.py", "{how}"]
        memory_max = "100MB"
        backoff = "1h"
        """,
        start=False,
    )
    program(t, "leak.py", LEAK)
    program(t, "group.py", GROUP)
    t.start()
    with t.follow("ctl", "events", "-f", "--json") as f:
        exceeded = f.event("limit_exceeded", "many")
        f.event("child_exited", "many")
    assert len(exceeded["processes"]) == 3
    assert all(each["memory"] < 60_000_000 for each in exceeded["processes"])
    t.wait_until("many", state="backoff")


DAEMON = """
import os, subprocess, sys, threading
here = os.path.dirname(os.path.abspath(__file__))
subprocess.run(["sh", "-c", f"setsid {sys.executable} {here}/leak.py 100 >/dev/null 2>&1 & :"], check=True)
threading.Event().wait()
"""


@pytest.mark.linux
def test_a_daemon_that_left_session_and_parent_counts(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.double]
        command = "${tree.python} daemon.py"
        memory_max = "100MB"
        backoff = "1h"
        [workers.none]
        command = "${tree.python} daemon.py"
        memory_max = "1GB"
        """,
        start=False,
    )
    program(t, "leak.py", LEAK)
    program(t, "daemon.py", DAEMON)
    t.start()
    with t.follow("ctl", "events", "-f", "--json") as f:
        exceeded = f.event("limit_exceeded")
        assert exceeded["name"] == "double"
        f.event("child_exited", "double")
    assert "leak.py" in exceeded["processes"][0]["command"]
    assert t.child("none")["restarts"] == 0


SHARED = """
import os, signal, sys, threading
held = bytearray(os.urandom(1000) * 60_000)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])  # whenever it comes, it is waited for
children = []
for _ in range(4):
    pid = os.fork()
    if not pid:
        signal.sigwait([signal.SIGUSR1])
        for at in range(0, len(held), 1000):
            held[at] = 1
        threading.Event().wait()
    children.append(pid)
print("forked", flush=True)
signal.sigwait([signal.SIGUSR1])
for pid in children:
    os.kill(pid, signal.SIGUSR1)
threading.Event().wait()
"""


@pytest.mark.linux
@pytest.mark.slow
def test_memory_that_processes_share_counts_once(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.forks]
        command = "${tree.python} shared.py"
        memory_max = "200MB"
        backoff = "1h"
        [workers.marker]
        command = "${tree.python} leak.py 30"
        memory_max = "20MB"
        on_limit = "alert"
        """,
        start=False,
    )
    program(t, "shared.py", SHARED)
    program(t, "leak.py", LEAK)
    t.start()
    with t.follow("ctl", "events", "-f", "--json") as f:
        f.event("limit_exceeded", "marker")
        eventually(lambda: "forked" in t.log("forks"), "all five are there")
        t.wait("forks")
        leader = psutil.Process(t.pids()["forks"])
        resident = sum(process.memory_info().rss for process in [leader, *leader.children()])
        assert resident > 300_000_000
        # Both are looked at in the same rounds: with the marker's next one, five times 60 MB resident have been seen.
        t.ctl("restart", "marker")
        f.event("limit_exceeded", "marker")
        assert t.child("forks")["restarts"] == 0
        os.kill(t.pids()["forks"], signal.SIGUSR1)  # each writes, so each now has pages of its own
        exceeded = f.event("limit_exceeded", "forks")
        assert exceeded["value"] > 200_000_000


# A quarter of a processor: ten times its limit, and it leaves something to the tests beside it.
BURN = """
import threading, time
while True:
    until = time.process_time() + 0.05
    while time.process_time() < until: pass
    threading.Event().wait(0.15)
"""


@pytest.mark.slow
def test_a_worker_that_burns_cpu_is_replaced_but_not_at_once(tree: MakeTree) -> None:
    """The limit is what a busy machine has left for it, with twenty others at each processor, too."""
    t = tree(
        """
        [workers.busy]
        command = "${tree.python} burn.py"
        cpu_max = 0.02
        backoff = "1h"
        """,
        start=False,
    )
    program(t, "burn.py", BURN)
    t.start()
    started = t.child("busy")["since"]
    with t.follow("ctl", "events", "-f", "--json") as f:
        exceeded = f.event("limit_exceeded", "busy", timeout=60)
        ended = f.event("child_exited", "busy")
    assert exceeded["kind"] == "cpu"
    assert 0.02 < exceeded["value"] <= 1.1
    assert seconds(started, exceeded["time"]) >= exceeded["seconds"]
    assert "burn.py" in exceeded["processes"][0]["command"]
    assert ended["exit"].startswith("cpu: ")
    assert "over 30 s" in why(t, "busy")


def seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


ELASTIC = """
import signal, threading
held = []
signal.signal(signal.SIGUSR1, lambda *_: held.append(bytearray(b"x" * 80_000_000)))
signal.signal(signal.SIGUSR2, lambda *_: held.clear())
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.slow
def test_an_alert_is_told_once_until_it_is_back_below_also_by_a_new_root(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.elastic]
        command = "${tree.python} elastic.py"
        memory_max = "60MB"
        on_limit = "alert"
        """,
        start=False,
    )
    program(t, "elastic.py", ELASTIC)
    t.start()
    t.wait("elastic")
    pid = t.pids()["elastic"]
    eventually(lambda: "ready" in t.log("elastic"), "it handles signals")
    with t.follow("ctl", "events", "-f", "--json") as f:
        os.kill(pid, signal.SIGUSR1)
        assert f.event("limit_exceeded", "elastic")["then"] == "alert"
    assert "over memory_max = 60 MB" in t.child("elastic")["reason"]
    assert t.child("elastic")["state"] == "running"
    assert "over memory_max = 60 MB" in why(t, "elastic").splitlines()[0]
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    with t.follow("ctl", "events", "-f", "--json") as f:
        assert "over memory_max = 60 MB" in t.child("elastic")["reason"]
        os.kill(pid, signal.SIGUSR2)
        f.event("limit_kept_again", "elastic")
    assert t.child("elastic")["reason"] is None
    assert len(t.events("limit_exceeded", "elastic")) == 1
    assert t.pids()["elastic"] == pid


@pytest.mark.slow
def test_a_worker_that_is_held_is_left_alone_until_it_is_released(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.elastic]
        command = "${tree.python} elastic.py"
        memory_max = "60MB"
        backoff = "1h"
        """,
        start=False,
    )
    program(t, "elastic.py", ELASTIC)
    t.start()
    t.wait("elastic")
    pid = t.pids()["elastic"]
    eventually(lambda: "ready" in t.log("elastic"), "it handles signals")
    t.ctl("hold", "elastic")
    with t.follow("ctl", "events", "-f", "--json") as f:
        os.kill(pid, signal.SIGUSR1)
        assert f.event("limit_exceeded", "elastic")["then"] == "hold"
        assert t.pids()["elastic"] == pid
        t.ctl("release", "elastic")
        assert f.event("child_exited", "elastic")["exit"].startswith("memory: ")
    assert len(t.events("limit_exceeded", "elastic")) == 1


FORKED = """
import os, threading

def leak():
    held = []
    if os.fork() == 0:  # what leaks is a child of it, in a session of its own
        os.setsid()
        while len(held) < 1000:
            held.append(bytearray(b"x" * 1_000_000))
            threading.Event().wait(0.001)
    threading.Event().wait()
"""


@pytest.mark.linux
def test_a_worker_that_a_zygote_forked_is_watched_as_any_other(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.forked]
        run = "forked:leak"
        memory_max = "150MB"
        backoff = "1h"
        """,
        start=False,
    )
    program(t, "forked.py", FORKED)
    t.start()
    with t.follow("ctl", "events", "-f", "--json") as f:
        exceeded = f.event("limit_exceeded", "forked")
        assert f.event("child_exited", "forked")["exit"].startswith("memory: ")
    assert exceeded["processes"][0]["memory"] > 100_000_000


def test_a_new_limit_holds_for_what_runs_and_none_for_what_has_none_any_more(tree: MakeTree) -> None:
    text = """
        [workers.leaky]
        command = "${tree.python} leak.py 30"
        on_limit = "alert"
        """
    t = tree(text, start=False)
    program(t, "leak.py", LEAK)
    t.start()
    eventually(lambda: "has 30" in t.log("leaky"), "it has its memory")
    with t.follow("ctl", "events", "-f", "--json") as f:
        t.write(text + 'memory_max = "20MB"')
        t.ctl("reload")
        f.event("limit_exceeded", "leaky")
        assert "over memory_max = 20 MB" in t.child("leaky")["reason"]
        t.write(text)
        t.ctl("reload")
    t.wait_until("leaky", reason=None, state="running", incarnation=1)
