"""`keeper.log`: what is written can be read, whatever else is in the file."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from supervisor_tree.keeper import record


def test_rows() -> None:
    lines = [
        record.life("id", "boot", "ns", 1, 2),
        record.process("root", 1, 10, 100),
        record.process("a", 1, 11, 101),
        record.process("a@é", 2, 12, 102) + "\n" + record.gone("a", 1),
    ]
    assert record.rows(lines) == [["root", 1, 10, 100], ["a@é", 2, 12, 102]]


def test_a_new_life_forgets_the_old(tmp_path: Path) -> None:
    file = tmp_path / "keeper.log"
    lines = [record.process("a", 1, 11, 101), record.life("new", "b", "n", 5, 6), record.process("b", 1, 12, 9)]
    file.write_text("\n".join([*lines, '{"e":"is","name":"cut']))
    found = record.read(str(file))
    assert found.life["id"] == "new"
    assert found.rows == [["b", 1, 12, 9]]
    assert record.read(str(tmp_path / "none")).rows == []


@given(st.lists(st.text()))
def test_garbage_is_ignored(lines: list[str]) -> None:
    assert isinstance(record.rows(lines), list)


@given(st.text(min_size=1), st.integers(1, 9), st.integers(1, 99999), st.integers(0, 2**60))
def test_any_name(name: str, inc: int, pid: int, start: int) -> None:
    line = record.process(name, inc, pid, start)
    assert record.rows([line]) == [[name, inc, pid, start]]
    assert record.rows([line, record.gone(name, inc)]) == []
