"""Keeper, root and logger killed, alone and together: nothing of the tree is left, nothing written is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from tests.support.processes import lives, told
from tests.support.tree import Tree
from tests.support.waiting import PATIENCE, eventually, wait_gone

FAMILY = """
    [workers.plain]
    command = "sleep 1000"
    [workers.stubborn]
    command = "sh -c 'trap \\"\\" TERM HUP INT; echo up; exec sleep 1000'"
    shutdown = "200ms"
    [workers.parent]
    command = "sh -c 'sleep 1001 & setsid sleep 1002 & (setsid sleep 1003 &) ; echo up; wait'"
    [supervisors.pair]
    strategy = "rest_for_one"
    children = ["first", "second"]
    [workers.first]
    command = "sleep 1000"
    [workers.second]
    command = "sleep 1000"
"""


def everything(t: Tree) -> list[int]:
    """The pids of all that belongs to the tree, once its grandchildren are there."""
    t.wait("plain", "stubborn", "parent", "first", "second")
    for name in ("stubborn", "parent"):
        eventually(lambda name=name: "up" in t.log(name), f"{name} is up")  # type: ignore[misc]
    found: list[int] = []

    def complete() -> bool:
        processes = t.processes()
        found[:] = [process.pid for process in processes]
        commands = [told(process) for process in processes]
        asleep = sorted(command.partition("): sleep ")[2] for command in commands if "): sleep " in command)
        return asleep == ["1000"] * 4 + ["1001", "1002", "1003"] and len(found) == 3 + 5 + 3

    eventually(complete, lambda: "all are there; it is " + "; ".join(told(process) for process in t.processes()))
    return found


@pytest.mark.parametrize("with_it", ["alone", "root", "logger"])
def test_keeper_killed_and_the_next_start_is_clean(tree: MakeTree, with_it: str) -> None:
    t = tree(FAMILY)
    pids = everything(t)
    assert t.keeper is not None
    other = {"root": t.root_pid, "logger": t.logger_pid}.get(with_it)
    killed = [t.keeper.pid, *([other()] if other else [])]
    began = time.monotonic()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        wait_gone(pid)
    assert time.monotonic() - began < 4.0  # promised: 2 s
    t.keeper.wait(5)
    t.assert_nothing_left()
    t.start()
    t.wait("plain", "stubborn", "parent", "first", "second")
    assert {child["restarts"] for child in t.children().values()} == {0}
    assert t.stop() == 0


def test_all_three_killed_then_the_next_start_sweeps_and_says_so(tree: MakeTree) -> None:
    t = tree(FAMILY)
    pids = everything(t)
    assert t.keeper is not None
    own = [t.keeper.pid, t.root_pid(), t.logger_pid()]
    names = t.pids()
    for pid in own[1:]:
        os.kill(pid, signal.SIGSTOP)  # so that none has the time to sweep
    for pid in own:
        os.kill(pid, signal.SIGKILL)
    for pid in own:
        wait_gone(pid)
    t.keeper.wait(5)
    orphans = [pid for pid in pids if pid not in own]
    assert all(map(lives, names.values()))
    t.start()
    t.wait("plain", "stubborn", "parent", "first", "second")
    assert not [pid for pid in orphans if lives(pid)]
    swept = {line["pid"]: line for line in eventually(lambda: t.events("swept"), "it says what it swept")}
    assert set(names.values()) <= set(swept)
    assert swept[names["plain"]]["name"] == "plain"
    assert "sleep 1000" in swept[names["plain"]]["command"]
    assert not set(t.pids().values()) & set(orphans)
    assert t.stop() == 0


def test_a_start_at_once_after_a_killed_keeper_is_not_refused(tree: MakeTree) -> None:
    t = tree(FAMILY)
    pids = everything(t)
    assert t.keeper is not None
    t.keeper.kill()
    t.keeper.wait(5)
    t.start()
    assert not [pid for pid in pids if lives(pid)]
    t.wait("plain", "stubborn", "parent", "first", "second")


def test_a_second_start_is_refused_while_a_new_root_comes(tree: MakeTree) -> None:
    t = tree(FAMILY)
    t.wait("plain")
    assert t.keeper is not None
    os.kill(t.root_pid(), signal.SIGKILL)
    second = t.spawn("start")
    assert second.wait(PATIENCE) == 1
    assert f"already running (keeper pid {t.keeper.pid})" in t.output()
    assert t.child("plain")["restarts"] == 0


@pytest.mark.linux  # without splice a chunk of each stream is lost with the logger
def test_logger_killed_again_and_again_under_load(tree: MakeTree) -> None:
    """0 bytes lost (Linux): every line of two streams of two writers is there, once, in order."""
    t = tree(
        """
        [logs]
        max_size = "1MB"
        keep = 1000
        [workers.one]
        command = ["${tree.python}", "-S", "write.py"]
        restart = "temporary"
        [workers.two]
        command = ["${tree.python}", "-S", "write.py"]
        restart = "temporary"
        log = { stderr = "two.err" }
        """,
        start=False,
    )
    (t.dir / "write.py").write_text(
        "import os, sys, time\n"
        "n = 0\n"
        "while not os.path.exists('end'):\n"
        "    for _ in range(500):\n"
        "        sys.stdout.write(f'o{n:09} some text to make it a line of usual length\\n')\n"
        "        sys.stderr.write(f'e{n:09} some text to make it a line of usual length\\n')\n"
        "        n += 1\n"
        "    sys.stdout.flush()\n"
        "    time.sleep(0.005)\n"
        "print('o', n)\n"
    )
    t.start()
    t.wait("one", "two")
    pids = t.pids()
    for _ in range(6):
        logger = t.logger_pid()
        t.kill(logger)
        eventually(lambda logger=logger: t.logger_pid() != logger, "a new logger")  # type: ignore[misc]
        written = _written(t)
        eventually(lambda written=written: _written(t) > written, "the new logger writes")  # type: ignore[misc]
    assert t.pids() == pids
    (t.dir / "end").touch()
    t.wait("one", "two", state="completed")
    assert t.stop() == 0  # drains
    for name, error_file in (("one", None), ("two", t.dir / "two.err")):
        lines = _whole(t.state_dir / "logs" / f"{name}.log")
        out = [line for line in lines if line.startswith("o")]
        err = [line for line in (_whole(error_file) if error_file else lines) if line.startswith("e")]
        count = int(out.pop().split()[1])
        assert count > 1000
        assert [int(line[1:10]) for line in out] == list(range(count))
        assert [int(line[1:10]) for line in err] == list(range(count))
    assert not t.journal("logger_dropping")
    assert len(t.journal("logger_restarted")) == 6


def _written(t: Tree) -> int:
    """Bytes in the log files, rotated ones included."""
    while True:
        with contextlib.suppress(FileNotFoundError):  # one was renamed since it was listed
            return sum(file.stat().st_size for file in (t.state_dir / "logs").glob("one.log*"))


def _whole(log: Path) -> list[str]:
    """All lines of a log file with what was rotated away of it, oldest first."""
    rotated = {int(path.suffix[1:]): path for path in log.parent.glob(f"{log.name}.*") if path.suffix[1:].isdigit()}
    parts = [rotated[number] for number in sorted(rotated, reverse=True)]
    return "".join(part.read_text() for part in [*parts, log]).splitlines()


def test_root_and_logger_killed_together_touch_no_worker(tree: MakeTree) -> None:
    t = tree(FAMILY)
    everything(t)
    pids = t.pids()
    root, logger = t.root_pid(), t.logger_pid()
    for pid in (root, logger):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: t.logger_pid() != logger, "a new logger")
    assert t.root_pid() != root
    assert t.pids() == pids
    assert t.stop() == 0
