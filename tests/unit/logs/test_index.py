"""The index: its format, and how it is made whole."""

from __future__ import annotations

import os
from pathlib import Path

from supervisor_tree.logs import index
from supervisor_tree.logs.files import LogFile
from supervisor_tree.logs.memo import MOST, Memo
from supervisor_tree.system import means
from tests.unit.logs.writing import Written


def _records(path: Path) -> list[tuple[int, int]]:
    raw = Path(index.path_of(str(path))).read_bytes()
    assert index.HEADER.unpack(raw[:16]) == (index.MAGIC, path.stat().st_ino)
    return [(kind, value) for kind, _, value in index.records(raw[16:])]


def test_format(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.put(b"12345")
    written.put(b"67", "err")
    written.drop(99, "err")
    written.put(b"8", "all")
    written.save()
    assert _records(written.path) == [
        (index.OUT, 5), (index.ERR, 7), (index.ERR | index.DROPPED, 99), (index.ALL, 8)
    ]  # fmt: skip
    raw = Path(index.path_of(str(written.path))).read_bytes()
    assert raw[:8] == b"STINDEX1"
    assert len(raw) == 16 + 4 * 16


def test_close_chunks_of_one_stream_share_a_record(tmp_path: Path) -> None:
    written = Written(tmp_path)
    for _ in range(100):
        written.put(b"line\n")
    written.save()
    records = _records(written.path)
    assert len(records) < 20
    assert records[-1] == (index.OUT, 500)


def test_a_missing_end_is_rebuilt_from_the_memo(tmp_path: Path) -> None:
    fd = means.memory_file("memo", 64)
    path = str(tmp_path / "web.log")
    settings = {"path": path, "max_size": 0, "keep": 5, "on_full": "drop"}
    memo = Memo(fd)
    killed = LogFile(settings, memo)
    killed.open()
    for kind, data in ((index.OUT, b"out\n"), (index.ERR, b"err\n"), (index.OUT, b"more\n")):
        memo.stage(path, kind, False)
        os.write(killed.fd, data)
        killed.note(kind, len(data))
    memo.stage(path, index.ERR, False)
    os.write(killed.fd, b"not noted\n")
    LogFile(settings, Memo(fd)).open()
    kinds = [(index.OUT, 4), (index.ERR, 8), (index.OUT, 13), (index.ERR, 23)]
    assert _records(Path(path)) == kinds
    os.close(fd)


def test_a_missing_end_without_memo_is_of_unknown_kind(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_bytes(b"old\n")
    written = Written(tmp_path)
    written.put(b"new\n")
    written.save()
    assert _records(path) == [(index.UNKNOWN, 4), (index.OUT, 8)]


def test_a_torn_record_is_cut_off(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.put(b"one\n")
    written.file.close()
    with open(index.path_of(str(written.path)), "ab") as file:
        file.write(b"torn")
    written.put(b"two\n", "err")
    written.save()
    assert _records(written.path) == [(index.OUT, 4), (index.ERR, 8)]


def test_the_index_of_another_file_is_not_taken(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.put(b"x" * 100)
    written.file.close()
    written.path.unlink()
    written.path.write_bytes(b"y" * 50)
    written.put(b"z", "err")
    written.save()
    assert _records(written.path) == [(index.UNKNOWN, 50), (index.ERR, 51)]


def test_the_memo_says_when_it_is_full() -> None:
    fd = means.memory_file("memo", 64)
    memo = Memo(fd)
    os.close(fd)
    for number in range(MOST):
        assert not memo.full
        memo.note(1, index.record(index.OUT, 0.0, number))
    assert memo.full
    memo.clear()
    assert not memo.full
