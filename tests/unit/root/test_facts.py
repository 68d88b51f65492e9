"""From two looks to who computes and who waits: what only a machine that is far too busy shows, as data."""

from __future__ import annotations

import pytest

from supervisor_tree.root.hangs.facts import Facts, Looks, between
from supervisor_tree.system import Process
from supervisor_tree.system.look import Look, ThreadLook


def looked(at: float, state: str, cpu: float, waits: int | None) -> Looks:
    thread = ThreadLook(100, "app", state, cpu)
    thread.waits = waits
    look = Look(Process(100, "app", 1, 100, 100, 5, state))
    look.cpu = cpu
    look.threads = [thread]
    return Looks(at, {100: look})


def seen(states: str, cpu: float, waits: tuple[int | None, int | None]) -> Facts:
    """Over the time of two looks, 0.3 s apart."""
    (facts,) = between(looked(0.0, states[0], 1.0, waits[0]), looked(0.3, states[1], 1.0 + cpu, waits[1]))
    assert facts.threads[0].busy == facts.busy
    return facts


@pytest.mark.parametrize("cpu", [0.0, 0.01])
def test_who_was_left_nothing_computes_where_it_has_not_waited(cpu: float) -> None:
    assert seen("RR", cpu, (7, 7)).busy


@pytest.mark.parametrize(("states", "waits"), [("RR", (7, 8)), ("RR", (None, None)), ("SR", (7, 7)), ("SS", (7, 7))])
def test_who_may_have_waited_and_used_nothing_waits(states: str, waits: tuple[int | None, int | None]) -> None:
    assert not seen(states, 0.01, waits).busy
