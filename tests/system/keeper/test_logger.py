"""The logger as its keeper sees it: kept alive, handed everything, let go of."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from supervisor_tree.keeper import record
from supervisor_tree.system import means
from tests.system.keeper.conftest import Brain, MakeBrain, eventually, lives
from tests.system.keeper.test_death import logger_pid

WRITER = """
import sys
for n in range(int(sys.argv[1])):
    print("line", n, flush=n % 50 == 0)
sys.stdout.flush()
open("done", "w").write("yes\\n")
import time; time.sleep(1000)
"""


def next_logger(brain: Brain, old: int) -> int:
    brain.event("logger", what="restarted", pid=old)
    return logger_pid(brain, other_than=old)


@pytest.mark.linux
def test_killed_under_load_nothing_is_lost(brain: Brain) -> None:
    lines = 60_000
    brain.spawn("w", sys.executable, "-S", "-c", WRITER, str(lines))
    pid = logger_pid(brain)
    for _ in range(4):
        os.kill(pid, signal.SIGKILL)
        pid = next_logger(brain, pid)
    brain.await_file("done")
    expected = "".join(f"line {n}\n" for n in range(lines))
    eventually(lambda: len(brain.log("w")) >= len(expected), "all is written")
    assert brain.log("w") == expected


def test_stopped_logger_is_replaced(brain: Brain) -> None:
    old = logger_pid(brain)
    os.kill(old, signal.SIGSTOP)
    next_logger(brain, old)
    assert not lives(old)
    brain.shell("w", "echo hello; sleep 1000")
    eventually(lambda: brain.log("w") == "hello\n", "the new one writes")


def test_a_logger_that_babbles_is_replaced(make: MakeBrain, tmp_path: Path) -> None:
    """Frames that are no messages; and no frames at all."""
    (tmp_path / "babble.py").write_text(
        "import socket, sys, time\n"
        "from supervisor_tree.ipc.link import encode\n"
        "s = socket.socket(fileno=int(sys.argv[sys.argv.index('--link') + 1]))\n"
        "s.sendall(encode({'t': 'able'}) + encode({'t': 'done'}) + b'\\xff' * 64)\n"
        "time.sleep(1000)\n"
    )
    brain = make(logger=[sys.executable, "-P", str(tmp_path / "babble.py")]).start()
    for _ in range(3):
        assert "garbage" in brain.event("logger", what="restarted")["reason"]
    brain.spawn("a", "/bin/sleep", "1000")
    # Amidst its exec it has no environment. Real roots and loggers know it by the table; here is neither.
    eventually(lambda: any("/bin/sleep 1000" in each for each in brain.left()), "it has executed")


def test_output_is_complete_at_the_end(brain: Brain) -> None:
    for n in range(10):
        brain.shell(f"w{n}", f"i=0; while [ $i -lt 200 ]; do echo $i; i=$((i+1)); done; echo > said{n}; sleep 1000")
    brain.spawn(
        "last",
        "/bin/sh",
        "-c",
        "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.02; done",
        stop={"to": "leader"},
    )
    eventually(lambda: brain.log("last") == "up\n", "it is up")
    for n in range(10):
        brain.await_file(f"said{n}")
    brain.stop("last")
    brain.event("exited", name="last")
    brain.exit()
    assert brain.log("last") == "up\nbye\n"
    for n in range(10):
        assert brain.log(f"w{n}").count("\n") == 200


def test_nothing_stays_open(brain: Brain) -> None:
    """Descriptors, table and record come back to what they were after many restarts."""

    def opened() -> int:
        return len(os.listdir(f"/proc/{brain.keeper.pid}/fd"))

    brain.spawn("first", "/bin/true")
    brain.event("exited", name="first")
    before = opened() - 2
    for inc in range(1, 60):
        brain.commit(brain.spec("w", "/bin/true", inc=inc), brain.spec("h", "/bin/true", inc=inc, nice=1))
        brain.event("exited", name="w", inc=inc)
        brain.event("exited", name="h", inc=inc)
    eventually(lambda: opened() <= before + 2, "the pipes are closed")

    def names() -> set[object]:
        return {row[0] for row in record.read(str(brain.state_dir / "keeper.log")).rows}

    eventually(lambda: names() == {"root", "logger"}, "the record is up to date")


def test_the_record_names_who_lives(brain: Brain) -> None:
    pid = brain.spawn("a", "/bin/sleep", "1000")
    brain.shell("b", "exit 0")
    brain.event("exited", name="b")

    def rows() -> dict[str, list[object]]:
        return {row[0]: row for row in record.read(str(brain.state_dir / "keeper.log")).rows}

    eventually(lambda: set(rows()) == {"root", "logger", "a"}, "the record is up to date")
    assert rows()["a"] == ["a", 1, pid, means.process_identity(pid)]
    assert rows()["root"][2] == brain.root.pid
