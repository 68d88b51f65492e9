"""A cgroup for each worker, where one is delegated: nothing leaves it, and nothing is over while anything is in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_tree.system import means
from tests.support.cgroups import Delegated, delegated, pids, where
from tests.system.keeper.conftest import KILL, TIMEOUT, Brain, MakeBrain, eventually, lives

pytestmark = pytest.mark.linux

HIDDEN = "env -i setsid /bin/sh -c '(/bin/sh -c \"trap : TERM; echo \\$\\$ > far; /bin/sleep 999; /bin/sleep 999\" &)'"
"""A daemon that left session and parent, wiped its environment, and ends by no TERM."""


@pytest.fixture
def own() -> Iterator[Delegated]:
    with delegated() as made:
        yield made


@pytest.fixture
def boxed(make: MakeBrain, own: Delegated) -> Brain:
    """A keeper in a cgroup that is delegated to it."""
    return make().start(wrap=own.wrap)


@pytest.fixture
def outsider() -> Iterator[subprocess.Popen[bytes]]:
    """Nobody's child but ours."""
    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        yield process
        process.kill()


def join(folder: Path, process: subprocess.Popen[bytes]) -> None:
    (folder / "cgroup.procs").write_text(str(process.pid))


def test_each_worker_has_a_folder_for_as_long_as_it_lives(boxed: Brain, own: Delegated) -> None:
    assert boxed.event("cgroups")["folder"] == str(own.tree())
    assert {boxed.keeper.pid, boxed.root.pid} < set(pids(own.tree() / "tree"))
    assert pids(own.path) == []
    one = boxed.spawn("one", "/bin/sleep", "1000")
    two = boxed.spawn("two@8001", "/bin/sleep", "1000")
    assert own.workers() == {"worker.one": [one], "worker.two@8001": [two]}
    boxed.stop("one")
    boxed.event("exited", name="one")
    assert own.workers() == {"worker.two@8001": [two]}
    os.kill(two, KILL)
    boxed.event("exited", name="two@8001")
    assert own.workers() == {}
    assert boxed.exit() == 0
    assert own.trees() == []


def test_who_forks_at_once_is_there_too(boxed: Brain) -> None:
    boxed.shell("a", "cat /proc/self/cgroup > first & wait; cp first told; sleep 1000")
    assert boxed.await_file("told").strip().endswith("/worker.a")


@pytest.mark.root
def test_another_user_s_worker_is_there_too(boxed: Brain, own: Delegated) -> None:
    pid = boxed.spawn("a", "/bin/sleep", "1000", user="nobody")
    assert own.workers() == {"worker.a": [pid]}


def test_a_start_that_fails_leaves_no_folder(boxed: Brain, own: Delegated) -> None:
    boxed.commit(boxed.spec("a", "/no/such/program"))
    boxed.event("spawn_failed", name="a")
    assert own.workers() == {}
    assert where(boxed.keeper.pid) == "tree"


@pytest.mark.parametrize("how", ["crash", "stop", "brutal"])
def test_a_daemon_that_hides_dies_with_its_worker(boxed: Brain, own: Delegated, how: str) -> None:
    leader = boxed.shell("a", f"{HIDDEN}; sleep 1000")
    far = int(boxed.await_file("far"))
    assert b"SUPERVISOR_TREE" not in (means.environment(far) or b"")
    assert far in own.workers()["worker.a"]
    if how == "crash":
        os.kill(leader, KILL)
    else:
        boxed.stop("a", grace=0.4 if how == "stop" else 0)
    boxed.event("exited", name="a")
    assert not lives(far)
    assert own.workers() == {}
    assert [each for each in boxed.events if each["kind"] == "adopted"] == []


def test_a_stop_is_done_when_the_folder_is_empty(
    boxed: Brain, own: Delegated, outsider: subprocess.Popen[bytes]
) -> None:
    """Also of what no signal of ours reaches, and whose end nobody tells us of."""
    boxed.spawn("a", "/bin/sleep", "1000")
    join(own.tree() / "worker.a", outsider)
    boxed.stop("a", grace=None)
    left = boxed.event("leftover", name="a")
    assert [each["pid"] for each in left["pids"]] == [outsider.pid]
    assert not [each for each in boxed.root.quiet(0.3) if each["kind"] == "exited"]
    outsider.send_signal(KILL)
    before = time.monotonic()
    boxed.event("exited", name="a")
    assert time.monotonic() - before < 0.4  # told by an event: looks come every half second by now
    assert own.workers() == {}


