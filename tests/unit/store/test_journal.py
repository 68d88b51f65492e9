"""The journal: nothing lost, nothing doubled, nothing torn."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from supervisor_tree.store import journal as room
from supervisor_tree.store.journal import Journal
from supervisor_tree.store.segments import segment_files
from supervisor_tree.system import means
from tests.support.waiting import eventually
from tests.unit.store.writing import Written, line, numbers, write


def test_lines_are_read_back_newest_first(tmp_path: Path) -> None:
    written = Written()
    journal = Journal(tmp_path, written)
    journal.append([line(n) for n in range(1, 501)])
    written.wait(500)
    journal.close()
    assert numbers(tmp_path) == list(range(1, 501))


def test_a_new_journal_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    first = Journal(tmp_path, Written())
    first.append([line(1), line(2)])
    first.close()
    second = Journal(tmp_path, Written())
    assert second.last == 2
    second.append([line(3)])
    second.close()
    assert numbers(tmp_path) == [1, 2, 3]


def test_segments_are_begun_at_their_size_and_named_by_their_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SEGMENT", 2000)
    journal = Journal(tmp_path, written := Written())
    for n in range(1, 101):
        journal.append([line(n)])
        written.wait(n)
    journal.close()
    files = segment_files(tmp_path)
    assert len(files) > 2
    for file in files:
        assert json.loads(file.read_bytes().splitlines()[0])["seq"] == int(file.stem)
    assert numbers(tmp_path) == list(range(1, 101))


def test_what_is_written_is_forced_to_the_disk_soon_and_many_lines_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[int] = []

    def force(fd: int) -> None:
        os.fsync(fd)
        forced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(means, "force", force)
    monkeypatch.setattr(room, "FORCE", 1000.0)
    journal = Journal(tmp_path, written := Written())
    for n in range(1, 51):
        journal.append([line(n)])
        written.wait(n)
    assert forced == []
    journal.close()
    (file,) = segment_files(tmp_path)
    assert forced == [file.stat().st_size]
    monkeypatch.setattr(room, "FORCE", 0.01)
    journal = Journal(tmp_path, written)
    journal.append([line(51)])
    eventually(lambda: forced[-1] == file.stat().st_size > forced[0], "the line is forced, though none comes after it")
    journal.close()
    assert len(forced) == 2  # nothing new, nothing to force


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(min_value=0, max_value=2000))
@example(cut=173)  # just behind a line, before its end
def test_a_tail_torn_at_any_byte_loses_only_the_line_it_tore(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, Written())
    journal.append([line(n) for n in range(1, 21)])
    journal.close()
    (file,) = segment_files(folder)
    whole = file.read_bytes()
    kept = whole[: max(0, len(whole) - cut)]
    file.write_bytes(kept)
    # A line that lacks no more than its end is whole.
    complete = kept.count(b"\n") + (whole[len(kept) : len(kept) + 1] == b"\n")
    again = Journal(folder, Written())
    assert again.last == complete
    again.append([line(complete + 1)])
    again.close()
    assert numbers(folder) == list(range(1, complete + 2))


def test_a_damaged_last_line_is_passed_over_and_does_not_stop_the_count(tmp_path: Path) -> None:
    write(tmp_path, [line(1), line(2)])
    (file,) = segment_files(tmp_path)
    with file.open("ab") as damaged:
        damaged.write(b"\x00\x00garbage\n")
    assert Journal(tmp_path, Written()).last == 2
    write(tmp_path, [line(3)])
    assert numbers(tmp_path) == [1, 2, 3]


def test_a_torn_end_is_kept_aside_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, [line(1), line(2)])
    (file,) = segment_files(tmp_path)
    whole = file.stat().st_size
    with file.open("ab") as torn:
        torn.write(b'{"time":"2026')
    journal = Journal(tmp_path, Written())
    journal.close()
    assert journal.torn is not None
    (aside,) = (tmp_path / "quarantine.jsonl").read_text().splitlines()
    kept = json.loads(aside)
    assert (kept["segment"], kept["offset"], kept["text"]) == (file.name, whole, '{"time":"2026')


def test_one_that_goes_on_looks_at_nothing_itself_and_doubles_nothing(tmp_path: Path) -> None:
    """After a root's death: the keeper tells the number, and has what may be on the disk already."""
    write(tmp_path, [line(n) for n in range(1, 6)])
    (file,) = segment_files(tmp_path)
    with file.open("ab") as torn:
        torn.write(line(6)[1][:20])
    journal = Journal(tmp_path, written := Written(), 3)
    assert journal.last == 3
    journal.append([line(n) for n in range(4, 9)])
    written.wait(8)
    journal.close()
    assert numbers(tmp_path) == list(range(1, 9))
    assert not (tmp_path / "quarantine.jsonl").exists()


