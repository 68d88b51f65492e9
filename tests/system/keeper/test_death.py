"""The keeper dies: everything of the tree is dead within two seconds, and the next start is clean."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from supervisor_tree.keeper import record
from supervisor_tree.system import means
from tests.system.keeper.conftest import Brain, MakeBrain, eventually, lives
from tests.system.keeper.test_children import daemon


def logger_pid(brain: Brain, other_than: int = 0) -> int:
    """By what the sweep knows it by: only once it has executed is it known as what it is."""
    found: list[int] = []

    def there() -> bool:
        found[:] = [
            each.pid
            for each in means.processes_of(brain.id)
            if each.pid != other_than and b"SUPERVISOR_TREE_ROLE=logger" in (means.environment(each.pid) or b"")
        ]
        return bool(found)

    eventually(there, "a logger")
    return found[0]


def table_names(brain: Brain, name: str) -> bool:
    return any(row[0] == name for row in record.read(str(brain.state_dir / "keeper.log")).rows)


def populate(brain: Brain) -> list[int]:
    pids = [brain.spawn(f"w{n}", "/bin/sleep", "1000") for n in range(5)]
    brain.shell("d", daemon(ignore=True))
    pids.append(int(brain.await_file("far")))
    pids.append(brain.shell("t", "trap '' TERM; echo up; while :; do sleep 1; done"))
    # Then the logger lives, too, and not only begins to: before that it watches nobody's death.
    eventually(lambda: brain.log("t") == "up\n", "what it writes is in its log")
    return pids


@pytest.mark.parametrize("with_it", ["nobody", "root", "logger", "stopped root"])
def test_killed(brain: Brain, with_it: str) -> None:
    pids = populate(brain)
    other = {"root": brain.root.pid, "logger": logger_pid(brain), "stopped root": brain.root.pid}.get(with_it)
    if other is not None:
        os.kill(other, signal.SIGSTOP if "stopped" in with_it else signal.SIGKILL)
    brain.keeper.kill()
    began = time.monotonic()
    eventually(lambda: not any(map(lives, pids)), "everything is dead", 4)
    assert time.monotonic() - began < 2
    eventually(lambda: not brain.left(), "root and logger too", 4)


def test_all_three_killed_then_the_next_start_sweeps(brain: Brain) -> None:
    pids = populate(brain)
    eventually(lambda: table_names(brain, "w4"), "the table is written")
    brain.keeper.send_signal(signal.SIGSTOP)  # so that it replaces none of them
    for pid in (logger_pid(brain), brain.root.pid, brain.keeper.pid):
        os.kill(pid, signal.SIGKILL)
    brain.keeper.wait()
    assert all(map(lives, pids))
    brain.start(prepare=False)
    locked = brain.prepare()
    assert not any(map(lives, pids))
    swept = {each["pid"]: each for each in locked["swept"]}
    assert set(pids) <= set(swept)
    assert swept[pids[0]] == {"name": "w0", "pid": pids[0], "command": "/bin/sleep 1000"}


def test_a_restart_at_once_waits_for_the_sweep(brain: Brain) -> None:
    pids = populate(brain)
    brain.keeper.kill()
    brain.keeper.wait()
    brain.start(prepare=False)
    brain.prepare()
    assert not any(map(lives, pids))


def test_a_stopped_root_holds_the_lock_not_for_ever(make: MakeBrain) -> None:
    brain = make(lock=0.5).start()
    pids = populate(brain)
    eventually(lambda: table_names(brain, "root"), "the table is written")
    stopped = [brain.root.pid, logger_pid(brain)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    brain.keeper.kill()
    brain.keeper.wait()
    brain.start(prepare=False)
    brain.prepare()
    assert not any(map(lives, [*pids, *stopped]))


def test_second_start_is_refused(brain: Brain, make: MakeBrain) -> None:
    other = make(folder="o")
    other.state_dir = brain.state_dir
    other.start(prepare=False)
    other.send(
        {"t": "prepare", "state_dir": str(brain.state_dir), "run_dir": str(other.run_dir), "name": "t", "file": "x"}
    )
    assert other.ended() == 1
    assert f"tree t is already running (keeper pid {brain.keeper.pid})" in other.output()
    brain.spawn("a", "/bin/sleep", "1000")


def test_an_orderly_end_leaves_nothing_to_sweep(brain: Brain) -> None:
    brain.spawn("a", "/bin/sleep", "1000")
    brain.exit()
    assert json.loads((brain.state_dir / "lock").read_text()) == {}
    assert record.read(str(brain.state_dir / "keeper.log")).life["id"] == brain.id
    brain.start(prepare=False)
    assert brain.prepare()["swept"] == []


def test_end_of_file_alone_kills_nobody(brain: Brain) -> None:
    """A stopped root that is replaced finds its link closed when it goes on: it must not sweep a living tree."""
    pid = brain.spawn("a", "/bin/sleep", "1000")
    brain.root.link.sock.close()
    brain.take_over()
    assert lives(pid)


@pytest.mark.linux
def test_in_a_pid_namespace_of_its_own(make: MakeBrain, tmp_path: Path) -> None:
    """As PID 1: strangers are reaped, nothing is left."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no PID namespace to be had")
    brain = make().start(wrap=unshare)
    # Strangers: orphans without the tree's id.
    stranger = "(/bin/sleep 0.2; echo >> over) & /bin/sleep 0.05"
    brain.shell("a", f"for i in 1 2 3 4 5; do (env -i setsid /bin/sh -c '{stranger}' &); done; sleep 1000")
    brain.shell(
        "b",
        "until test -e over && test $(wc -l < over) = 5; do sleep 0.05; done; "
        "while ps -A -o stat= | grep -q Z; do sleep 0.05; done; echo none > zombies; sleep 1000",
    )
    assert brain.await_file("zombies") == "none\n"
    assert [each for each in brain.events if each["kind"] == "adopted"] == []
    brain.id = ""
    assert brain.exit(3) == 3


def test_sweep_by_table_and_by_hand(tmp_path: Path) -> None:
    """What wiped its environment but stayed in the session of a worker that the table names."""
    script = (
        "import os, time\n"
        "if os.fork() == 0: os.execve('/bin/sleep', ['sleep', '1000'], {})\n"
        "print(1, flush=True); time.sleep(1000)"
    )
    leader = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, stdout=subprocess.PIPE)
    assert leader.stdout is not None
    leader.stdout.readline()
    (child,) = (each.pid for each in means.descendants(leader.pid))
    start = means.process_identity(leader.pid) or 0
    row = ["w", 1, leader.pid, start]
    eventually(lambda: means.environment(child) == b"", "the child is what it is")
    from supervisor_tree.keeper.sweep import kill_all

    wrong = ["w", 1, leader.pid, start - 1]  # the pid of another process now
    assert kill_all("no such tree", [wrong]) == []
    killed = kill_all("no such tree", [row])
    assert {each["pid"] for each in killed} == {leader.pid, child}
    leader.wait()
    leader.stdout.close()
    eventually(lambda: not lives(child), "the child is dead")
