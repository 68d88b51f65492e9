"""Signals to the keeper: they ask the root; and what happens when none answers."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import termios
import time

from tests.system.keeper.conftest import Brain, MakeBrain, eventually, lives


def test_asked(brain: Brain) -> None:
    for number, name in ((signal.SIGHUP, "HUP"), (signal.SIGUSR1, "USR1"), (signal.SIGTERM, "TERM")):
        brain.keeper.send_signal(number)
        brain.event("asked", signal=name)
    brain.spawn("a", "/bin/sleep", "1000")
    assert brain.exit(7) == 7


def order(brain: Brain, name: str) -> int:
    """Says when it is told to end."""
    return brain.shell(name, f"trap 'echo {name} >> order; exit' TERM; echo > up-{name}; while :; do sleep 0.02; done")


def start_three(brain: Brain) -> None:
    for name in ("a", "b", "c"):
        order(brain, name)
        brain.await_file(f"up-{name}")


def test_second_signal_stops_everything_in_reverse_order(brain: Brain) -> None:
    start_three(brain)
    brain.keeper.send_signal(signal.SIGINT)
    brain.event("asked", acknowledge=False)
    brain.keeper.send_signal(signal.SIGINT)
    assert brain.ended() == 1
    assert (brain.folder / "order").read_text() == "c\nb\na\n"
    assert brain.left() == []


def test_unanswered(make: MakeBrain) -> None:
    brain = make(asked=0.3, answer=100.0).start()
    start_three(brain)
    brain.keeper.send_signal(signal.SIGTERM)
    assert brain.ended() == 1
    assert (brain.folder / "order").read_text() == "c\nb\na\n"


def test_answered_in_time(make: MakeBrain) -> None:
    brain = make(asked=1.0).start()
    brain.spawn("a", "/bin/sleep", "1000")
    brain.keeper.send_signal(signal.SIGTERM)
    brain.event("asked")
    assert brain.root.quiet(1.5) == []
    assert brain.keeper.poll() is None


def test_third_signal_kills(brain: Brain) -> None:
    brain.shell(
        "a",
        "trap '' TERM; echo > up; while :; do sleep 0.05; done",
        stop={"signal": "TERM", "to": "group", "grace": None},
    )
    brain.await_file("up")
    brain.keeper.send_signal(signal.SIGTERM)
    brain.event("asked", acknowledge=False)  # two signals at once are one
    brain.keeper.send_signal(signal.SIGTERM)
    eventually(lambda: not lives(brain.root.pid), "the root is gone")
    assert brain.keeper.poll() is None
    brain.keeper.send_signal(signal.SIGTERM)
    assert brain.ended() == 1


def test_signal_before_anything_was_started(make: MakeBrain) -> None:
    brain = make().start(prepare=False)
    brain.keeper.send_signal(signal.SIGTERM)
    assert brain.ended() == 143
    eventually(lambda: not lives(brain.root.pid), "the root is gone")


def test_interrupt_at_a_terminal_reaches_only_the_keeper(make: MakeBrain) -> None:
    """Root, logger and workers are in sessions of their own."""
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    brain = make().start(session=True, pass_fds=(theirs,), preexec_fn=take_terminal)
    pid = brain.spawn("a", "/bin/sleep", "1000")
    os.write(ours, b"\x03")
    brain.event("asked", signal="INT")
    assert lives(pid)
    assert lives(brain.root.pid)
    assert brain.exit() == 0
    os.close(ours)
    os.close(theirs)


def test_a_keeper_that_slept_blames_nobody(make: MakeBrain) -> None:
    brain = make(ping=0.2, answer=1.0, late=0.2).start()
    old = brain.root.pid
    brain.frame("ping")
    brain.keeper.send_signal(signal.SIGSTOP)
    time.sleep(2)  # noqa: TID251 - time passes
    brain.keeper.send_signal(signal.SIGCONT)
    for _ in range(3):
        brain.frame("ping")
    assert brain.root.pid == old
    assert lives(old)
