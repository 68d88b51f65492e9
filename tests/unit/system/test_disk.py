"""Small files, replaced whole, and the order in which they are forced to the disk."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor_tree.system import disk, means


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "a"
    disk.replace(file, b"one")
    disk.replace(str(file), b"two", 0o640, forced=True)
    assert file.read_bytes() == b"two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    (tmp_path / "folder").mkdir()
    for forced in (False, True):
        with pytest.raises(IsADirectoryError):
            disk.replace(tmp_path / "folder", b"three", forced=forced)
        with pytest.raises(FileNotFoundError):
            disk.replace(tmp_path / "not there" / "a", b"four", forced=forced)
    assert sorted(os.listdir(tmp_path)) == ["a", "folder"]


def test_it_takes_its_name_once_it_is_on_the_disk_and_then_the_folder_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def noted(what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any) -> Any:
            seen.append(what)
            return call(*arguments)

        return noting

    monkeypatch.setattr(means, "force", noted("file", means.force))
    monkeypatch.setattr(os, "replace", noted("name", os.replace))
    monkeypatch.setattr(os, "fsync", noted("folder", os.fsync))
    disk.replace(tmp_path / "a", b"one")
    assert seen == ["name"]
    seen.clear()
    disk.replace(tmp_path / "a", b"two", forced=True)
    assert seen[0] == "file"
    assert seen[-2:] == ["name", "folder"]


def test_what_is_to_be_kept_outlives_its_writer_before_the_disk_has_it(tmp_path: Path) -> None:
    path = str(tmp_path / "a.json")
    disk.settle(path, json.loads)
    disk.keep(path, b"[1]")
    dies = "import os; from supervisor_tree.system import disk, means; means.force = lambda fd: os._exit(9)"
    process = subprocess.run([sys.executable, "-c", f"{dies}; disk.keep({path!r}, b'[2]')"], check=False)
    assert process.returncode == 9
    assert Path(path).read_bytes() == b"[1]"
    disk.settle(path, json.loads)
    assert Path(path).read_bytes() == b"[2]"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("left", [b"", b"[2, ", b"\0\0\0"])
def test_what_a_power_cut_has_left_of_it_counts_for_nothing(tmp_path: Path, left: bytes) -> None:
    path = str(tmp_path / "a.json")
    disk.keep(path, b"[1]")
    (tmp_path / "a.json.new").write_bytes(left)
    disk.settle(path, json.loads)
    assert Path(path).read_bytes() == b"[1]"
    assert os.listdir(tmp_path) == ["a.json"]


def test_what_another_has_settled_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "a.json")
    force = means.force
    asked: list[int] = []

    def settled(fd: int) -> None:
        if not asked:
            asked.append(fd)
            disk.settle(path, json.loads)
        force(fd)

    monkeypatch.setattr(means, "force", settled)
    disk.keep(path, b"[1]")
    assert asked
    assert Path(path).read_bytes() == b"[1]"
