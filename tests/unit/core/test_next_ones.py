"""Whom an ending supervisor stops next: told ahead, and true."""

from __future__ import annotations

from supervisor_tree.core import events as ev
from supervisor_tree.core.effects import StopChild
from supervisor_tree.core.spec import Strategy, SupervisorSpec, WorkerSpec
from supervisor_tree.core.stopping import next_ones
from tests.unit.core.shell import TERM, Shell


def worker(name: str) -> WorkerSpec:
    return WorkerSpec(name=name, shutdown=2.0)


def running(*children: WorkerSpec | SupervisorSpec, strategy: Strategy = Strategy.ONE_FOR_ONE) -> Shell:
    shell = Shell(SupervisorSpec(name="root", children=children, strategy=strategy)).start()
    shell.settle()
    return shell


def names(stops: list[StopChild]) -> list[str]:
    return [stop.path.rpartition("/")[2] for stop in stops]


def test_what_is_told_ahead_is_what_the_core_says_afterwards() -> None:
    shell = running(*(worker(f"w{n}") for n in range(6)))
    [first] = [one for one in shell.tell(ev.ShutdownRequested("r")) if isinstance(one, StopChild)]
    told = next_ones(shell.tree, first.path, 3)
    assert names(told) == ["w4", "w3", "w2"]
    last = first
    for one in told:
        shell.exited(last.path, TERM)
        assert [effect for effect in shell.effects if isinstance(effect, StopChild)] == [one]
        last = one


def test_nobody_is_told_ahead_of_beyond_a_supervisor() -> None:
    shell = running(worker("a"), SupervisorSpec(name="s", children=(worker("b"),)), worker("c"), worker("d"))
    shell.tell(ev.ShutdownRequested("r"))
    assert names(next_ones(shell.tree, "root/d", 8)) == ["c"]


def test_a_round_that_starts_again_tells_nobody() -> None:
    """Another event may change whom it stops."""
    shell = running(worker("a"), worker("b"), worker("c"), strategy=Strategy.ONE_FOR_ALL)
    shell.exited("root/a")
    assert "root/c" in shell.stopping
    assert next_ones(shell.tree, "root/c", 8) == []
