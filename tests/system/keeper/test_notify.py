"""sd_notify at the keeper: what it hears, what it ignores, and who is a worker's main process."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from supervisor_tree.system import means
from tests.support.notifying import program
from tests.system.keeper.conftest import TIMEOUT, Brain, MakeBrain, eventually, lives

BACKGROUND = Path(__file__).with_name("background.py")


def spawn(brain: Brain, name: str, text: str, **more: Any) -> int:
    """A worker that runs Python with `say`."""
    return brain.spawn(name, sys.executable, "-S", "-c", program(text), notify=True, **more)


def said(brain: Brain, name: str, line: str) -> dict[str, Any]:
    """The next message of a worker with this line in it."""
    while True:
        event = brain.event("notify", name=name)
        if line in event["text"].split("\n"):
            return event


def test_words(brain: Brain) -> None:
    pid = spawn(
        brain, "a", "say('READY=1\\nSTATUS=up\\nX_OWN=1\\nMAINPID=1'); say('MAINPID=%d' % os.getpid()); sleep()"
    )
    first = brain.event("notify", name="a", acknowledge=False)
    assert (first["text"], first["pid"]) == ("READY=1\nSTATUS=up", pid if means.name == "linux" else first["pid"])
    said(brain, "a", f"MAINPID={pid}")
    folder = brain.run_dir / f"u-{os.geteuid()}"
    assert len(list(folder.iterdir())) == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    brain.stop("a")
    brain.event("exited", name="a")
    assert list(folder.iterdir()) == []


def test_a_flood_is_thinned_out_and_its_last_words_count(brain: Brain) -> None:
    spawn(
        brain,
        "a",
        """
        for number in range(5000):
            say(f"STATUS={number}")
            say("WATCHDOG=1")
        say("RELOADING=1")
        say("WATCHDOG=trigger")
        for number in range(5000):
            say("READY=1")
        say("STATUS=last")
        sleep()
        """,
    )
    count = 0
    lines: list[str] = []
    while "STATUS=last" not in lines:
        lines += brain.event("notify", name="a")["text"].split("\n")
        count += 1
    assert count < 400
    assert "WATCHDOG=trigger" in lines
    assert lines.index("RELOADING=1") < len(lines) - lines[::-1].index("READY=1")


def test_garbage_is_said_once(brain: Brain) -> None:
    spawn(
        brain,
        "a",
        """
        for _ in range(100):
            say(b"x" * 5000)
            say(b"READY=1\\0STATUS=x")
            say(b"no words at all")
            say(b"\\xff\\xfe")
            say(b"MAINPID=-1\\nMAINPID=" + b"9" * 50)
            say(b"")
            say(b"=")
            say(b"READY=0\\nWATCHDOG=2\\nFDSTORE=1\\nERRNO=5")
        say(b"STATUS=a\\x1b[31mb\\xffc" + b"d" * 4000 + b"\\0")
        sleep()
        """,
    )
    text = brain.event("notify", name="a")["text"]
    assert text == "STATUS=a [31mb\N{REPLACEMENT CHARACTER}c" + "d" * (500 - 9)
    ignored = [each["what"] for each in brain.events if each["kind"] == "notify_ignored"]
    assert sorted(ignored) == [
        "MAINPID without a number",
        "a message of more than 4096 bytes",
        "a message that is none (KEY=VALUE lines)",
        "a message with a NUL byte in it",
    ]


def test_descriptors_that_are_sent_are_closed(brain: Brain) -> None:
    """BARRIER=1 of sd_notify_barrier waits until the other end of its pipe is closed; FDSTORE=1 keeps nothing."""
    spawn(
        brain,
        "a",
        """
        import struct
        def send(text, *fds):
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))]
            _told.sendmsg([text], rights, 0, os.environ["NOTIFY_SOCKET"])
        read, write = os.pipe()
        send(b"BARRIER=1", write)
        send(b"FDSTORE=1", *[write] * 20)
        os.close(write)
        os.read(read, 1)
        say("STATUS=through")
        sleep()
        """,
    )
    said(brain, "a", "STATUS=through")


def test_what_is_said_while_no_root_listens_is_told_to_the_next(brain: Brain) -> None:
    spawn(
        brain,
        "a",
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        open("waits", "w").write("for the signal\\n")
        signal.sigwait([signal.SIGUSR1])
        say("READY=1")
        for number in range(2000):
            say(f"STATUS={number}")
        open("said", "w").write("all\\n")
        sleep()
        """,
    )
    brain.await_file("waits")
    os.kill(brain.root.pid, signal.SIGKILL)
    brain.accept()
    hello = brain.hello("takeover")
    brain.seq = hello["commit"]
    # It has not said that it is able: until then nobody listens.
    os.kill(next(int(row[2]) for row in hello["table"] if row[0] == "a"), signal.SIGUSR1)
    brain.await_file("said")
    brain.able()
    lines: list[str] = []
    while "STATUS=1999" not in lines:
        lines += brain.event("notify", name="a")["text"].split("\n")
    assert "READY=1" in lines
    # All but the last words of each kind are dropped; some may still have lain in the socket when somebody listened.
    assert len(lines) < 100
    brain.sync()
    assert not [each for each in brain.events if each["kind"] == "notify"]