@pytest.mark.parametrize("how", ["crash", "end of the grace"])
def test_all_in_the_folder_are_killed(
    boxed: Brain, own: Delegated, outsider: subprocess.Popen[bytes], how: str
) -> None:
    leader = boxed.spawn("a", "/bin/sleep", "1000")
    join(own.tree() / "worker.a", outsider)
    if how == "crash":
        os.kill(leader, KILL)
    else:
        boxed.stop("a", grace=0.3)
    boxed.event("exited", name="a")
    assert outsider.wait(TIMEOUT) == -KILL


def test_a_stop_command_runs_in_the_folder_of_its_worker(boxed: Brain) -> None:
    command = {"argv": ["/bin/sh", "-c", "cp /proc/self/cgroup told; kill $(cat up)"], "cwd": str(boxed.folder)}
    stop = {"signal": "TERM", "to": "group", "grace": 5, "command": {**command, "env": None}}
    boxed.shell("a", "echo $$ > up; exec sleep 1000", stop=stop)
    boxed.await_file("up")
    boxed.stop("a")
    boxed.event("exited", name="a")
    assert (boxed.folder / "told").read_text().strip().endswith("/worker.a")


def test_what_is_left_on_purpose_keeps_its_folder(boxed: Brain, own: Delegated) -> None:
    leader = boxed.shell("a", f"{HIDDEN}; sleep 1000", sweep=False)
    far = int(boxed.await_file("far"))
    os.kill(leader, KILL)
    boxed.event("exited", name="a")
    again = boxed.spawn("a", "/bin/sleep", "1000", inc=2)
    workers = own.workers()
    assert workers["worker.a~2"] == [again]
    assert far in workers["worker.a"]
    (own.tree() / "worker.a" / "cgroup.kill").write_text("1")
    eventually(lambda: not pids(own.tree() / "worker.a"), "they are dead")
    boxed.spawn("b", "/bin/sleep", "1000")
    assert set(own.workers()) == {"worker.a~2", "worker.b"}


def test_where_no_folder_can_be_made_the_worker_runs_without(make: MakeBrain, own: Delegated) -> None:
    (own.path / "cgroup.max.descendants").write_text("3")
    boxed = make().start(wrap=own.wrap)
    for name in ("a", "b", "c"):
        boxed.spawn(name, "/bin/sleep", "1000")
    assert list(own.workers()) == ["worker.a"]
    refused = boxed.event("no_cgroup")
    assert refused["name"] == "b"
    assert "temporarily unavailable" in refused["reason"]
    assert [each for each in boxed.events if each["kind"] == "no_cgroup"] == []
    for name in ("a", "b", "c"):
        boxed.stop(name)
        boxed.event("exited", name=name)


def test_folders_of_the_worker_s_own_go_with_it(boxed: Brain, own: Delegated) -> None:
    boxed.spawn("a", "/bin/sleep", "1000")
    inner = own.tree() / "worker.a" / "its" / "own"
    inner.mkdir(parents=True)
    with subprocess.Popen(["/bin/sleep", "1000"]) as deep:
        join(inner, deep)
        boxed.stop("a", grace=0.2)
        boxed.event("exited", name="a")
        assert deep.wait(TIMEOUT) == -KILL
    assert own.workers() == {}


def test_where_the_tree_gets_none_it_says_so_and_runs(make: MakeBrain, own: Delegated) -> None:
    (own.path / "cgroup.max.descendants").write_text("1")
    boxed = make().start(wrap=own.wrap)
    assert "temporarily unavailable" in boxed.event("no_cgroup")["reason"]
    boxed.spawn("a", "/bin/sleep", "1000")
    assert own.trees() == []


