"""Verdicts on answers: thresholds in a row, both ways, and the pace of a start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_tree.core.json_path import PathError, follow, steps
from supervisor_tree.core.probing import COSTLY, FIRST, MOST, Pace, Tally, in_words


def verdicts(answers: str, failures: int, successes: int) -> str:
    """The verdict after each answer: `+` passes, `-` failed, `?` none yet."""
    tally = Tally()
    told = ""
    for answer in answers:
        tally.take(answer == "p", failures, successes)
        told += {None: "?", False: "+", True: "-"}[tally.failed]
    return told


@pytest.mark.parametrize(
    ("answers", "failures", "successes", "told"),
    [
        ("p", 3, 1, "+"),
        ("ppfff", 3, 1, "++++-"),
        ("pffpffpfff", 3, 1, "+++++++++-"),  # only failures in a row count
        ("fff", 3, 1, "??-"),
        ("fffppfp", 3, 2, "??--++" + "+"),
        ("fffpfpp", 3, 2, "??----+"),
        ("f", 1, 1, "-"),
    ],
)
def test_thresholds(answers: str, failures: int, successes: int, told: str) -> None:
    assert verdicts(answers, failures, successes) == told


@given(st.text("pf", max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_a_verdict_is_that_of_the_last_run_that_was_long_enough(answers: str, failures: int, successes: int) -> None:
    tally, expected = Tally(), None
    for end, answer in enumerate(answers, 1):
        before = expected
        if answers[:end].endswith("f" * failures):
            expected = True
        elif answers[:end].endswith("p" * successes):
            expected = False
        assert tally.take(answer == "p", failures, successes) == (expected != before)
        assert tally.failed is expected
        assert tally.fails_now(failures) == answers[:end].endswith("f" * failures)


def test_what_was_told_before_is_no_new_failure_yet() -> None:
    tally = Tally(failed=True)  # as a new root takes it over
    assert not tally.fails_now(2)
    assert not tally.take(False, 2, 1)
    assert not tally.fails_now(2)
    assert not tally.take(False, 2, 1)  # the same verdict: nobody is told again
    assert tally.fails_now(2)


def test_words() -> None:
    assert in_words("http://h/ answers 503", -3) == "http://h/ answers 503, 3 times in a row"
    assert in_words("x is not there", -1) == "x is not there"


def test_the_pace_of_a_start() -> None:
    pace = Pace(10, costly=False)
    pauses = [pace.next() for _ in range(8)]
    assert pauses[:3] == [FIRST, FIRST * 2, FIRST * 4]
    assert pauses[-1] == MOST
    pace = Pace(0.2, costly=False)
    assert max(pace.next() for _ in range(8)) == 0.2
    pace = Pace(10, costly=True)
    assert [pace.next() for _ in range(7)] == [COSTLY, COSTLY * 2, COSTLY * 4, COSTLY * 8, COSTLY * 16, 10, 10]


@pytest.mark.parametrize(
    ("path", "through"),
    [("a", ("a",)), ("$.a.b[0]", ("a", "b", 0)), ("a-b[-1].c", ("a-b", -1, "c")), ("[1]", (1,))],
)
def test_json_paths(path: str, through: tuple[str | int, ...]) -> None:
    assert steps(path) == through


@pytest.mark.parametrize("path", ["", "$", "a[", "a[x]", "a..b", "a]"])
def test_what_is_no_json_path(path: str) -> None:
    with pytest.raises(PathError, match="is no JSON path"):
        steps(path)


def test_following_a_json_path() -> None:
    assert follow({"a": [{"b": 7}]}, ("a", 0, "b")) == 7
    for missing in (("b",), ("a", 1), ("a", "b"), ("a", 0, "b", "c")):
        with pytest.raises(LookupError):
            follow({"a": [{"b": 7}]}, missing)
