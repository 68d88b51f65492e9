"""Stops that take long, stops that come in between, and the order of stops."""

from __future__ import annotations

import signal
import threading
import time
import uuid
from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.support.asking import ask
from tests.support.tree import Tree
from tests.support.waiting import PATIENCE, eventually

SLOW = """
    [defaults]
    backoff = "0s"
    [workers.slow]
    command = "sh slow.sh"
    shutdown = "1m"
    [workers.other]
    command = "sleep 1000"
"""


def slow_one(tree: MakeTree) -> Tree:
    """A tree with a worker whose stop lasts until the file `enough` is there; it is up."""
    t = tree(SLOW, start=False)
    wait = "until test -e enough; do sleep 0.05; done; exit"
    (t.dir / "slow.sh").write_text(f"trap '{wait}' TERM; echo up; while :; do sleep 0.05; done\n")
    t.start()
    t.wait("slow", "other")
    eventually(lambda: "up" in t.log("slow"), "the trap is set")
    return t


class Asked:
    """A request under way in a thread of its own."""

    def __init__(self, t: Tree, command: str, **args: Any) -> None:
        self.id = uuid.uuid4().hex
        self.answer: Any = None
        run_dir = t.run_dir

        def run() -> None:
            self.answer = ask(run_dir, command, 20, self.id, **args)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def end(self, timeout: float = PATIENCE) -> Any:
        self._thread.join(timeout)
        assert self.over
        return self.answer


def test_nothing_waits_for_a_slow_stop(tree: MakeTree) -> None:
    t = slow_one(tree)
    stop = Asked(t, "stop", names=["slow"])
    t.wait("slow", state="stopping")
    took = []
    for _ in range(10):
        began = time.monotonic()
        t.status()
        took.append(time.monotonic() - began)
    assert sorted(took)[5] < 1  # milliseconds; a loaded machine is given more
    assert t.ask("restart", names=["other"])["state"] == "done"
    t.kill(t.pids()["other"])
    t.wait_until("other", state="running", restarts=1)
    assert not stop.over
    assert t.child("slow")["state"] == "stopping"
    (t.dir / "enough").touch()
    assert stop.end()["results"] == [{"name": "slow", "ok": True, "reason": None}]
    assert t.child("slow")["state"] == "stopped"


def test_a_stop_comes_before_a_restart_that_is_under_way(tree: MakeTree) -> None:
    t = slow_one(tree)
    restart = Asked(t, "restart", names=["slow"])
    t.wait("slow", state="stopping")
    stop = Asked(t, "stop", names=["slow"])
    eventually(lambda: [one for one in t.ask("ops") if one["operation"] == stop.id], "the stop is under way, too")
    (t.dir / "enough").touch()
    assert stop.end()["state"] == "done"
    answer = restart.end()
    assert answer["state"] == "failed"
    assert answer["results"][0]["reason"]
    slow = t.child("slow")
    assert (slow["state"], slow["incarnation"]) == ("stopped", 1)


def test_stop_of_one_in_backoff(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        command = "false"
        backoff = "300ms"
        """
    )
    t.wait("a", state="backoff")
    assert t.ask("stop", names=["a"])["state"] == "done"
    a = t.child("a")
    assert (a["state"], a["next_attempt"]) == ("stopped", None)
    threading.Event().wait(0.5)  # longer than the delay: nothing is to happen
    assert t.child("a")["incarnation"] == a["incarnation"]
    t.ask("start", names=["a"])
    t.wait_until("a", incarnation=lambda number: number > a["incarnation"])


def test_start_of_one_in_backoff_is_at_once(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        command = "sh -c 'test -e go && exec sleep 1000'"
        backoff = "1h"
        """
    )
    t.wait("a", state="backoff")
    (t.dir / "go").touch()
    assert t.ask("start", names=["a"])["state"] == "done"
    assert t.child("a")["state"] == "running"


def test_stop_of_a_starting_one(tree: MakeTree) -> None:
    """It waits to become ready; and one whose environment is still being read, from a disk that hangs."""
    t = tree(
        """
        [workers.never-ready]
        command = "sleep 1000"
        ready = { notify = true }
        start_timeout = "1h"
        [workers.reading]
        command = "sleep 1000"
        env = { SECRET = { command = "sleep 1000" } }
        """
    )
    t.wait("never-ready", "reading", state="starting")
    began = time.monotonic()
    assert t.ask("stop", names=["never-ready", "reading"])["state"] == "done"
    assert time.monotonic() - began < 5  # half of what a command has for it
    assert {child["state"] for child in t.children().values()} == {"stopped"}
    assert t.pids() == {}
    assert t.child("reading")["pid"] is None


