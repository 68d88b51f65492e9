"""Incident files: readable, bounded, and the one about another worker survives a worker that hangs every minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_tree.root import incidents
from supervisor_tree.root.incidents import Section


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_sections_in_order_and_empty_ones_left_out() -> None:
    text = incidents.laid_out(
        [Section("", "shop: web hung\n"), Section("Stacks", "main: a.py:1"), Section("Output", "")]
    )
    assert text == b"shop: web hung\n\n== Stacks\n\nmain: a.py:1\n"


def test_a_long_one_is_cut_and_says_so() -> None:
    text = incidents.laid_out([Section("Stacks", "é" * 1_000_000)])
    assert len(text) <= 512 * 1024
    assert text.decode().endswith("é\n[the rest was cut off]\n")


def test_a_file_is_for_us_alone_and_two_in_a_second_are_two(tmp_path: Path) -> None:
    folder = tmp_path / "incidents"
    first, second = (incidents.store(folder, "web@8001", "hung", b"text") for _ in range(2))
    assert first != second
    assert Path(first).name.endswith("Z-web@8001-hung.txt")
    assert Path(first).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_of_each_name_the_newest_ten_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "incidents"
    folder.mkdir()
    other = folder / "20250101T000000Z-other-gave_up.txt"
    foreign = folder / "notes.txt"
    for each in (other, foreign, *(folder / f"20260101T0000{at:02}Z-a-b-hung.txt" for at in range(14))):
        each.write_text("x")
    newest = Path(incidents.store(folder, "a-b", "failed", b"text"))
    kept = names(folder)
    assert other.name in kept
    assert foreign.name in kept
    assert [each for each in kept if "-a-b-" in each] == [
        *(f"20260101T0000{at:02}Z-a-b-hung.txt" for at in range(5, 14)),
        newest.name,
    ]


def test_of_all_the_newest_two_hundred_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "incidents"
    folder.mkdir()
    for number in range(230):
        (folder / f"20260101T{number:06}Z-w{number}-hung.txt").write_text("x")
    incidents.store(folder, "new", "hung", b"text")
    kept = names(folder)
    assert len(kept) == 200
    assert kept[0] == "20260101T000031Z-w31-hung.txt"


def test_something_in_the_way_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "incidents").write_text("")
    with pytest.raises(OSError, match="exists"):
        incidents.store(tmp_path / "incidents", "a", "hung", b"")
