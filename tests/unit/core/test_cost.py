"""What a decision costs does not grow with the tree."""

from __future__ import annotations

import time

import pytest

from supervisor_tree.core import effects as ef
from supervisor_tree.core import events as ev
from supervisor_tree.core.spec import SupervisorSpec, WorkerSpec
from supervisor_tree.core.tree import Tree
from tests.unit.core.shell import CRASH, Shell


def grown(size: int, intensity: int | None = None) -> Shell:
    children = tuple(WorkerSpec(name=f"w{number}") for number in range(size))
    spec = SupervisorSpec(name="root", intensity=intensity, period=1e9, first_start="retry", children=children)
    shell = Shell(spec).start()
    shell.answer()
    shell.save()
    return shell


def test_a_commit_writes_what_changed_and_not_the_tree() -> None:
    shell = grown(2_000)
    shell.exited("root/w1000")
    changes = shell.tree.take_changes()
    assert [key for key, _ in changes] == ["node/root/w1000"]
    assert sum(len(value or b"") for _, value in changes) < 500


def test_a_stop_in_order_writes_two_records_a_step() -> None:
    shell = grown(500)
    shell.tell(ev.ShutdownRequested())
    shell.tree.take_changes()
    shell.exited("root/w499")
    keys = [key for key, _ in shell.tree.take_changes()]
    assert sorted(keys) == ["node/root", "node/root/w498", "node/root/w499"]


def test_a_window_of_thousands_is_written_a_chunk_at_a_time() -> None:
    shell = grown(1, intensity=10_000)
    for _ in range(2_000):
        shell.exited("root/w0")
        shell.answer()
    shell.save()
    shell.exited("root/w0")
    changes = shell.tree.take_changes()
    assert sum(len(value or b"") for _, value in changes) < 3_000


@pytest.mark.parametrize("size", [10, 10_000])
def test_a_restart_takes_no_longer_in_a_large_tree(size: int) -> None:
    shell = grown(size)
    tree: Tree = shell.tree
    best = min(_seconds_for(tree, 50) for _ in range(20)) / 50
    assert best < 60e-6 * 2, "an exit and the answer of its spawn"


def _seconds_for(tree: Tree, times: int) -> float:
    node = tree.nodes["root/w5"]
    begin = time.perf_counter()
    for _ in range(times):
        effects = tree.handle(ev.ChildExited("root/w5", node.incarnation, CRASH), 0.0)
        assert any(isinstance(effect, ef.SpawnChild) for effect in effects)
        tree.handle(ev.ChildSpawned("root/w5", node.incarnation, 1), 0.0)
    return time.perf_counter() - begin
