"""Regular expressions that may take for ever are found, and no others."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from supervisor_tree import config
from supervisor_tree.config.backtracking import may_take_for_ever

SLOW = [
    (r"(a+)+b", "a"),
    (r"(a*)*b", "a"),
    (r"(.*a)*b", "a"),
    (r"(.*,)*x", ","),
    (r"(a.*?;)*x", "a;"),
    (r"(a+){2,}b", "a"),
    (r"(a|b+)*c", "b"),
    (r"((ab)+)*c", "ab"),
    (r"(x+x+)+y", "x"),
    (r"(.)(\1+)*x", "a"),
    (r"(\w+\s?)*$", "a"),
    (r"(\s*\w+\s*)*:", "a"),
    (r"(\s+|\w+)*;", "a"),
    (r"^(\d+\.?)+$", "1"),
    (r'"(?:[^"\\]+|\\.)*"', "a"),
    (r"(?:(?:a+)?b?)+c", "a"),
    (r"(([a-z])+.)+[A-Z]([a-z])+$", "a"),
    (r"ERROR( .*)* failed$", " a"),
]
QUICK = [
    r"(a+)+",  # nothing behind it: it never fails
    r"^(\w+\s?)*",
    r"(\d+,)*x",
    r"(\w+\s+)*x",
    r"([^,]*,)*x",
    r"(.*\n)*x",
    r"(\s*\w+\s*,)*x",
    r"(?:\s+\w+)*;",
    r"([a-z0-9]+\.)*com",
    r"[a-z]+(-[a-z]+)*$",
    r"^(?:[A-Z][a-z]+ )+done$",
    r"(a|b)*c",
    r"(a+b)*c",
    r"(ab)+c",
    r"(?>a+)+b",
    r"(a++)+b",
    r"([0-9]{1,3}\.){3}[0-9]{1,3}",
    r"(key=\S+ )+end",
    r"(\bfoo\b\s*)+bar",
    r"^((?!skip).)*$",
    r"^\[[^\]]*\] .* failed",
    r"(?i)error: .*$",
    r"cycle [0-9]+ done",
]


def _seconds(pattern: str, text: str) -> float:
    begin = time.process_time()
    re.search(pattern, text)
    return time.process_time() - begin


@pytest.mark.parametrize(("pattern", "piece"), SLOW)
def test_what_takes_longer_and_longer_is_found(pattern: str, piece: str) -> None:
    assert may_take_for_ever(pattern)
    # It does: a hundred times and more what a text of half the length takes, long before that is as long as a line.
    start = '"' if pattern.startswith('"') else "ERROR" if pattern.startswith("ERROR") else ""
    taken = [_seconds(pattern, f"{start}{piece * 6}!")]
    for count in range(7, 60):
        taken.append(_seconds(pattern, f"{start}{piece * count}!"))
        if taken[-1] > 0.05:
            break
    assert taken[-1] > 0.05


@pytest.mark.parametrize("pattern", QUICK)
def test_what_is_quick_is_left_alone(pattern: str) -> None:
    assert not may_take_for_ever(pattern)


def test_it_is_a_warning_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text('[workers.a]\ncommand = "true"\nready = { output = "(a+)+b" }\n')
    (said,) = config.load([str(file)], {}).warnings
    assert str(said).endswith(
        'tree.toml:3: workers.a.ready.output: "(a+)+b" may take for ever on a line that it does not match, as (a+)+b '
        "does: a repetition within a repetition, which can share out the same text in many ways"
    )
