"""Reading logs back, compared with what was written."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_tree.logs import read
from supervisor_tree.logs.follow import Follower
from supervisor_tree.logs.read import Choice, Cursor, Line, tail
from tests.unit.logs.writing import Written


def _data(lines: Iterable[Line]) -> list[bytes]:
    return [line.data for line in lines]


def _tail(path: Path, count: int | None = None, choice: Choice | None = None, *, unended: bool = True) -> list[Line]:
    with closing(Cursor("web", str(path))) as cursor:
        return list(tail([cursor], count, choice, unended))


_part = st.tuples(
    st.sampled_from(["out", "err"]), st.lists(st.sampled_from([b"a", b"\n", b"\xff\x00", b"long" * 30]), max_size=8)
)
_action = st.one_of(_part, st.just("rotate"), st.just("save"))


@settings(max_examples=150, deadline=None)
@given(st.lists(_action, max_size=30), st.integers(0, 8), st.integers(1, 200))
def test_last_lines_of_mixed_streams(actions: list[object], count: int, window: int) -> None:
    begun = {"out": b"", "err": b""}
    lines: list[tuple[str, bytes]] = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "_WINDOW", window)
        written = Written(Path(folder), keep=50)
        for action in actions:
            if action == "rotate":
                written.rotate()
            elif action == "save":
                written.save()
            else:
                assert isinstance(action, tuple)
                stream, data = action[0], b"".join(action[1])
                written.put(data, stream)
                *ended, begun[stream] = (begun[stream] + data).split(b"\n")
                lines += [(stream, line + b"\n") for line in ended]
        written.save()
        cursor = Cursor("web", str(written.path))
        everything = [(line.stream, line.data) for line in tail([cursor], unended=False)]
        assert everything == lines
        assert {line.stream: line.data for line in cursor.rest()} == {s: d for s, d in begun.items() if d}
        for stream in ("out", "err"):
            found = _tail(written.path, None, Choice(streams=[stream]), unended=False)
            assert _data(found) == [data for of, data in lines if of == stream]
        cursor.close()
        written.close()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.just("rotate")), max_size=30),
    st.integers(0, 12),
    st.integers(1, 200),
)
def test_last_lines_of_one_stream(actions: list[object], count: int, window: int) -> None:
    lines: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "_WINDOW", window)
        written = Written(Path(folder), keep=50)
        for action in actions:
            if action == "rotate":
                written.rotate()
                continue
            for text in action:  # type: ignore[attr-defined]
                line = text.replace(b"\n", b" ") + b"\n"
                lines.append(line)
                written.put(line)
        written.save()
        assert _data(_tail(written.path, count)) == (lines[-count:] if count else [])
        wanted = [line for line in lines if b"a" in line]
        choice = Choice(grep=re.compile(b"a"))
        assert _data(_tail(written.path, None, choice)) == wanted
        assert _data(_tail(written.path, 2, choice)) == wanted[-2:]
        written.close()


def test_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(tmp_path)
    for hour in range(10):
        monkeypatch.setattr(time, "time", lambda hour=hour: 1_000_000.0 + hour * 3600)
        written.put(b"hour %d\n" % hour)
        if hour == 4:
            written.rotate()
    written.save()
    for since, first in ((0, 0), (1_000_000 + 3 * 3600, 3), (1_000_000 + 3 * 3600 + 1, 4), (1_000_000 + 7 * 3600, 7)):
        found = _data(_tail(written.path, None, Choice(since=since)))
        assert found == [b"hour %d\n" % hour for hour in range(first, 10)]
    assert _data(_tail(written.path, 1, Choice(since=1_000_000.0))) == [b"hour 9\n"]
    assert _data(_tail(written.path, None, Choice(since=2_000_000.0))) == []


def test_several_logs_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a", "b", "c"]
    logs = {name: Written(tmp_path, name) for name in names}
    for at in range(30):
        monkeypatch.setattr(time, "time", lambda at=at: 1_000_000.0 + at)
        logs[names[at % 3]].put(b"%d\n" % at)
    for log in logs.values():
        log.save()
    cursors = [Cursor(name, str(logs[name].path)) for name in names]
    found = list(tail(cursors, 7))
    assert _data(found) == [b"%d\n" % at for at in range(23, 30)]
    assert [line.name for line in found] == [names[at % 3] for at in range(23, 30)]


def test_dropped_bytes_are_told_at_their_place(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.put(b"before\nhal")
    written.drop(1234)
    written.put(b"f a line\nafter\n")
    written.save()
    found = [(line.data, line.dropped) for line in _tail(written.path)]
    assert found == [(b"before\n", 0), (b"hal", 0), (b"", 1234), (b"f a line\n", 0), (b"after\n", 0)]


def test_without_an_index_all_is_there(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_bytes(b"one\ntwo\nthree")
    assert _data(_tail(path, 2)) == [b"two\n", b"three"]
    assert _data(_tail(tmp_path / "none.log")) == []


def test_follow_over_rotation_truncation_and_drops(tmp_path: Path) -> None:
    written = Written(tmp_path, keep=3)
    cursor = Cursor("web", str(written.path))
    assert list(tail([cursor], 10)) == []
    follower = Follower(Choice())
    follower.add(cursor)
    try:
        assert follower.news() == []

        def after(*puts: bytes) -> list[bytes]:
            for data in puts:
                written.put(data)
            written.save()
            return _data(follower.news())

        assert after(b"one\n", b"tw") == [b"one\n"]
        assert after(b"o\n") == [b"two\n"]
        written.rotate()
        assert after(b"three\n") == [b"three\n"]
        written.put(b"four\n")
        written.rotate()
        written.put(b"five\n")
        written.rotate()
        assert after(b"six\n") == [b"four\n", b"five\n", b"six\n"]
        written.drop(7)
        written.save()
        assert [line.dropped for line in follower.news()] == [7]
        assert after(b"seven\n") == [b"seven\n"]
        written.path.write_bytes(b"")
        written.file.check()
        assert after(b"eight\n") == [b"eight\n"]
        for number in range(9, 15):
            written.rotate()
            written.put(b"%d\n" % number)
        written.save()
        # Two of the files were gone before they could be read.
        assert _data(follower.news()) == [b"11\n", b"12\n", b"13\n", b"14\n"]
    finally:
        follower.close()


def test_follow_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    cursor = Cursor("web", str(tmp_path / "logs" / "deep" / "web.log"))
    follower = Follower(Choice())
    follower.add(cursor)
    try:
        assert follower.news() == []
        (tmp_path / "logs" / "deep").mkdir(parents=True)
        assert follower.news() == []
        written = Written(tmp_path / "logs" / "deep")
        written.put(b"here\n")
        written.save()
        assert _data(follower.news()) == [b"here\n"]
    finally:
        follower.close()
