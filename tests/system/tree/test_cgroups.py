"""A tree in a cgroup that is delegated to it: workers from zygotes, limits, the next start."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from supervisor_tree.system import means
from tests.conftest import MakeTree
from tests.support.cgroups import Delegated, delegated, pids, where
from tests.support.processes import lives
from tests.support.waiting import eventually, wait_gone

pytestmark = pytest.mark.linux


@pytest.fixture
def own() -> Iterator[Delegated]:
    with delegated() as made:
        yield made


HERE = """
import json, subprocess, sys, threading

def folder():
    return open("/proc/self/cgroup").read().split("0::")[1].split()[0]

said = {"import": folder()}

def live():
    said["run"] = folder()
    child = "print(open('/proc/self/cgroup').read().split('0::')[1].split()[0])"
    said["child"] = subprocess.check_output([sys.executable, "-S", "-c", child], text=True).strip()
    print(json.dumps(said), flush=True)
    threading.Event().wait()
"""


def test_a_python_worker_is_in_its_folder_before_its_first_line(tree: MakeTree, own: Delegated) -> None:
    t = tree('[workers.snake]\nrun = "here:live"\n', start=False)
    (t.dir / "here.py").write_text(HERE)
    t.wrap = own.wrap
    t.start()
    t.wait("snake")
    eventually(lambda: t.log("snake").endswith("}\n"), "it has said where it is")
    said = json.loads(t.log("snake"))
    assert len(set(said.values())) == 1, said
    assert said["run"].endswith(f"/{own.tree().name}/worker.snake")
    pid = t.pids()["snake"]
    assert own.workers() == {"worker.snake": [pid]}
    t.kill(pid)
    t.wait_until("snake", restarts=1, state="running")
    eventually(lambda: t.log("snake").count("}\n") == 2, "it has said it again")
    assert own.workers() == {"worker.snake": [t.pids()["snake"]]}
    assert "cgroups" in t.cli("ctl", "events")
    t.stop()
    assert own.trees() == []


DAEMON = """
import os, sys, threading
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("far.new", "w").write(str(os.getpid()))
        os.rename("far.new", "far")
        os.execve(sys.executable, [sys.executable, "-S", sys.argv[1]], {})
    os._exit(0)
os.wait()
threading.Event().wait()
"""


# A quarter of a processor each, so that something is left to the tests beside it.
BURN = """
import threading, time
while True:
    until = time.process_time() + 0.05
    while time.process_time() < until: pass
    threading.Event().wait(0.15)
"""
BRIEF = """
import os, signal, threading, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits, so nobody inherits their times
while True:
    if os.fork() == 0:
        until = time.process_time() + 0.05
        while time.process_time() < until: pass
        os._exit(0)
    threading.Event().wait(0.2)
"""


@pytest.mark.slow
def test_cpu_of_a_daemon_that_hides_counts(tree: MakeTree, own: Delegated) -> None:
    """Also of what ends between two looks, and that nobody waited for."""
    t = tree(
        """
        [workers.hides]
        command = "${tree.python} -S daemon.py burn.py"
        cpu_max = 0.03
        backoff = "1h"
        [workers.brief]
        command = "${tree.python} -S brief.py"
        cpu_max = 0.03
        backoff = "1h"
        """,
        start=False,
    )
    (t.dir / "daemon.py").write_text(DAEMON)
    (t.dir / "burn.py").write_text(BURN)
    (t.dir / "brief.py").write_text(BRIEF)
    t.wrap = own.wrap
    t.start()
    eventually((t.dir / "far").exists, "the daemon runs")
    far = int((t.dir / "far").read_text())
    with t.follow("ctl", "events", "-f", "--json") as f:
        told = [f.event("limit_exceeded", timeout=90) for _ in range(2)]
    exceeded = {each["name"]: each for each in told}
    assert exceeded["hides"]["kind"] == exceeded["brief"]["kind"] == "cpu"
    assert [each["pid"] for each in exceeded["hides"]["processes"]] == [far]
    t.wait("hides", "brief", state="backoff")
    assert not lives(far)


def test_memory_of_a_daemon_that_hides_counts(tree: MakeTree, own: Delegated) -> None:
    t = tree(
        """
        [workers.hides]
        command = "${tree.python} -S daemon.py leak.py"
        memory_max = "60MB"
        backoff = "1h"
        """,
        start=False,
    )
    (t.dir / "daemon.py").write_text(DAEMON)
    (t.dir / "leak.py").write_text("import signal\nheld = bytearray(b'x' * 100_000_000)\nsignal.pause()\n")
    t.wrap = own.wrap
    t.start()
    with t.follow("ctl", "events", "-f", "--json") as f:
        exceeded = f.event("limit_exceeded", "hides")
    assert exceeded["processes"][0]["pid"] == int((t.dir / "far").read_text())
    assert exceeded["value"] > 60_000_000  # which the worker itself has not
    t.wait("hides", state="backoff")


def test_a_killed_keeper_leaves_no_process_and_the_next_start_no_folder(tree: MakeTree, own: Delegated) -> None:
    t = tree(
        """
        [workers.hides]
        command = "${tree.python} -S daemon.py sleep.py"
        [workers.snake]
        run = "here:live"
        """,
        start=False,
    )
    (t.dir / "daemon.py").write_text(DAEMON)
    (t.dir / "sleep.py").write_text("import signal\nsignal.pause()\n")
    (t.dir / "here.py").write_text(HERE)
    t.wrap = own.wrap
    t.start()
    eventually((t.dir / "far").exists, "the daemon runs")
    far = int((t.dir / "far").read_text())
    eventually(lambda: means.environment(far) == b"", "nothing names it")
    first = own.tree().name
    assert t.keeper is not None
    t.kill(t.keeper.pid)
    t.keeper.wait()
    wait_gone(far)
    t.assert_nothing_left()
    t.start()
    eventually(lambda: first not in own.trees(), "the folder of the life before is gone")
    assert where(t.keeper.pid) == "tree"
    t.stop()
    assert own.trees() == []


def test_a_new_root_is_with_the_others_and_touches_nobody(tree: MakeTree, own: Delegated) -> None:
    t = tree('[workers.sleeper]\ncommand = "sleep 1000"\nmemory_max = "1GB"\n', start=False)
    t.wrap = own.wrap
    t.start()
    t.wait("sleeper")
    before = t.pids()
    root = t.root_pid()
    t.kill(root)
    new = t.wait_new_root(root)
    assert where(new) == "tree"
    assert new in pids(own.tree() / "tree")
    assert t.pids() == before
    os.kill(before["sleeper"], 9)
    t.wait_until("sleeper", state="running", incarnation=2)
