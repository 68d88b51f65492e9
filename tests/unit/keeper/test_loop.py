"""The loop: timers in order, signals told, mistakes survived."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from supervisor_tree.keeper.loop import WRITE, Loop, Timer


@pytest.fixture
def loop() -> Iterator[Loop]:
    before = signal.getsignal(signal.SIGUSR1)
    made = Loop()
    yield made
    signal.signal(signal.SIGUSR1, before)
    made.close()


def test_timers(loop: Loop) -> None:
    said: list[str] = []
    loop.later(0.02, lambda: said.append("second"))
    loop.later(0.01, lambda: said.append("first"))
    loop.later(0.015, lambda: said.append("never")).cancel()
    loop.later(0.03, lambda: loop.stop(7))
    assert loop.run() == 7
    assert said == ["first", "second"]


def test_cancelled_timers_are_let_go_of(loop: Loop) -> None:
    said: list[str] = []
    loop.later(0.02, lambda: said.append("kept"))
    for _ in range(10_000):
        loop.later(600, str).cancel()
    assert sum(isinstance(each, Timer) for each in gc.get_objects()) < 200
    loop.later(0.03, lambda: loop.stop(0))
    loop.run()
    assert said == ["kept"]


def test_a_late_loop_says_so_first(loop: Loop) -> None:
    late: list[float] = []
    loop.late_by = 1.0
    loop.on_late = late.append
    loop.at(0.0, lambda: loop.stop(0))
    loop.run()
    assert len(late) == 1
    assert late[0] > 1


def test_a_loop_that_was_stopped_in_the_midst_of_a_turn_says_so_first(loop: Loop) -> None:
    """What it does after that is due at once, and so not late by any clock but its own."""
    said: list[object] = []
    loop.late_by = 1.0  # much more than a busy machine keeps it waiting
    loop.on_late = lambda seconds: said.append(seconds > 1.0)

    def stopped() -> None:
        threading.Event().wait(1.2)
        loop.later(0, lambda: said.append("due"))
        loop.later(0, lambda: loop.stop(0))

    loop.later(0, stopped)
    loop.run()
    assert said == [True, "due"]


def test_what_has_come_is_heard_before_what_is_due(loop: Loop) -> None:
    """An answer and its deadline in the same turn: it is not too late."""
    read, write = os.pipe()
    said: list[str] = []
    deadline = loop.later(0, lambda: said.append("too late"))

    def answered(events: int) -> None:
        deadline.cancel()
        loop.stop(0)

    loop.watch(read, answered)
    os.write(write, b"x")
    loop.run()
    assert said == []
    loop.unwatch(read)
    os.close(read)
    os.close(write)


def test_signals(loop: Loop) -> None:
    heard: list[int] = []

    def on_signals(numbers: list[int]) -> None:
        heard.extend(numbers)
        loop.stop(0)

    loop.on_signals = on_signals
    loop.catch(signal.SIGUSR1)
    loop.later(20, lambda: loop.stop(1))
    os.kill(os.getpid(), signal.SIGUSR1)
    assert loop.run() == 0
    assert heard == [signal.SIGUSR1]


def test_descriptors(loop: Loop) -> None:
    read, write = os.pipe()
    said: list[bytes] = []

    def readable(events: int) -> None:
        said.append(os.read(read, 10))
        loop.unwatch(read)
        loop.stop(0)

    def writable(events: int) -> None:
        assert events & WRITE
        loop.unwatch(write)
        os.write(write, b"x")

    loop.watch(read, readable)
    loop.watch(write, writable, WRITE)
    loop.run()
    assert said == [b"x"]
    loop.unwatch(read)  # once more is nothing
    os.close(read)
    os.close(write)


def test_a_mistake_in_one_callback_is_said_and_survived(loop: Loop, capfd: pytest.CaptureFixture[str]) -> None:
    def mistake() -> None:
        raise LookupError("mine")

    loop.later(0, mistake)
    loop.later(0.01, lambda: loop.stop(3))
    assert loop.run() == 3
    assert "LookupError: mine" in capfd.readouterr().err


def test_the_same_mistake_for_ever_ends_it(loop: Loop, capfd: pytest.CaptureFixture[str]) -> None:
    read, write = os.pipe()
    os.write(write, b"x")

    def mistake(events: int) -> None:
        raise LookupError("mine")

    loop.watch(read, mistake)
    with pytest.raises(LookupError):
        loop.run()
    loop.unwatch(read)
    os.close(read)
    os.close(write)