# --- MAINPID


def left(brain: Brain) -> list[str]:
    return [line for line in brain.left() if BACKGROUND.name in line]


@pytest.mark.parametrize("pid", ["1", "os.getppid()", "int(open('other').read())", "2 ** 22 + 1", "gone()"], ids=str)
def test_a_main_process_of_others_is_refused(brain: Brain, pid: str) -> None:
    other = brain.spawn("b", "/bin/sleep", "1000")
    (brain.folder / "other").write_text(str(other))
    leader = spawn(
        brain,
        "a",
        f"""
        def gone():
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
            return pid
        say(f"MAINPID={{{pid}}}")
        sleep()
        """,
    )
    assert "MAINPID=" in brain.event("notify_ignored", name="a")["what"]
    os.kill(leader, signal.SIGKILL)
    assert brain.event("exited", name="a")["signal"] == signal.SIGKILL
    assert lives(other)


def to_background(brain: Brain, how: str, **more: Any) -> tuple[int, int]:
    """Start `background.py`; pids of its leader, which has ended, and of its main process."""
    leader = brain.spawn("a", sys.executable, "-S", str(BACKGROUND), how, notify=True, **more)
    main = int(said(brain, "a", "READY=1")["text"].split("\n")[0].removeprefix("MAINPID="))
    assert main != leader
    (brain.folder / "go").touch()
    # Reaped, not only dead: then the keeper has seen that the main process lives, and that it is the worker now.
    eventually(lambda: means.process(leader) is None, "the leader's end was taken")
    brain.sync()
    assert lives(main)
    assert not [each for each in brain.events if each["kind"] == "exited"]
    return leader, main


@pytest.mark.linux
@pytest.mark.parametrize("how", ["session", "group"])
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGKILL])
def test_the_end_of_a_main_process_is_the_end_of_the_worker(brain: Brain, how: str, number: int) -> None:
    """Its leader's exit status 3 means nothing, its own does. What it leaves behind goes with it."""
    _, main = to_background(brain, how)
    os.kill(main, number)
    end = brain.event("exited", name="a")
    assert (end["code"], end["signal"]) == ((7, None) if number == signal.SIGUSR1 else (None, number))
    assert (end["asked"], end["killed"]) == (False, False)
    eventually(lambda: not left(brain), "nothing is left of it")


@pytest.mark.linux
@pytest.mark.parametrize("to", ["group", "leader"])
@pytest.mark.parametrize("how", ["session", "group"])
def test_a_stop_reaches_a_main_process_once(brain: Brain, how: str, to: str) -> None:
    """Once: many programs take a second TERM as “at once”."""
    # Its child gets no TERM where that goes to the leader, and lasts for the whole of the grace.
    to_background(brain, how, stop={"signal": "TERM", "to": to, "grace": 2, "command": None})
    brain.stop("a", grace=None)
    end = brain.event("exited", name="a")
    assert (end["code"], end["asked"]) == (0, True)
    assert brain.await_file("got") == "1\n"
    eventually(lambda: not left(brain), "nothing is left of it")