def test_where_nothing_is_delegated_no_folder_is_made(make: MakeBrain, own: Delegated) -> None:
    os.removexattr(own.path, "user.delegate")
    brain = make().start(wrap=own.wrap)
    pid = brain.spawn("a", "/bin/sleep", "1000")
    assert where(pid) == where(brain.keeper.pid) == own.path.name
    assert own.trees() == []
    assert brain.exit() == 0
    assert [each for each in brain.events if "cgroup" in each["kind"]] == []


def test_two_trees_in_one_cgroup(make: MakeBrain, own: Delegated, outsider: subprocess.Popen[bytes]) -> None:
    """With a third program, as the shell that they were started from: so none of its controllers can be divided."""
    join(own.path, outsider)
    boxed, other = make().start(wrap=own.wrap), make(folder="o").start(wrap=own.wrap)
    for each in (boxed, other):
        each.spawn("a", "/bin/sleep", "1000")
    assert len(own.trees()) == 2
    assert boxed.exit() == 0
    assert len(own.trees()) == 1
    assert lives(pids(own.tree() / "worker.a")[0])
    assert other.exit() == 0
    assert own.trees() == []


# --- the keeper's death


def hidden_daemon(boxed: Brain) -> int:
    boxed.shell("a", f"{HIDDEN}; sleep 1000")
    return int(boxed.await_file("far"))


def kill_family(boxed: Brain, own: Delegated) -> None:
    """Keeper, root and logger: the keeper last, for whose death the others would do something, and so that it can
    replace none of them."""
    boxed.keeper.send_signal(signal.SIGSTOP)
    for pid in sorted(pids(own.tree() / "tree"), key=lambda pid: pid == boxed.keeper.pid):
        os.kill(pid, KILL)


def test_a_killed_keeper_leaves_nothing_not_even_what_hides(boxed: Brain, own: Delegated) -> None:
    far = hidden_daemon(boxed)
    boxed.keeper.kill()
    began = time.monotonic()
    eventually(lambda: not lives(far), "the daemon is dead", 4)
    assert time.monotonic() - began < 2
    eventually(lambda: not boxed.left(), "root and logger too")
    assert own.workers() == {}
    first = own.tree()
    boxed.keeper.wait()
    boxed.start(wrap=own.wrap)
    assert own.tree() != first
    boxed.spawn("a", "/bin/sleep", "1000")
    assert boxed.exit() == 0
    assert own.trees() == []


def test_when_all_three_were_killed_the_next_start_kills_what_hides(boxed: Brain, own: Delegated) -> None:
    far = hidden_daemon(boxed)
    kill_family(boxed, own)
    boxed.keeper.wait()
    assert lives(far)
    boxed.start(prepare=False)  # from another cgroup, which is not delegated
    swept = {each["pid"]: each for each in boxed.prepare()["swept"]}
    assert swept[far]["name"] == "a"
    assert not lives(far)
    assert own.trees() == []


def test_a_folder_that_is_another_s_by_now_is_left_alone(
    boxed: Brain, own: Delegated, outsider: subprocess.Popen[bytes]
) -> None:
    """Of the same name, made anew: as after the service manager has cleaned up and somebody was quicker."""
    top = own.tree()
    kill_family(boxed, own)
    boxed.keeper.wait()
    eventually(lambda: not pids(top / "tree"), "they are dead")
    (top / "tree").rmdir()
    top.rmdir()
    (top / "worker.x").mkdir(parents=True)
    join(top / "worker.x", outsider)
    boxed.start()
    assert outsider.poll() is None


# --- attribution


def test_an_adopted_process_is_its_worker_s_by_its_folder(boxed: Brain) -> None:
    """Though its environment names another."""
    script = (
        "import os\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
        "    env = {**os.environ, 'SUPERVISOR_TREE_NAME': 'b'}\n"
        "    os.execve('/bin/sh', ['sh', '-c', 'echo $$ > far; exec sleep 1000'], env)\n"
        "os.wait()\n"
        "os.execv('/bin/sleep', ['sleep', '1000'])\n"
    )
    boxed.spawn("a", sys.executable, "-S", "-c", script)
    boxed.spawn("b", "/bin/sleep", "1000")
    far = int(boxed.await_file("far"))
    boxed.stop("b")
    boxed.event("exited", name="b")
    assert lives(far)
    boxed.stop("a")
    boxed.event("exited", name="a")
    assert not lives(far)
