"""Spawn, exit, stop: the life of a worker as the keeper sees it."""

from __future__ import annotations

import os
import signal
import sys
import time

import psutil
import pytest

from tests.system.keeper.conftest import TIMEOUT, Brain, MakeBrain, eventually, lives


def test_spawn_exit_and_end(brain: Brain) -> None:
    pid = brain.spawn("a", "/bin/sleep", "1000")
    assert lives(pid)
    os.kill(pid, signal.SIGKILL)
    ended = brain.event("exited", name="a")
    assert (ended["signal"], ended["code"], ended["asked"], ended["killed"], ended["pid"]) == (
        9,
        None,
        False,
        False,
        pid,
    )
    assert ended["oom"] is not True
    brain.shell("b", "exit 7")
    assert brain.event("exited", name="b")["code"] == 7
    assert brain.exit(5) == 5
    assert brain.left() == []


def test_stop_with_term(brain: Brain) -> None:
    brain.spawn("a", "/bin/sleep", "1000")
    brain.stop("a")
    ended = brain.event("exited", name="a")
    assert (ended["signal"], ended["asked"], ended["killed"]) == (signal.SIGTERM, True, False)


def test_one_that_ignores_term_is_killed_after_its_grace(brain: Brain) -> None:
    brain.shell("a", "trap '' TERM; echo up > up; while :; do sleep 1; done")
    brain.await_file("up")
    began = time.monotonic()
    brain.stop("a", grace=0.3)
    ended = brain.event("exited", name="a")
    assert 0.25 < time.monotonic() - began < 5
    assert (ended["signal"], ended["asked"], ended["killed"]) == (9, True, True)


def test_hurry(brain: Brain) -> None:
    brain.shell("a", "trap '' TERM; echo up > up; while :; do sleep 1; done")
    brain.await_file("up")
    brain.stop("a", grace=None)
    assert brain.root.quiet(0.2) == []
    brain.stop("a", grace=0)
    assert brain.event("exited", name="a")["killed"] is True


def test_the_group_is_killed_with_a_crashed_leader(brain: Brain) -> None:
    leader = brain.shell("a", "sleep 1000 & echo $! > child; wait")
    child = int(brain.await_file("child"))
    os.kill(leader, signal.SIGKILL)
    brain.event("exited", name="a")
    assert not lives(child)


def test_grandchild_in_a_session_of_its_own(brain: Brain) -> None:
    leader = brain.shell("a", "setsid sh -c 'echo $$ > far; exec sleep 1000' & wait")
    far = int(brain.await_file("far"))
    assert os.getsid(far) == far
    os.kill(leader, signal.SIGKILL)
    brain.event("exited", name="a")
    brain.spawn("a", "/bin/sleep", "1000", inc=2)
    assert not lives(far)


def daemon(ignore: bool = False) -> str:
    """A double fork into a session of its own, by shell."""
    inner = 'trap "" TERM; ' if ignore else ""
    return f"setsid sh -c '({inner}sh -c \"echo \\$\\$ > far; exec sleep 1000\" &) ; exit' ; sleep 1000"


def test_double_forked_daemon_ends_with_a_stop(brain: Brain) -> None:
    brain.shell("a", daemon())
    far = int(brain.await_file("far"))
    brain.stop("a", grace=2 * TIMEOUT)
    assert brain.event("exited", name="a")["killed"] is False
    assert not lives(far)


def test_double_forked_daemon_that_ignores_term(brain: Brain) -> None:
    brain.shell("a", daemon(ignore=True))
    far = int(brain.await_file("far"))
    brain.stop("a", grace=0.4)
    brain.event("exited", name="a")
    assert not lives(far)
    assert [each for each in brain.events if each["kind"] == "adopted"] == []


def test_double_forked_daemon_ends_with_a_crash(brain: Brain) -> None:
    leader = brain.shell("a", daemon(ignore=True))
    far = int(brain.await_file("far"))
    os.kill(leader, signal.SIGKILL)
    brain.event("exited", name="a")
    brain.spawn("a", "/bin/sleep", "1000", inc=2)
    assert not lives(far)


def test_a_chain_of_daemons_is_gone_before_the_next_start(brain: Brain) -> None:
    """Each in a session of its own, each found only when the one before has been killed."""
    (brain.folder / "chain").write_text(
        "import os, sys, time\n"
        "depth = int(sys.argv[1])\n"
        "open(f'far{depth}.new', 'w').write(f'{os.getpid()}\\n'); os.rename(f'far{depth}.new', f'far{depth}')\n"
        "if depth and os.fork() == 0:\n"
        "    os.setsid(); os.execv(sys.executable, [sys.executable, '-S', 'chain', str(depth - 1)])\n"
        "time.sleep(1000)\n"
    )
    leader = brain.spawn("a", sys.executable, "-S", "chain", "5")
    chained = [int(brain.await_file(f"far{n}")) for n in range(6)]
    os.kill(leader, signal.SIGKILL)
    brain.event("exited", name="a")
    brain.spawn("a", "/bin/sleep", "1000", inc=2)
    assert not any(map(lives, chained))
    assert [each for each in brain.events if each["kind"] == "adopted"] == []


def test_a_stop_pre_empts_a_start_that_waits_for_what_lingers(brain: Brain) -> None:
    leader = brain.shell("a", daemon(ignore=True))
    brain.await_file("far")
    os.kill(leader, signal.SIGKILL)
    brain.event("exited", name="a", acknowledge=False)
    brain.commit(brain.spec("a", "/bin/sleep", "1000", inc=2), {"op": "stop", "name": "a", "inc": 2, "grace": 5})
    while not [each for each in brain.events if each["kind"] in ("spawn_failed", "exited") and each["inc"] == 2]:
        brain.frame("event")
    brain.commit()


