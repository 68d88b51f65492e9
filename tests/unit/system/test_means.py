"""The one interface to what differs between systems; here on this very process."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from supervisor_tree.system import SystemMeansError, means
from supervisor_tree.system.means import signal_number
from supervisor_tree.system.watch import FileWatcher, StatWatcher


def test_this_process() -> None:
    seen = means.process(os.getpid())
    assert seen is not None
    assert (seen.pid, seen.ppid, seen.session, seen.pgrp) == (os.getpid(), os.getppid(), os.getsid(0), os.getpgrp())
    assert not seen.dead
    assert means.process_identity(os.getpid()) == seen.start
    assert means.process(2**22 + 1) is None
    assert os.getpid() in [each.pid for each in means.processes()]
    assert means.boot_id() == means.boot_id() != ""
    assert "python" in means.command(os.getpid()) or "pytest" in means.command(os.getpid())


def test_a_command_is_shown_in_one_line() -> None:
    script = "import sys\nprint(1, flush=True)\nsys.stdin.read()  # \x1b[31m\n"
    with subprocess.Popen([sys.executable, "-S", "-c", script], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        shown = means.command(child.pid)
        child.stdin.close()
    assert shown.endswith("-S -c import sys print(1, flush=True) sys.stdin.read()  #  [31m")


def test_signals_reach_only_whom_they_are_meant_for() -> None:
    script = "import time; print(1, flush=True); time.sleep(100)"
    with subprocess.Popen([sys.executable, "-S", "-c", script], stdout=-1) as child:
        assert child.stdout is not None
        child.stdout.readline()
        start = means.process_identity(child.pid)
        assert start is not None
        assert child.pid in [each.pid for each in means.descendants(os.getpid())]
        watch = means.watch_process(child.pid)
        assert not means.signal_process(child.pid, start + 1, signal.SIGKILL)
        assert child.poll() is None
        assert means.signal_process(child.pid, start, signal.SIGKILL)
        child.wait()
        assert not means.signal_process(child.pid, start, signal.SIGKILL)
        if watch is not None:
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            assert poll.poll(5000)
            os.close(watch)


def test_processes_of_a_tree_are_found_by_their_environment() -> None:
    tree_id = os.urandom(16).hex()
    with subprocess.Popen(["cat"], stdin=-1, env={"SUPERVISOR_TREE_ID": tree_id, "PATH": os.defpath}) as child:
        found = [each.pid for each in means.processes_of(tree_id)]
        # A value that only contains the id is another tree's.
        assert means.processes_of(tree_id[:-1]) == []
        assert child.stdin is not None
        child.stdin.close()
    assert found == [child.pid]


@pytest.mark.parametrize(("name", "number"), [("TERM", 15), ("sigterm", 15), ("SIGKILL", 9), ("10", 10), (2, 2)])
def test_signal_number(name: str | int, number: int) -> None:
    assert signal_number(name) == number


@pytest.mark.parametrize("name", ["", "NONSENSE", "SIG_DFL", "_IGN"])
def test_no_such_signal(name: str) -> None:
    with pytest.raises(SystemMeansError, match="no signal is named"):
        signal_number(name)


@pytest.mark.parametrize("make", [means.watch_files, StatWatcher])
def test_file_watcher(make: type[FileWatcher], tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("a")
    with make() as watcher:
        watcher.add(str(file))
        assert watcher.events() == []
        assert watcher.wait(0) == []
        with file.open("a") as out:
            out.write("more")
        assert (str(file), "changed") in watcher.wait(5)
        file.rename(tmp_path / "log.1")
        assert "gone" in [kind for _, kind in watcher.wait(5)]
        with pytest.raises(FileNotFoundError):
            watcher.add(str(tmp_path / "no such file"))


def test_memory_file() -> None:
    fd = means.memory_file("x", 64)
    assert os.pread(fd, 100, 0) == bytes(64)
    assert not os.get_inheritable(fd)
    os.close(fd)


@pytest.mark.skipif(means.wall_timer() is None, reason="needs a timer on the wall clock")
def test_a_timer_on_the_wall_clock() -> None:
    timer = means.wall_timer()
    assert timer is not None
    poll = select.poll()
    poll.register(timer, select.POLLIN)
    try:
        assert poll.poll(0) == []
        at = time.time() + 0.05
        timer.arm(at)
        assert poll.poll(10_000)
        assert time.time() >= at
        timer.read()
        assert poll.poll(0) == []
        timer.arm(0.0)  # long past: at once
        assert poll.poll(10_000)
        timer.arm(time.time() + 1e6)  # what it has rung for is forgotten
        assert poll.poll(0) == []
        timer.arm(1e300)
        timer.arm(None)
        assert poll.poll(0) == []
        timer.read()
    finally:
        timer.close()
