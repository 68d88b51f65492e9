"""Lengths of time, read and written."""

from __future__ import annotations

import pytest

from supervisor_tree.workers.shim.words import duration, span


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("1.5s", 1.5), (" 2 m ", 120), ("1h", 3600), ("1d", 86400), ("2w", 1209600), (90, 90.0), (0, 0)],
)
def test_durations_are_read_as_in_the_tree_file(text: object, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "1 minute", "-1s", -1, True, None, ["1s"], "1s 2m", "٣s"])
def test_what_is_no_duration(text: object) -> None:
    assert duration(text) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0ms"),
        (0.25, "250ms"),
        (1.9, "1s"),
        (59.9, "59s"),
        (60, "1m"),
        (185, "3m 5s"),
        (3600, "1h"),
        (86399, "23h 59m"),
        (86400, "1d"),
        (100 * 86400 + 7300, "100d 2h"),
    ],
)
def test_spans_read_well(seconds: float, text: str) -> None:
    assert span(seconds) == text
