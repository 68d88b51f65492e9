"""Limits and planned restarts in words that a person understands."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_tree.root.sentences import sentence
from supervisor_tree.root.words import cores, size


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (85_400, "85.4 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (1_500_000_000, "1.5 GB"),
        (1_624_000_000, "1.62 GB"),
        (2_500_000_000_000, "2.5 TB"),
    ],
)
def test_sizes_are_told_as_the_tree_file_writes_them(count: int, words: str) -> None:
    assert size(count) == words


def test_cores() -> None:
    assert [cores(number) for number in (1, 1.5, 0.25, 12)] == ["1 core", "1.5 cores", "0.25 cores", "12 cores"]


EXCEEDED = {"event": "limit_exceeded", "name": "bot", "kind": "memory", "limit": 1.5e9, "value": 1.62e9}
BUSY = {"event": "limit_exceeded", "name": "bot", "kind": "cpu", "limit": 1, "value": 1.97, "seconds": 30.0}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            {**EXCEEDED, "then": "restart", "processes": [{"pid": 7, "command": "python main.py", "memory": 1.4e9}]},
            (
                "bot is over its memory_max: 1.62 GB, limit 1.5 GB (most: python main.py (pid 7) 1.4 GB); "
                "it is to be restarted"
            ),
        ),
        (
            {**EXCEEDED, "then": "hold", "processes": []},
            "bot is over its memory_max: 1.62 GB, limit 1.5 GB; left alone while it is held",
        ),
        (
            {**BUSY, "then": "alert", "processes": [{"pid": 7, "command": "", "cpu": 1.9}]},
            "bot is over its cpu_max: 1.97 cores over 30 s, limit 1 core (most: ? (pid 7) 1.9 cores); told of once",
        ),
        (
            {**EXCEEDED, "event": "limit_kept_again", "value": 1.2e9},
            "bot keeps its memory_max again: 1.2 GB, limit 1.5 GB",
        ),
        (
            {**EXCEEDED, "then": "fail", "program": "bot:train@1w", "run": "r", "processes": []},
            "bot:train@1w is over its memory_max: 1.62 GB, limit 1.5 GB; it is stopped, and has failed",
        ),
        (
            {**EXCEEDED, "event": "limit_kept_again", "limit": None},
            "bot has no memory_max any more",
        ),
        (
            {"event": "limits_not_watched", "name": None, "seconds": 30.0},
            "limits can't be watched: the system has not told in 30 s what processes use",
        ),
        (
            {"event": "planned_restart", "name": "bot", "reason": "older than 6h 00m"},
            "bot is restarted as planned: older than 6h 00m",
        ),
        (
            {"event": "watch_slowed", "name": "bot", "file": "state.json", "seconds": 20.0},
            (
                "bot: files change soon after each of its starts (state.json): does it write them itself? "
                "The next restart for them comes when it has been up for 20 s"
            ),
        ),
        ({"event": "watch_began", "name": None, "files": 12, "folders": 3}, "files are watched: 12 in 3 folders"),
    ],
)
def test_a_journal_line(line: dict[str, Any], words: str) -> None:
    assert sentence(line) == words
