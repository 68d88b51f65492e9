"""A Python worker: what it is when its first line runs."""

from __future__ import annotations

import errno
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from supervisor_tree.system import means
from tests.system.keeper.conftest import MakeBrain, eventually, lives
from tests.system.keeper.zygote.conftest import HERE, Python


def test_defaults(make: MakeBrain) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 900), hard))
    try:
        brain = make(environ={"NOTIFY_SOCKET": "/nowhere", "KEEP": "1", "GO": "1"}).start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    python = Python(brain)
    pid = python.start("a", "tell", env={"MORE": "x", "GO": None})
    told = python.told()
    assert told["nofile"] == [min(soft, 900), hard]
    assert told["cwd"] == str(brain.folder)
    assert (told["session"], told["group"], told["threads"]) == (True, True, 1)
    assert told["blocked"].strip("0") == ""
    assert told["path"][:2] == [str(brain.folder), str(HERE)]
    assert told["argv"] == ["targets:tell"]
    env = told["env"]
    assert (env["MORE"], env["KEEP"], env["SUPERVISOR_TREE_NAME"]) == ("x", "1", "a")
    assert env["SUPERVISOR_TREE_ID"] == brain.id
    assert not {"GO", "KEPT", "NOTIFY_SOCKET", "SUPERVISOR_TREE_ROLE", "SUPERVISOR_TREE_ROOM"} & set(env)
    assert {fd: name.split(":")[0] for fd, name in descriptors(pid).items()} == {0: "/dev/null", 1: "pipe", 2: "pipe"}


def descriptors(pid: int) -> dict[int, str]:
    return {int(name): os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}


def test_nothing_is_left_open_in_keeper_and_zygote(python: Python) -> None:
    def counted() -> int:
        return sum(not name.startswith("/proc/") for name in descriptors(python.brain.keeper.pid).values())

    python.start("a")
    zygote = python.zygote()
    before = descriptors(zygote), counted()
    for number in range(20):
        name = f"b{number}"
        pid = python.start(name, args={"file": name})
        os.kill(pid, signal.SIGKILL)
        python.brain.event("exited", name=name)
    python.brain.commit(python.spec("no", "sleep", cwd="/no/such/place"))
    python.brain.event("spawn_failed", name="no")
    # What it passed on it closes after the fork, which may have told of itself by then: also when `before` was taken.
    eventually(lambda: descriptors(zygote).items() <= before[0].items(), "the zygote has closed what it passed on")
    # The logger gives back the pipes of those that have ended in its own time.
    eventually(lambda: counted() <= before[1], "the keeper has closed what it opened")


def test_settings(python: Python, tmp_path: Path) -> None:
    folder = tmp_path / "a place"
    folder.mkdir()
    python.start("a", "tell", cwd=str(folder), umask=0o027, nice=5, limits={"nofile": 100, "core": [0, 0]})
    told = python.told("a place/told" if python.brain.folder == tmp_path else str(folder / "told"))
    assert (told["cwd"], told["umask"], told["nice"]) == (str(folder), 0o027, 5)
    assert (told["nofile"], told["core"]) == ([100, 100], [0, 0])
    # The zygote itself is as it was.
    python.start("b", "tell")
    told = python.told()
    assert (told["cwd"], told["umask"], told["nice"]) == (str(python.brain.folder), os.umask(os.umask(0o022)), 0)


@pytest.mark.parametrize(
    ("more", "number", "said"),
    [
        ({"cwd": "/no/such/place"}, errno.ENOENT, "cwd /no/such/place: No such file"),
        ({"limits": {"no": 1}}, errno.EINVAL, "limits: this system knows no limit no"),
        ({"interpreter": "/no/such/python"}, errno.ENOENT, "/no/such/python: no such program"),
    ],
)
def test_failures(python: Python, more: dict[str, Any], number: int, said: str) -> None:
    python.brain.commit(python.spec("a", "sleep", **more))
    failed = python.brain.event("spawn_failed", name="a")
    assert said in failed["reason"]
    assert failed["errno"] == number
    assert [each["kind"] for each in python.brain.events if each["kind"] != "zygote"] == []
    python.start("b", key="another")


