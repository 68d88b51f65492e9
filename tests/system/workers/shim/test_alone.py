"""A shim in a terminal, without a tree: what the command says, hears and ends with is as if it ran there itself."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import lives
from tests.support.tree import clean_environment
from tests.support.waiting import PATIENCE, eventually

Run = Callable[..., subprocess.Popen[str]]

TELLS = """
import signal, sys
def told(number, frame):
    print(signal.Signals(number).name, flush=True)
    if number in ENDING:
        sys.exit(ENDING[number])
ENDING = {signal.SIGTERM: 7, signal.SIGINT: 8}
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMAX):
    signal.signal(number, told)
print("up", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """``run(command, watch=…)`` in ``tmp_path``; stdout and stderr are pipes."""
    running: list[subprocess.Popen[str]] = []

    def start(command: list[str] | str, **args: Any) -> subprocess.Popen[str]:
        text = json.dumps({"command": command, **args})
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor_tree.workers", "supervisor_tree.workers.shim:ShimWorker", text],
            cwd=tmp_path,
            env=clean_environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        for command in children(process.pid):  # no tree is here to end what a killed shim would leave
            with contextlib.suppress(ProcessLookupError):
                os.kill(command, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


@pytest.mark.parametrize("watch", [{}, {"watch": {"output": "nothing like it"}}])
@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("true", 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "kill -TERM $$"], -signal.SIGTERM),
        (["sh", "-c", "kill -KILL $$"], -signal.SIGKILL),
        (["sh", "-c", "ulimit -c 0; kill -SEGV $$"], -signal.SIGSEGV),
        ("no-such-program", 127),
        ("/etc/hostname", 126),
    ],
)
def test_it_ends_as_the_command_ends(run: Run, command: list[str] | str, watch: dict[str, Any], status: int) -> None:
    assert run(command, **watch).wait(PATIENCE) == status


def test_a_command_that_is_not_there_is_said_in_a_line(run: Run) -> None:
    _, said = run("no-such-program").communicate(timeout=PATIENCE)
    assert said == "no-such-program can't be started: No such file or directory\n"


def test_arguments_that_make_no_sense_are_said_without_a_traceback(run: Run) -> None:
    process = run("true", watch=[{"tcp": "x"}, {"file": "a", "fresh": "soon"}])
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert said.splitlines() == [
        "args.watch[0].tcp: must be an address, HOST:PORT",
        'args.watch[1].fresh: must be a duration longer than 0, as in "2m" (ms s m h d w)',
    ]


@pytest.mark.parametrize("watch", [{}, {"watch": {"output": "out"}}])
def test_output_arrives_as_it_was_written(run: Run, watch: dict[str, Any]) -> None:
    process = run(["sh", "-c", "echo out; echo err >&2; printf 'no end'"], **watch)
    assert process.communicate(timeout=PATIENCE) == ("out\nno end", "err\n")


def test_where_both_go_to_one_place_their_order_stays(tmp_path: Path) -> None:
    text = json.dumps({"command": ["sh", "-c", "for i in 1 2 3 4 5; do echo $i; echo e$i >&2; done"]})
    text = json.dumps({**json.loads(text), "watch": {"output": "1"}})
    with open(tmp_path / "log", "wb") as log:
        subprocess.run(
            [sys.executable, "-m", "supervisor_tree.workers", "supervisor_tree.workers.shim:ShimWorker", text],
            env=clean_environment({}),
            stdout=log,
            stderr=log,
            timeout=PATIENCE,
            check=True,
        )
    assert (tmp_path / "log").read_text().split() == [f"{e}{i}" for i in range(1, 6) for e in ("", "e")]


def test_every_signal_is_passed_on_once(run: Run) -> None:
    process = run([sys.executable, "-c", TELLS])
    assert line(process) == "up"
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGRTMAX"):
        process.send_signal(signal.Signals[name])
        assert line(process) == name
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=PATIENCE)[0] == "SIGTERM\n"
    assert process.returncode == 7


def test_a_signal_to_the_whole_group_reaches_the_command_once(run: Run) -> None:
    """As the keeper sends a stop signal."""
    process = run([sys.executable, "-u", "-c", TELLS.replace("sys.exit", "print")])
    assert line(process) == "up"
    os.killpg(process.pid, signal.SIGTERM)
    assert [line(process), line(process)] == ["SIGTERM", "7"]  # which print says in place of sys.exit
    os.killpg(process.pid, signal.SIGINT)
    assert [line(process), line(process)] == ["SIGINT", "8"]  # and not a second SIGTERM
    (command,) = children(process.pid)
    os.kill(command, signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL


def test_the_end_is_told_to_all_that_the_command_has_started(run: Run) -> None:
    process = run(["sh", "-c", "sleep 1000 & echo $!; sleep 1000; true"])
    inner = int(line(process))
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == -signal.SIGTERM
    eventually(lambda: not lives(inner), "what the command has started ends, too")


def test_a_command_that_is_stopped_hears_that_it_is_to_end(run: Run) -> None:
    process = run([sys.executable, "-c", TELLS])
    assert line(process) == "up"
    (command,) = children(process.pid)
    os.kill(command, signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=PATIENCE)[0] == "SIGTERM\n"
    assert process.returncode == 7


def test_a_command_may_take_its_time_to_end(run: Run) -> None:
    slow = TELLS.replace("sys.exit(ENDING[number])", "import time; time.sleep(0.5); sys.exit(0)")
    process = run([sys.executable, "-c", slow], watch={"output": "never"})
    assert line(process) == "up"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGHUP)
    assert process.wait(PATIENCE) == 0


def test_a_signal_while_it_starts_is_not_lost(run: Run, tmp_path: Path) -> None:
    """From the first moment on: the harness may have it, or the shim, or the command."""
    for _ in range(5):
        process = run(["sh", "-c", "touch begun; sleep 1000"], watch={"file": "never"})
        eventually((tmp_path / "begun").exists, "the command runs")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == -signal.SIGTERM
        (tmp_path / "begun").unlink()


def children(pid: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []
