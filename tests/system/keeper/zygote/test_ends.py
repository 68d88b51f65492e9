"""How Python workers end, and that it is told truly, whatever becomes of their zygote."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.system.keeper.conftest import TIMEOUT, MakeBrain, eventually, lives
from tests.system.keeper.zygote.conftest import Python

ENDS = [(0, 0, None), ("return", 0, None), (7, 7, None), ("exception", 1, None), ("TERM", None, 15), ("KILL", None, 9)]


@pytest.mark.parametrize(("how", "code", "number"), ENDS)
def test_true_statuses(python: Python, how: Any, code: int | None, number: int | None) -> None:
    python.start("a", "end", {"how": how})
    ended = python.brain.event("exited", name="a")
    assert (ended["code"], ended["signal"], ended["asked"], ended["killed"]) == (code, number, False, False)
    assert ended["cpu"] >= 0
    assert ended["maxrss"] > 1_000_000


@pytest.mark.linux
@pytest.mark.parametrize(("how", "code", "number"), ENDS)
def test_true_statuses_without_the_zygote(python: Python, how: Any, code: int | None, number: int | None) -> None:
    pid = python.start("a", "end", {"how": how, "at_once": False})
    python.told("waits")
    zygote = python.zygote()
    os.kill(zygote, signal.SIGKILL)
    lost = python.brain.event("zygote", what="lost")
    assert (lost["pid"], lost["why"]) == (zygote, "killed")
    assert python.zygote() != zygote
    os.kill(pid, signal.SIGUSR1)
    ended = python.brain.event("exited", name="a")
    assert (ended["code"], ended["signal"], ended["asked"]) == (code, number, False)
    assert ended["maxrss"] > 1_000_000


@pytest.mark.linux
def test_zygote_and_workers_killed_at_once(python: Python) -> None:
    """Who dies first, and what the zygote had told or reaped of it: any order, always the true status, once."""
    for inc in range(1, 11):
        names = [f"w{number}" for number in range(6)]
        python.brain.commit(*[python.spec(name, "sleep", {"file": name}, inc=inc) for name in names])
        pids = [python.brain.event("spawned", name=name, inc=inc, acknowledge=False)["pid"] for name in names]
        zygote = python.zygote()
        for pid in (*pids[:3], zygote, *pids[3:]):
            os.kill(pid, signal.SIGKILL)
        for name in names:
            ended = python.brain.event("exited", name=name, inc=inc)
            assert (ended["signal"], ended["code"]) == (signal.SIGKILL, None)
        python.brain.event("zygote", what="lost", pid=zygote)
    assert [each for each in python.brain.events if each["kind"] in ("adopted", "exited")] == []


def test_many_at_once(make: MakeBrain) -> None:
    python = Python(make(answer=4 * TIMEOUT).start())  # what is not acknowledged for long is no sign of a blocked root
    count = 100
    names = [f"w{number}" for number in range(count)]
    python.brain.commit(*[python.spec(name, "sleep", {"file": name}) for name in names])
    pids = [python.brain.event("spawned", name=name, acknowledge=False)["pid"] for name in names]
    assert len(set(pids)) == count
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for name in names:
        assert python.brain.event("exited", name=name, acknowledge=False)["signal"] == 9
    python.brain.commit()
    assert "mistake" not in python.brain.output()


def test_stop(python: Python) -> None:
    python.start("a")
    python.told("up")
    python.brain.stop("a")
    ended = python.brain.event("exited", name="a")
    assert (ended["signal"], ended["asked"], ended["killed"]) == (signal.SIGTERM, True, False)


def test_stop_before_go_is_a_kill(python: Python) -> None:
    """Wherever the start is: asked for, with a zygote that imports, in the fork. No user code runs."""
    for inc in range(1, 30):
        python.brain.commit(
            python.spec("a", "sleep", {"file": f"up{inc}"}, inc=inc),
            {"op": "stop", "name": "a", "inc": inc, "grace": 5},
        )
        failed = python.brain.event("spawn_failed", name="a", inc=inc)
        assert failed["reason"] == "stopped before it was started"
        if inc == 1:
            python.zygote()
    assert not list(python.brain.folder.glob("up*"))
    python.start("a", inc=100)
    python.told("up")


def test_the_tree_ends(python: Python) -> None:
    pids = [python.start("a"), python.start("b", preload=("json",)), python.zygote(), python.zygote("z-json")]
    assert python.brain.exit(3) == 3
    assert not any(map(lives, pids))


@pytest.mark.parametrize("with_it", ["nobody", "zygote", "zygote stopped"])
def test_the_keeper_dies(python: Python, with_it: str) -> None:
    pids = [python.start(f"w{number}", args={"file": f"up{number}"}) for number in range(5)]
    pids.append(python.zygote())
    python.start("f", "family")
    pids += python.told("family")
    python.brain.commit(*[python.spec(f"x{number}", "sleep") for number in range(20)])  # in the midst of forking
    if with_it != "nobody":
        os.kill(pids[5], signal.SIGSTOP if "stopped" in with_it else signal.SIGKILL)
    python.brain.keeper.kill()
    eventually(lambda: not any(map(lives, pids)), "everything is dead", 4)
    eventually(lambda: not python.brain.left(), "forks that were being made, too", 4)


def test_a_new_root_takes_over(python: Python) -> None:
    pid = python.start("a", "end", {"how": 5, "at_once": False})
    python.told("waits")
    python.brain.commit(python.spec("b", "sleep"))
    os.kill(python.brain.root.pid, signal.SIGKILL)
    hello = python.brain.take_over()
    assert [row[0] for row in hello["table"]][:1] == ["a"]
    os.kill(pid, signal.SIGUSR1)
    assert python.brain.event("exited", name="a")["code"] == 5


def test_out_of_descriptors(make: MakeBrain) -> None:
    def few() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))

    python = Python(make(answer=4 * TIMEOUT).start(preexec_fn=few))
    names = [f"w{number}" for number in range(40)]
    python.brain.commit(*[python.spec(name, "sleep", {"file": name}) for name in names])
    ends: dict[str, str] = {}
    while len(ends) < len(names):
        python.brain.frame("event")
        ends = {each["name"]: each["kind"] for each in python.brain.events if "name" in each}
    assert list(ends.values()).count("spawned") >= 5
    failed = [each for each in python.brain.events if each["kind"] == "spawn_failed"]
    assert failed
    assert all("out of file descriptors" in each["reason"] for each in failed)
    assert python.brain.exit() == 0
