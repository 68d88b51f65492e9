"""When planned restarts are due: spread, the same for every root, and never a storm."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from supervisor_tree.core.planned import Slowing, lifetime


@given(st.text(max_size=20), st.integers(1, 10**6), st.floats(1, 10**6), st.floats(0, 10**5))
def test_a_lifetime_is_the_age_and_a_share_of_the_jitter(
    name: str, incarnation: int, max_age: float, jitter: float
) -> None:
    found = lifetime(max_age, jitter, name, incarnation)
    assert max_age <= found <= max_age + jitter
    assert found == lifetime(max_age, jitter, name, incarnation)


def test_the_children_of_a_set_are_spread() -> None:
    due = sorted(lifetime(100.0, 100.0, f"web@{number}", 1) for number in range(8001, 8041))
    assert due[0] < 115
    assert due[-1] > 185
    assert max(later - earlier for earlier, later in itertools.pairwise(due)) < 25
    assert lifetime(100.0, 100.0, "web@8001", 2) not in due


def test_a_worker_that_changes_its_own_files_waits_longer_and_longer() -> None:
    slowing, pauses = Slowing(), []
    for _ in range(12):
        pauses.append(slowing.pause)
        slowing.restarted(0.5)
    assert pauses == [0, 0, 0, 5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_person_who_saves_often_is_not_slowed() -> None:
    slowing = Slowing()
    for after in (0.5, 3.0, 20.0, 0.5, 1.0, 6.0, 600.0, 1.0, 1.0):
        assert slowing.pause == 0
        slowing.restarted(after)
    slowing.restarted(0.1)
    assert slowing.pause == 5
    slowing.restarted(60.0)
    assert slowing.pause == 0
