"""What a terminal gets and a pipe does not: colour, clipping, progress."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from supervisor_tree.cli import results, table
from supervisor_tree.cli.table import Cell

ROWS: list[tuple[str | Cell, ...]] = [
    ("web", table.state("running"), Cell("everything is as it should be")),
    ("a-long-name", table.state("failed"), "no"),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """To be called in the test itself: pytest puts its own standard output in place after the fixtures."""

    def become() -> Terminal:
        made = Terminal()
        monkeypatch.setattr("sys.stdout", made)
        return made

    monkeypatch.setattr("os.get_terminal_size", lambda fd: os.terminal_size((36, 24)))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return become


def test_a_pipe_gets_all_of_it_in_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    table.show(("NAME", "STATE", "REASON"), ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "NAME         STATE    REASON",
        "web          running  everything is as it should be",
        "a-long-name  failed   no",
    ]


def test_a_terminal_gets_colour_and_what_fits(terminal: Callable[[], Terminal]) -> None:
    out = terminal()
    table.show(("NAME", "STATE", "REASON"), ROWS)
    lines = out.getvalue().splitlines()
    assert lines[1] == "web          \033[32mrunning\033[0m  everything is…"
    assert lines[2] == "a-long-name  \033[31mfailed\033[0m   no"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_where_it_is_not_wanted(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    out = terminal()
    monkeypatch.setenv(name, value)
    table.show(("NAME", "STATE", "REASON"), ROWS)
    assert "running" in out.getvalue()
    assert "\033" not in out.getvalue()


def test_numbers_are_flush_right(capsys: pytest.CaptureFixture[str]) -> None:
    table.show(("N", "PID"), [("a", "7"), ("b", "4242")], right=("PID",))
    assert capsys.readouterr().out == "N   PID\na     7\nb  4242\n"


def test_a_text_of_several_lines_stays_in_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    table.show(("NAME", "REASON"), [("a", "new\ndesign"), ("b", "")])
    assert capsys.readouterr().out.splitlines() == ["NAME  REASON", "a     new design", "b"]


def test_json_is_one_line_for_programs_and_indented_for_eyes(
    capsys: pytest.CaptureFixture[str], terminal: Callable[[], Terminal]
) -> None:
    table.print_json({"a": [1, None]})
    assert capsys.readouterr().out == '{"a":[1,null]}\n'
    out = terminal()
    table.print_json({"a": [1, None]})
    assert out.getvalue().count("\n") > 1
    assert json.loads(out.getvalue()) == {"a": [1, None]}


def test_progress_names_what_is_under_way_and_goes_away(
    make_root: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from supervisor_tree.cli.target import find

    root = make_root()
    child = {"name": "slow", "type": "worker", "state": "stopping", "children": []}
    root.answers["status"] = {"kind": "end", "data": {"children": [child, child | {"name": "b", "state": "running"}]}}
    silent = results.Progress(find(None), "stopping")
    silent()
    silent.clear()
    assert capsys.readouterr().err == ""
    err = Terminal()
    monkeypatch.setattr("sys.stderr", err)
    progress = results.Progress(find(None), "stopping")
    progress()
    progress()
    progress.clear()
    assert err.getvalue().split("\r\033[K")[1:] == [
        "stopping, 1s: slow stopping",
        "stopping, 2s: slow stopping",
        "",
    ]