def test_output(python: Python) -> None:
    python.start("a", "speak")
    merged = python.spec("m", "speak")
    merged["log"]["merge"] = True
    python.brain.commit(merged)
    wanted = ["to standard error", "to standard output"]
    for name in ("a", "m"):
        eventually(lambda name=name: sorted(python.brain.log(name).splitlines()) == wanted, f"{name} has spoken")  # type: ignore[misc]


def test_a_restart_takes_new_code(python: Python) -> None:
    module = python.brain.folder / "mine.py"
    for number in range(3):
        module.write_text(
            f"from targets import _write, _wait\ndef f():\n    _write('code{number}', {number})\n    _wait()\n"
        )
        effect = python.spec("a", "-", inc=number + 1)
        effect["python"]["target"] = "mine:f"
        python.brain.commit(effect)
        assert python.told(f"code{number}") == number
        python.brain.stop("a", inc=number + 1)
        python.brain.event("exited", name="a")


def test_every_worker_throws_dice_of_its_own(python: Python) -> None:
    pytest.importorskip("numpy")
    thrown = []
    for number in range(3):
        python.start("a", "dice", preload=("numpy", "numpy.random", "random"), inc=number + 1)
        thrown += python.told("dice")
        (python.brain.folder / "dice").unlink()
        python.brain.stop("a", inc=number + 1)
        python.brain.event("exited", name="a")
    assert len(set(thrown)) == 6


def test_atexit_runs(python: Python) -> None:
    python.start("a", "tidy")
    assert python.told("tidied") is True
    assert python.brain.event("exited", name="a")["code"] == 0


def test_what_a_worker_started_ends_with_it(python: Python) -> None:
    pid = python.start("a", "family")
    members = python.told("family")
    (python.brain.folder / "family").unlink()
    os.kill(pid, signal.SIGKILL)
    python.brain.event("exited", name="a")
    python.start("a", "family", inc=2)
    assert not any(map(lives, members))  # who had left its session may be found a moment after the end is told
    members = python.told("family")
    python.brain.stop("a", inc=2)
    python.brain.event("exited", name="a", inc=2)
    assert not any(map(lives, members))


def test_the_environment_finds_the_tree(python: Python) -> None:
    """A fork shows what its zygote was executed with: the sweep finds it by that."""
    pid = python.start("a")
    assert pid in [each.pid for each in means.processes_of(python.brain.id)]


def test_it_is_called_by_its_name(python: Python) -> None:
    python.start("with-a-rather-long-name", args={"file": "other"})
    pid = python.start("a")
    zygote = python.zygote()
    assert means.command(pid) == "supervisor-tree: a targets:sleep"
    assert "boot.py" in means.command(zygote)
    seen = means.process(pid)
    assert seen is not None
    assert seen.name == "a" or means.name != "linux"
    variables = (means.environment(pid) or b"").split(b"\0")
    assert {b"SUPERVISOR_TREE_NAME=a", b"SUPERVISOR_TREE_INCARNATION=1"} <= set(variables)
    assert not [
        each for each in (means.environment(zygote) or b"").split(b"\0") if b"_NAME=" in each and b"TREE" in each
    ]


@pytest.mark.linux
def test_an_orphan_that_was_only_forked_is_known_by_that_name(python: Python) -> None:
    """It left group and session, its parent is dead, and it never executed anything."""
    python.start("a", "forks_away")
    far = int(python.told("far"))
    pid = python.start("b", args={"file": "b"})
    os.kill(pid, signal.SIGKILL)  # a burst of exits: now the keeper looks
    python.brain.event("exited", name="b")
    python.brain.stop("a")
    python.brain.event("exited", name="a")
    assert not lives(far)
    assert [each for each in python.brain.events if each["kind"] == "adopted"] == []