def test_a_grandchild_without_environment_is_known_by_its_lineage(brain: Brain) -> None:
    brain.shell("a", "env -i setsid /bin/sh -c 'echo $$ > far; exec /bin/sleep 1000' & wait")
    far = int(brain.await_file("far"))
    brain.stop("a")
    brain.event("exited", name="a")
    assert not lives(far)


def test_stop_to_leader_leaves_the_others_their_time(brain: Brain) -> None:
    brain.shell(
        "a",
        "sh -c 'trap \"echo term > got\" TERM; echo $$ > child; while :; do sleep 0.05; done' & trap 'exit 3' TERM; "
        "echo > up; while :; do sleep 0.05; done",
        stop={"signal": "TERM", "to": "leader", "grace": 5, "command": None},
    )
    brain.await_file("up")
    child = int(brain.await_file("child"))
    brain.stop("a", grace=1.5)
    left = brain.event("leftover", name="a")
    assert left["leader"]["code"] == 3
    assert child in [each["pid"] for each in left["pids"]]
    ended = brain.event("exited", name="a")
    assert ended["code"] == 3
    assert not lives(child)
    assert not (brain.folder / "got").exists()


def test_stop_command(brain: Brain) -> None:
    brain.shell(
        "a",
        "trap 'exit 4' USR1; trap '' TERM; echo $$ > up; while :; do sleep 0.05; done",
        stop={
            "signal": "TERM",
            "to": "group",
            "grace": 5,
            "command": {
                "argv": ["/bin/sh", "-c", "echo stopping; kill -USR1 $(cat up)"],
                "cwd": str(brain.folder),
                "env": None,
            },
        },
    )
    brain.await_file("up")
    brain.stop("a")
    assert brain.event("exited", name="a")["code"] == 4
    eventually(lambda: "stopping" in brain.log("a"), "its output is in the log")


def test_a_stop_command_that_fails_falls_back_to_the_signal(brain: Brain) -> None:
    brain.spawn(
        "a",
        "/bin/sleep",
        "1000",
        stop={"signal": "TERM", "to": "group", "grace": 5, "command": {"argv": ["false"], "cwd": None, "env": None}},
    )
    brain.stop("a")
    assert brain.event("exited", name="a")["signal"] == signal.SIGTERM
    assert brain.event("stop_command_failed", name="a")


def test_sweep_false_leaves_daemons(brain: Brain) -> None:
    leader = brain.shell("a", "setsid sh -c 'echo $$ > far; exec sleep 1000' & wait", sweep=False)
    far = int(brain.await_file("far"))
    os.kill(leader, signal.SIGKILL)
    brain.event("exited", name="a")
    assert lives(far)
    assert brain.exit() == 0
    assert lives(far)
    os.kill(far, signal.SIGKILL)


def test_a_stopped_group_hears_its_stop_signal(brain: Brain) -> None:
    pid = brain.spawn("a", "/bin/sleep", "1000")
    os.kill(pid, signal.SIGSTOP)
    brain.stop("a", grace=2 * TIMEOUT)
    assert brain.event("exited", name="a")["signal"] == signal.SIGTERM


def test_signal_effect(brain: Brain) -> None:
    brain.shell("a", "trap 'echo usr1 > got' USR1; echo > up; while :; do sleep 0.05; done")
    brain.await_file("up")
    brain.commit({"op": "signal", "name": "a", "inc": 1, "signal": "USR1", "to": "leader"})
    assert brain.await_file("got") == "usr1\n"


def test_a_repeated_spawn_is_ignored(brain: Brain) -> None:
    spec = brain.spec("a", "/bin/sleep", "1000")
    brain.commit(spec, spec)
    pid = brain.event("spawned", name="a")["pid"]
    os.kill(pid, signal.SIGKILL)
    brain.event("exited", name="a", acknowledge=False)
    brain.commit(spec, ack=0)
    brain.sync()
    assert [each for each in brain.events if each["kind"] != "exited"] == []


@pytest.mark.linux
def test_unattributed_is_journaled_once_and_stopped_last(brain: Brain) -> None:
    """A daemon that nothing ties to its worker: no session, no environment, no lineage."""
    brain.shell(
        "a", "env -i setsid /bin/sh -c '(/bin/sh -c \"echo \\$\\$ > far; exec /bin/sleep 1000\" &)'; sleep 1000"
    )
    far = int(brain.await_file("far"))
    eventually(lambda: psutil.Process(far).ppid() == brain.keeper.pid, "its parent has gone")
    pid = brain.spawn("b", "/bin/sleep", "1000")
    os.kill(pid, signal.SIGKILL)
    adopted = brain.event("adopted", pid=far)
    assert "sleep" in adopted["command"]
    brain.stop("a")
    brain.event("exited", name="a")
    assert lives(far)
    brain.exit()
    assert not lives(far)
    assert [each for each in brain.events if each["kind"] == "adopted"] == []


def test_many_exits_are_reported(make: MakeBrain) -> None:
    brain = make(answer=2 * TIMEOUT).start()  # what is not acknowledged for long is no sign of a blocked root here
    count = 200
    brain.commit(*[brain.spec(f"w{n}", "/bin/sleep", "1000") for n in range(count)])
    pids = [brain.event("spawned", name=f"w{n}", acknowledge=False)["pid"] for n in range(count)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for n in range(count):
        assert brain.event("exited", name=f"w{n}", acknowledge=False)["signal"] == 9
    brain.commit()
