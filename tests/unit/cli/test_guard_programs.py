"""Signals that come while `guard` begins a program."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from supervisor_tree.cli.guard_programs import Interrupted, Programs, kill


@pytest.fixture
def programs() -> Iterator[Programs]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    made = Programs()
    made.listen()
    yield made
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_who_asks_while_a_program_is_begun_is_heard_when_it_is_known(programs: Programs) -> None:
    child = programs.make(["sleep", "1000"])
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted) as asked:
            programs.made()
        assert asked.value.number == signal.SIGTERM
    finally:
        kill(child, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def test_who_asks_while_one_can_not_be_begun_is_heard(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise OSError("no such program")

    monkeypatch.setattr("subprocess.Popen", refused)
    with pytest.raises(Interrupted):
        programs.make(["x"])


def test_a_second_signal_does_not_cut_off_the_end_that_the_first_has_begun(programs: Programs) -> None:
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