def test_a_folder_that_is_not_there_yet_stops_nobody_who_goes_on(tmp_path: Path) -> None:
    (tmp_path / "above").write_text("in the way")
    journal = Journal(tmp_path / "above" / "journal", written := Written(), 3)
    journal.append([line(4)])
    eventually(lambda: journal.failing, "it says why it can't write")
    (tmp_path / "above").unlink()
    written.wait(4)
    journal.close()
    assert numbers(tmp_path / "above" / "journal") == [4]


def test_a_folder_that_is_removed_under_it(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    journal = Journal(folder, written := Written())
    journal.append([line(1), line(2)])
    written.wait(2)
    shutil.rmtree(folder)
    journal.append([line(3)])
    written.wait(3)
    journal.close()
    assert numbers(folder) == [3]


def test_a_journal_that_can_not_be_read_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers go on beyond all that may stand there."""
    write(tmp_path, [line(n) for n in range(1, 51)])

    def broken(*_: object) -> Iterator[tuple[int, bytes]]:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(room, "pieces_backwards", broken)
        journal = Journal(tmp_path, written := Written())
        assert journal.failing == "Input/output error"
        assert journal.last >= 50
    journal.append([line(journal.last + 1)])
    written.wait(journal.last + 1)
    journal.close()
    assert numbers(tmp_path) == [*range(1, 51), journal.last + 1]


def test_what_is_too_old_is_removed_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SEGMENT", 2000)
    journal = Journal(tmp_path, written := Written())
    for n in range(1, 101):
        journal.append([line(n)])
        written.wait(n)
    before = segment_files(tmp_path)
    for file in before[:2]:
        os.utime(file, (time.time() - 1000, time.time() - 1000))
    journal.max_age = 500.0
    journal.write()
    eventually(lambda: segment_files(tmp_path) == before[2:], "the two oldest are removed")
    for n in range(101, 111):
        journal.append([line(n)])
        written.wait(n)
    journal.close()
    assert numbers(tmp_path) == list(range(int(before[2].stem), 111))


def test_a_tree_that_says_little_begins_segments_by_age(tmp_path: Path) -> None:
    """Else a year of it would be one segment, and nothing of it could go."""
    journal = Journal(tmp_path, written := Written())
    journal.max_age = 8000.0
    now = time.time()
    journal.append([line(1, time=_text(now - 1500))])
    written.wait(1)
    journal.close()
    journal = Journal(tmp_path, written := Written())
    journal.max_age = 8000.0
    journal.append([line(2, time=_text(now))])
    written.wait(2)
    journal.append([line(3, time=_text(now))])
    written.wait(3)
    journal.close()
    assert [int(file.stem) for file in segment_files(tmp_path)] == [1, 2]
    assert numbers(tmp_path) == [1, 2, 3]


def _text(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_what_does_not_fit_into_the_queue_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "QUEUE", 0)
    journal = Journal(tmp_path, Written())
    journal.append([line(1), line(2)])
    assert journal.dropped == 2
    journal.close()