@pytest.mark.linux
@pytest.mark.parametrize("how", ["session", "group"])
def test_a_main_process_that_ignores_its_stop_is_killed(brain: Brain, how: str) -> None:
    _, main = to_background(brain, how)
    os.kill(main, signal.SIGSTOP)
    brain.commit({"op": "signal", "name": "a", "inc": 1, "signal": "STOP", "to": "leader"})
    brain.stop("a", grace=0)
    end = brain.event("exited", name="a")
    assert (end["signal"], end["killed"]) == (signal.SIGKILL, True)
    eventually(lambda: not left(brain), "nothing is left of it")


@pytest.mark.linux
def test_a_leader_that_stays_does_not_outlive_its_main_process(brain: Brain) -> None:
    """Its main process is nobody's child but ours: double-forked. The leader would stay for ever."""
    leader = brain.spawn("a", sys.executable, "-S", str(BACKGROUND), "session", notify=True)
    main = int(said(brain, "a", "READY=1")["text"].split("\n")[0].removeprefix("MAINPID="))
    os.kill(main, signal.SIGUSR1)
    assert brain.event("exited", name="a")["code"] == 7
    assert not lives(leader)


@pytest.mark.linux
def test_the_status_of_a_main_process_whose_parent_ends_after_it(brain: Brain) -> None:
    """It dies as the child of somebody who asks for no status, and comes to us a moment later."""
    brain.spawn("a", sys.executable, "-S", str(BACKGROUND), "session", "leave", notify=True)
    main = int(said(brain, "a", "READY=1")["text"].split("\n")[0].removeprefix("MAINPID="))
    os.kill(main, signal.SIGUSR1)
    eventually(lambda: psutil.Process(main).status() == psutil.STATUS_ZOMBIE, "it is dead")
    (brain.folder / "leave").touch()
    assert brain.event("exited", name="a")["code"] == 7


WAITED_FOR = """
    pid = os.fork()
    if pid == 0:
        signal.pause()
    say(f"MAINPID={pid}")
    os.waitpid(pid, 0)
"""


def test_the_status_of_a_leader_that_waited_counts(make: MakeBrain) -> None:
    """`prog & … wait $!`: the exit status of the main process goes to the leader, which ends with one for us."""
    brain = make(follow=TIMEOUT).start()  # on a loaded machine it is not done within the second that it has
    leader = spawn(brain, "a", WAITED_FOR + "    os._exit(5)\n")
    main = int(brain.event("notify", name="a")["text"].removeprefix("MAINPID="))
    assert main != leader
    os.kill(main, signal.SIGTERM)
    assert brain.event("exited", name="a")["code"] == 5


def test_a_leader_that_does_not_follow_is_killed(make: MakeBrain) -> None:
    brain = make(follow=0.2).start()
    leader = spawn(brain, "a", WAITED_FOR + "    sleep()\n")
    main = int(brain.event("notify", name="a")["text"].removeprefix("MAINPID="))
    os.kill(main, signal.SIGTERM)
    end = brain.event("exited", name="a")
    assert (end["code"], end["signal"], end["asked"]) == (None, None, False)
    eventually(lambda: not lives(leader), "the leader was killed")


def test_where_orphans_do_not_come_to_us_the_end_is_seen_and_the_status_is_not(brain: Brain) -> None:
    """On Linux it is; this is about the others."""
    _, main = to_background(brain, "session")
    os.kill(main, signal.SIGUSR1)
    assert brain.event("exited", name="a")["code"] == (7 if means.orphans_come_to_us else None)
    eventually(lambda: not left(brain), "nothing is left of it")


def test_it_may_name_another_and_its_leader_again(brain: Brain) -> None:
    leader = spawn(
        brain,
        "a",
        """
        pids = []
        for _ in range(2):
            pids.append(os.fork())
            if pids[-1] == 0:
                signal.pause()
            say(f"MAINPID={pids[-1]}")
        say(f"MAINPID={os.getpid()}")
        for pid in pids:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        say("STATUS=both are gone")
        sleep()
        """,
    )
    said(brain, "a", "STATUS=both are gone")
    brain.sync()
    assert lives(leader)
    brain.stop("a")
    assert brain.event("exited", name="a")["signal"] == signal.SIGTERM
