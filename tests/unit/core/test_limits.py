"""Whose a process is, what it has used, and when that is too much."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_tree.core.limits import BACK, WINDOW, Meter, over, owners


@dataclass
class Process:
    pid: int
    ppid: int = 1
    session: int = 0
    start: int = 0
    spent: float = 0.0
    reaped: float = 0.0
    memory: int = 0


A, B = ("a", 1), ("b", 4)


def test_a_worker_is_its_session_and_who_descends_from_it() -> None:
    costs = [
        Process(10, 1, 10),
        Process(11, 10, 10),
        Process(12, 11, 12),  # a session of its own
        Process(13, 12, 13),  # and its child again
        Process(14, 1, 10),  # lost its parent, not the session
        Process(20, 1, 20),
        Process(21, 20, 21),
        Process(30, 1, 30),
        Process(31, 30, 30),
    ]
    assert owners(costs, {10: A, 20: B}, {}) == {10: A, 11: A, 12: A, 13: A, 14: A, 20: B, 21: B}
    assert owners(costs[::-1], {10: A, 20: B}, {}) == {10: A, 11: A, 12: A, 13: A, 14: A, 20: B, 21: B}


def test_what_was_found_out_before_holds_for_that_process_and_no_other_of_its_number() -> None:
    daemon = Process(50, 1, 50, start=7)
    child = Process(51, 50, 51)
    assert owners([daemon, child], {}, {(50, 7): A}) == {50: A, 51: A}
    assert owners([daemon, child], {}, {(50, 8): A, (51, 0): None}) == {}


def test_processes_that_seem_to_be_each_others_parents_end_the_look() -> None:
    assert owners([Process(1, 2), Process(2, 1), Process(3, 3)], {}, {}) == {}


@given(st.data())
def test_only_what_descends_from_a_leader_is_owned(data: st.DataObject) -> None:
    parents = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=30))
    costs = [Process(pid, min(parent, pid - 1), pid) for pid, parent in enumerate(parents, 1)]
    leaders = {pid: (f"w{pid}", 1) for pid in data.draw(st.sets(st.integers(1, len(costs)), max_size=3))}
    found = owners(costs, leaders, {})
    for cost in costs:
        at = cost.pid
        while at and at not in leaders:
            at = costs[at - 1].ppid
        assert found.get(cost.pid) == (leaders[at] if at else None)


class World:
    """Processes of one worker that fork, compute and end; `burnt`: what they have really used since the first look."""

    def __init__(self) -> None:
        self.processes = {1: Process(1, 0, 1, spent=5.0, reaped=3.0)}
        self.next = 2
        self.burnt = 0.0

    def fork(self, parent: int) -> None:
        self.processes[self.next] = Process(self.next, parent, 1, start=self.next)
        self.next += 1

    def burn(self, pid: int, seconds: float) -> None:
        self.processes[pid].spent += seconds
        self.burnt += seconds

    def end(self, pid: int) -> None:
        """Its parent, if it lives, waits for it; its children are somebody else's from now on."""
        gone = self.processes.pop(pid)
        parent = self.processes.get(gone.ppid)
        if parent is not None:
            parent.reaped += gone.spent + gone.reaped
        for each in self.processes.values():
            if each.ppid == pid:
                each.ppid = 0

    def look(self) -> list[Process]:
        return [replace(process) for process in self.processes.values()]


LOOKS = 6


@given(st.data(), st.booleans())
def test_no_more_is_counted_than_was_used_and_all_of_it_where_parents_wait(data: st.DataObject, orphans: bool) -> None:
    world, meter = World(), Meter()
    meter.take(0.0, world.look())
    for number in range(1, LOOKS + 1):
        for _ in range(data.draw(st.integers(0, 8))):
            pid = data.draw(st.sampled_from(sorted(world.processes)))
            what = data.draw(st.sampled_from(["fork", "burn", "burn", "end"]))
            has_children = any(each.ppid == pid for each in world.processes.values())
            if what == "fork":
                world.fork(pid)
            elif what == "burn":
                world.burn(pid, data.draw(st.sampled_from([0.25, 1.0, 7.5])))
            elif pid != 1 and (orphans or not has_children):
                world.end(pid)
        meter.take(WINDOW * number / LOOKS, world.look())
    assert meter.mean is not None
    assert meter.mean * WINDOW <= world.burnt + 1e-6
    if not orphans:
        assert meter.mean * WINDOW == pytest.approx(world.burnt)


@given(st.lists(st.tuples(st.floats(0.1, 10.0), st.floats(0.0, 4.0)), max_size=60), st.floats(0.1, 4.0))
def test_a_mean_over_the_limit_means_that_much_cpu_in_a_window(rounds: list[tuple[float, float]], limit: float) -> None:
    meter, process, at = Meter(), Process(1, 0, 1), 0.0
    used = [(0.0, 0.0)]
    meter.take(at, [replace(process)])
    for took, cores in rounds:
        at += took
        process.spent += took * cores
        used.append((at, process.spent))
        meter.take(at, [replace(process)])
        if at < WINDOW:
            assert meter.mean is None
            continue
        assert meter.mean is not None
        first = max(when for when, _ in used if when <= at - WINDOW)
        mean = (process.spent - dict(used)[first]) / (at - first)
        assert meter.mean == pytest.approx(mean, abs=1e-6)


def test_a_burst_is_no_reason() -> None:
    meter, process = Meter(), Process(1, 0, 1)
    for second in range(0, 121, 2):
        if 40 <= second < 50:  # eight cores for ten seconds
            process.spent += 16
        meter.take(float(second), [replace(process)])
        assert meter.mean is None or meter.mean <= 8 * 10 / WINDOW + 1e-6
    assert meter.mean == 0


def test_who_used_what_since_the_last_look() -> None:
    meter = Meter()
    meter.take(0.0, [Process(1, 0, 1, spent=9.0)])
    assert meter.last == {}
    meter.take(2.0, [Process(1, 0, 1, spent=10.0), Process(2, 1, 1, spent=4.0)])
    assert meter.last == {1: 0.5, 2: 2.0}


def test_where_the_system_counts_that_is_what_counts() -> None:
    """Of processes that came and went between two looks nothing else would tell."""
    meter = Meter()
    for second in range(0, 31, 2):
        meter.take(float(second), [Process(1, 0, 1)], spent=100.0 + second / 2)
    assert meter.mean == 0.5
    assert meter.last == {1: 0.0}


@given(st.lists(st.floats(0, 200), max_size=50))
def test_a_limit_is_passed_above_it_and_kept_again_only_clearly_below(values: list[float]) -> None:
    was = False
    for value in values:
        now = over(was, value, 100.0)
        assert now or value <= 100.0
        assert not now or value > 100.0 * BACK
        assert now == was or (value > 100.0 if now else value <= 100.0 * BACK)
        was = now
