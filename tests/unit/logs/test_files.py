"""Rotation."""

from __future__ import annotations

import os
from pathlib import Path

from tests.unit.logs.writing import Written


def _names(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".idx"}


def test_keep(tmp_path: Path) -> None:
    written = Written(tmp_path, keep=2)
    for number in range(5):
        written.put(b"%d" % number)
        written.rotate()
    written.put(b"5")
    assert _names(tmp_path) == {"web.log": b"5", "web.log.1": b"4", "web.log.2": b"3"}
    assert sorted(p.name for p in tmp_path.glob("*.idx")) == ["web.log.1.idx", "web.log.2.idx", "web.log.idx"]


def test_keep_nothing(tmp_path: Path) -> None:
    written = Written(tmp_path, keep=0)
    written.put(b"0")
    written.rotate()
    written.put(b"1")
    assert _names(tmp_path) == {"web.log": b"1"}


def test_a_gap_is_filled_before_anything_is_lost(tmp_path: Path) -> None:
    written = Written(tmp_path, keep=3)
    for number in range(3):
        written.put(b"%d" % number)
        written.rotate()
    os.unlink(tmp_path / "web.log.2")
    written.put(b"3")
    written.rotate()
    assert _names(tmp_path) == {"web.log": b"", "web.log.1": b"3", "web.log.2": b"2", "web.log.3": b"0"}


def test_fewer_are_kept_after_a_change(tmp_path: Path) -> None:
    written = Written(tmp_path, keep=5)
    for number in range(5):
        written.put(b"%d" % number)
        written.rotate()
    written.file.limit({"max_size": 10, "keep": 1, "on_full": "drop"})
    written.put(b"5")
    written.rotate()
    assert _names(tmp_path) == {"web.log": b"", "web.log.1": b"5"}


def test_max_age(tmp_path: Path) -> None:
    written = Written(tmp_path, keep=5)
    for number in range(3):
        written.put(b"%d" % number)
        written.rotate()
    os.utime(tmp_path / "web.log.2", (1, 1))
    written.file.limit({"max_size": 10, "keep": 5, "max_age": 3600.0, "on_full": "drop"})
    written.put(b"3")
    written.rotate()
    assert _names(tmp_path) == {"web.log": b"", "web.log.1": b"3", "web.log.2": b"2", "web.log.4": b"0"}