def test_stops_go_in_reverse_start_order(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        command = "sleep 1000"
        [supervisors.mid]
        strategy = "rest_for_one"
        children = ["b", "low", "d"]
        [supervisors.low]
        children = ["c1", "c2"]
        [workers.b]
        command = "sleep 1000"
        [workers.c1]
        command = "sleep 1000"
        [workers.c2]
        command = "sleep 1000"
        [workers.d]
        command = "sleep 1000"
        [workers.e]
        command = "sleep 1000"
        """
    )
    names = ["a", "b", "c1", "c2", "d", "e"]
    t.wait(*names)
    assert t.stop() == 0
    order = [line["name"] for line in t.journal("stopped") if line["name"] in names]
    assert order == names[::-1]
    started = [line["name"] for line in t.journal("child_started") if line["name"] in names]
    assert [name for name in started if name in ("b", "c1", "d")] == ["b", "c1", "d"]  # rest_for_one waits


def test_each_waits_for_the_one_after_it_to_be_gone(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.first]
        command = "sh -c 'trap \\"date +%s%N > first; exit\\" TERM; echo up; while :; do sleep 0.02; done'"
        [workers.second]
        command = "sh -c 'trap \\"sleep 0.3; date +%s%N > second; exit\\" TERM; echo up; while :; do sleep 0.02; done'"
        """
    )
    for name in ("first", "second"):
        eventually(lambda name=name: "up" in t.log(name), f"{name} has set its trap")  # type: ignore[misc]
    assert t.stop() == 0
    assert int((t.dir / "second").read_text()) < int((t.dir / "first").read_text())


@pytest.mark.linux  # a daemon whose parent is gone is found by a subreaper only
def test_a_stop_ends_when_the_grandchildren_are_gone(tree: MakeTree) -> None:
    """In the group, in a session of its own, and double-forked: none outlives the answer."""
    t = tree(
        """
        [workers.a]
        command = "sleep 1001 & setsid sh -c 'trap : TERM; sleep 1002; sleep 1002' & (setsid sleep 1003 &); wait"
        shell = true
        shutdown = "300ms"
        """
    )
    t.wait("a")

    def there() -> bool:
        commands = [line for process in t.processes() for line in _command(process)]
        return all(any(f"sleep {n}" in line for line in commands) for n in (1001, 1002, 1003))

    eventually(there, "its grandchildren are there")
    assert t.ask("stop", names=["a"])["state"] == "done"
    assert not [line for process in t.processes() for line in _command(process) if "sleep 100" in line]


def _command(process: Any) -> list[str]:
    import psutil

    try:
        return [" ".join(process.cmdline())]
    except psutil.Error:
        return []


def test_a_second_signal_does_not_wait(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.stubborn]
        command = "sh -c 'trap : TERM; echo up; while :; do sleep 0.05; done'"
        shutdown = "1h"
        """
    )
    eventually(lambda: "up" in t.log("stubborn"), "the trap is set")
    keeper = t.keeper
    assert keeper is not None
    keeper.send_signal(signal.SIGTERM)
    t.wait("stubborn", state="stopping")

    def ended() -> bool:
        keeper.send_signal(signal.SIGTERM)  # the second: by itself; the third: KILL. Two at one time may count as one.
        return keeper.poll() is not None

    eventually(ended, "it ends")
    assert t.wait_end() == 1
    t.assert_nothing_left(0.5)


def test_tied_takes_what_the_strategy_ties(tree: MakeTree) -> None:
    t = tree(
        """
        [supervisors.s]
        strategy = "rest_for_one"
        children = ["a", "b", "c"]
        intensity = 0
        [workers.a]
        command = "sleep 1000"
        [workers.b]
        command = "sleep 1000"
        [workers.c]
        command = "sleep 1000"
        """
    )
    t.wait("a", "b", "c")
    before = t.pids()
    t.ask("restart", names=["b"])
    t.wait("a", "b", "c")
    plain = t.pids()
    assert {name for name in before if plain[name] != before[name]} == {"b"}
    t.ask("restart", names=["b"], tied=True)
    t.wait("a", "b", "c")
    tied = t.pids()
    assert {name for name in before if tied[name] != plain[name]} == {"b", "c"}
    assert {child["restarts"] for child in t.children().values()} == {0}  # an intensity of 0 would have ended it
    t.ask("stop", names=["b"], tied=True)
    assert {name: child["state"] for name, child in t.children().items() if name != "s"} == {
        "a": "running",
        "b": "stopped",
        "c": "stopped",
    }
