"""Who only could not be heard, or came back in time, is left alone."""

from __future__ import annotations

import os
import signal
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually

WORKERS = """
    import signal, time
    from supervisor_tree.workers import Worker
    from supervisor_tree.workers.life import dump

    class Well(Worker):
        pass

    class Late(Worker):
        async def run(self):
            asked = dump.signal_number()
            signal.pthread_sigmask(signal.SIG_BLOCK, [asked])
            while asked not in signal.sigpending():  # its loop is blocked until the root asks for its stacks
                time.sleep(0.01)
            await self.stopping.wait()
"""


def written(tree: MakeTree, target: str, limit: str = "1s") -> Tree:
    one = tree(
        f"""
        [workers.w]
        run = "app:{target}"
        health = {{ heartbeat = "{limit}" }}
        """,
        start=False,
    )
    (one.dir / "app.py").write_text(textwrap.dedent(WORKERS))
    one.start()
    one.wait("w")
    return one


def hangs(one: Tree) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = one.ask("events", type=["hung", "silence_ended"])["events"]
    return found


def beats(one: Tree, count: int) -> None:
    """Wait until the worker has beaten so many times more."""
    seen: set[str] = set()

    def enough() -> bool:
        seen.add(one.ask("describe", names=["w"])[0]["said"]["last_beat"])
        return len(seen) > count

    eventually(enough, lambda: f"{count} beats; seen: {seen}")


def stays(one: Tree, disturb: Callable[[], None]) -> None:
    """The same incarnation runs on, unsuspected."""
    pid = one.pids()["w"]
    disturb()
    beats(one, 4)
    assert one.pids()["w"] == pid
    assert hangs(one) == []


def test_a_worker_that_comes_back_while_it_is_looked_at(tree: MakeTree) -> None:
    one = written(tree, "Late")
    pid = one.pids()["w"]
    [line] = eventually(lambda: hangs(one), "it is suspected")
    assert line["event"] == "silence_ended"
    assert one.pids()["w"] == pid
    assert "spoke again while it was looked at" in one.ctl("why", "w")
    assert not (one.state_dir / "incidents").exists() or not list((one.state_dir / "incidents").iterdir())


def test_the_root_is_killed(tree: MakeTree) -> None:
    one = written(tree, "Well")

    def kill_root() -> None:
        root = one.root_pid()
        one.kill(root)
        one.wait_new_root(root)

    stays(one, kill_root)


@pytest.mark.parametrize("who", ["root", "all"])
def test_a_pause(tree: MakeTree, who: str) -> None:
    """The root is stopped (and replaced by the keeper), or all of it, as when the machine sleeps."""
    one = written(tree, "Well")

    def pause() -> None:
        root = one.root_pid()
        processes = [psutil.Process(root)] if who == "root" else list(one.processes())
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        threading.Event().wait(2.5)
        for process in reversed(processes):
            if process.is_running():
                process.send_signal(signal.SIGCONT)

    stays(one, pause)


def test_a_stop_that_was_asked_for_meanwhile(tree: MakeTree) -> None:
    one = written(tree, "Well")
    os.kill(one.pids()["w"], signal.SIGSTOP)
    threading.Event().wait(0.9)
    began = time.monotonic()
    one.ask("stop", names=["w"])
    assert one.child("w")["state"] == "stopped"
    assert time.monotonic() - began < 9  # by its stop signal, not at the end of its 10 s
    # A machine that is too busy may have come to its verdict before the stop was asked for; none comes after it.
    (asked,) = one.ask("events", type=["wish_changed"])["events"]
    assert [line["event"] for line in hangs(one) if line["seq"] > asked["seq"]] == []


NOTIFIES = """
    import os, socket, time
    tell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    tell.connect(os.environ["NOTIFY_SOCKET"])
    tell.send(b"READY=1")
    times = 0
    while True:
        times += 1
        tell.send(f"WATCHDOG=1\\nSTATUS={times}".encode())
        time.sleep(0.2)
"""


def test_the_keeper_is_stopped(tree: MakeTree) -> None:
    """^Z in its terminal: what workers say by sd_notify lies there, and nobody is silent."""
    one = tree(
        """
        [workers.w]
        command = "${tree.python} app.py"
        ready = { notify = true }
        health = { notify = "1s" }
        """,
        start=False,
    )
    (one.dir / "app.py").write_text(textwrap.dedent(NOTIFIES))
    one.start()
    one.wait("w")
    pid = one.pids()["w"]
    keeper = int(one.run_json()["keeper"])
    os.kill(keeper, signal.SIGSTOP)
    threading.Event().wait(3.5)
    os.kill(keeper, signal.SIGCONT)
    heard = int(one.wait_until("w", status=lambda said: said is not None)["status"])
    one.wait_until("w", status=lambda said: int(said) > heard + 10)  # it was heard for longer than its limit
    assert hangs(one) == []
    assert one.pids()["w"] == pid
    os.kill(pid, signal.SIGSTOP)
    one.wait_until("w", pid=lambda now: now not in (None, pid), restarts=1)
    [line] = hangs(one)
    assert "it is stopped by a signal" in line["explanation"]
