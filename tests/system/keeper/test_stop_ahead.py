"""A stop may name whom to stop next: the keeper goes on by itself, in order, and not before the one is gone."""

from __future__ import annotations

import os
import signal

from tests.system.keeper.conftest import Brain


def test_one_after_the_other(brain: Brain) -> None:
    for name in "abc":
        said = f"echo {name} >> order"
        script = f"trap '{said}; sleep 0.1; {said}; exit 0' TERM; echo > up.{name}; while :; do sleep 0.01; done"
        brain.shell(name, script)
        brain.await_file(f"up.{name}")
    brain.commit({"op": "stop", "name": "c", "inc": 1, "grace": 5, "then": [["b", 1, 5], ["a", 1, None]]})
    for name in "cba":
        assert brain.event("exited", name=name, acknowledge=False)["asked"] is True
    assert (brain.folder / "order").read_text().split() == ["c", "c", "b", "b", "a", "a"]


def test_one_that_is_gone_is_passed_over_and_the_root_may_say_it_again(brain: Brain) -> None:
    for name in "abc":
        brain.spawn(name, "/bin/sleep", "1000")
    brain.stop("b")
    brain.event("exited", name="b")
    brain.commit({"op": "stop", "name": "c", "inc": 1, "grace": 5, "then": [["b", 1, 5], ["a", 1, 5]]})
    brain.stop("a")
    assert {brain.event("exited", asked=True)["name"] for _ in range(2)} == {"a", "c"}


def test_who_crashes_takes_nobody_along(brain: Brain) -> None:
    """Only a stop that was asked for goes on."""
    pid = brain.spawn("a", "/bin/sleep", "1000")
    brain.shell("c", "exit 3")
    assert brain.event("exited", name="c")["asked"] is False
    brain.commit({"op": "stop", "name": "c", "inc": 1, "grace": 5, "then": [["a", 1, 5]]})
    brain.sync()
    os.kill(pid, signal.SIGKILL)
    assert brain.event("exited", name="a")["asked"] is False
