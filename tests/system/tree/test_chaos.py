"""Everything at once, at random: at the end the tree is what was asked of it, with each program there once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from typing import Any

import psutil
import pytest

from tests.conftest import MakeTree
from tests.support.asking import Refused
from tests.support.tree import Tree
from tests.support.waiting import eventually

NAMES = ("plain", "secret", "crashy", "slow", "first", "second", "third", "all1", "all2")
TREE = """
    [defaults]
    backoff = {{ first = "0s", initial = "20ms", max = "100ms", jitter = 0.5, reset = "1m" }}
    shutdown = "2s"
    [workers.plain]
    command = "sleep 1001"
    [workers.crashy]
    command = "sh -c 'sleep 0.15; exit 3'"
    [workers.slow]
    command = "sh -c 'trap \\"sleep 0.2; exit\\" TERM; while :; do sleep 0.05; done'"
    [workers.secret]
    command = "sleep 1007"
    env = {{ SECRET = {{ command = "sh -c 'sleep 0.1; echo x'" }} }}
    [supervisors.rest]
    strategy = "rest_for_one"
    children = ["first", "second", "third"]
    intensity = 1000
    [workers.first]
    command = "sleep 1002"
    [workers.second]
    command = "sleep 1003"
    env = {{ X = "{x}" }}
    [workers.third]
    command = "sleep 1004"
    [supervisors.both]
    strategy = "one_for_all"
    children = ["all1", "all2"]
    intensity = {intensity}
    [workers.all1]
    command = "sleep 1005"
    [workers.all2]
    command = "sleep 1006"
"""
ACTS = 16
SLEEPS = {"plain": 1001, "first": 1002, "second": 1003, "third": 1004, "all1": 1005, "all2": 1006, "secret": 1007}


class Monkey:
    """Does things to a tree, and remembers what was wished of it."""

    def __init__(self, tree: Tree, seed: int) -> None:
        self.tree = tree
        self.dice = random.Random(seed)
        self.done: list[str] = []

    def act(self) -> None:
        action = self.dice.choice(
            [self.kill_worker] * 6
            + [self.ask] * 8
            + [self.kill_root] * 3
            + [self.stop_root, self.kill_logger, self.upgrade, self.reload, self.reload]
        )
        action()

    def note(self, *words: Any) -> None:
        self.done.append(" ".join(map(str, words)))

    def _child(self, module: str) -> int | None:
        assert self.tree.keeper is not None
        for process in psutil.Process(self.tree.keeper.pid).children():
            with contextlib.suppress(psutil.Error):
                if module in process.cmdline():
                    return int(process.pid)
        return None

    def kill_worker(self) -> None:
        name = self.dice.choice(list(SLEEPS))
        pids = [process.pid for process in sleeps(self.tree, SLEEPS[name])]
        self.note("kill", name, pids)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_root(self) -> None:
        self._signal("supervisor_tree.root", signal.SIGKILL)

    def stop_root(self) -> None:
        self._signal("supervisor_tree.root", signal.SIGSTOP)

    def kill_logger(self) -> None:
        self._signal("supervisor_tree.logs", signal.SIGKILL)

    def _signal(self, module: str, number: signal.Signals) -> None:
        pid = self._child(module)
        self.note(number.name, module, pid)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _ask(self, command: str, **args: Any) -> None:
        def run() -> None:
            with contextlib.suppress(Refused):
                self.tree.ask(command, 30, **args)

        self.note(command, args)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        # Half of them are waited for; the others go on beside what comes next.
        thread.join(self.dice.choice([0, 2.0]))

    def ask(self) -> None:
        command = self.dice.choice(["restart", "restart", "stop", "start", "start", "hold", "release"])
        names = self.dice.sample([*NAMES, "rest", "both"], self.dice.choice([1, 1, 2]))
        self._ask(command, names=names, tied=self.dice.random() < 0.2)

    def upgrade(self) -> None:
        self._ask("upgrade")

    def reload(self) -> None:
        self.tree.write(TREE.format(x=self.dice.choice("abc"), intensity=self.dice.choice([999, 1000])))
        self._ask("reload")


def sleeps(t: Tree, seconds: int) -> list[psutil.Process]:
    """The processes of the tree that sleep so long."""
    assert t.keeper is not None
    found = []
    for process in psutil.Process(t.keeper.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.cmdline() == ["sleep", str(seconds)] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def settled(t: Tree) -> bool:
    """Nothing is on its way, and what is shown is what is there."""
    with contextlib.suppress(AssertionError):
        children = t.children()
        for name, child in children.items():
            if child["type"] == "worker" and name != "crashy" and child["state"] not in ("running", "stopped", "held"):
                return False
        if [operation for operation in t.ask("ops") if operation["state"] == "running"]:
            return False
        return all(
            [process.pid for process in sleeps(t, seconds)]
            == ([children[name]["pid"]] if children[name]["pid"] else [])
            for name, seconds in SLEEPS.items()
        )
    return False


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_at_random(tree: MakeTree, seed: int) -> None:
    t = tree(TREE.format(x="a", intensity=1000))
    t.wait("plain", "first", "second", "third", "all1", "all2")
    monkey = Monkey(t, seed)
    pause = threading.Event()
    try:
        for _ in range(ACTS):
            monkey.act()
            pause.wait(monkey.dice.random() * 0.2)
            for name, seconds in SLEEPS.items():
                assert len(sleeps(t, seconds)) <= 1, f"{name} runs twice"
        eventually(lambda: settled(t), lambda: f"it settles; it is {t.children()}, {t.ask('ops')}", 40)
        names = [*NAMES, "rest", "both"]
        t.ask("release", names=names)
        answer = t.ask("start", 20, names=names)
        assert answer["state"] == "done", answer
        t.wait("plain", "first", "second", "third", "all1", "all2", "slow")
        eventually(lambda: settled(t), lambda: f"it settles; it is {t.children()}, {t.ask('ops')}", 40)
        assert not t.events("internal_error")
        assert t.stop() == 0
        numbers = [line["seq"] for line in t.journal()]
        assert numbers == list(range(1, len(numbers) + 1))
        assert "Traceback" not in t.output()
    except AssertionError:
        print("\n".join(monkey.done))
        raise
