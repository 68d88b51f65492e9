"""The journal: nothing lost, nothing doubled, nothing torn."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor_tree.store import journal as room
from supervisor_tree.store.journal import Journal, read_backwards, segment_files


class Written:
    """Waits for the writer's thread by its own word."""

    def __init__(self) -> None:
        self.seq = 0
        self._condition = threading.Condition()

    def __call__(self, seq: int) -> None:
        with self._condition:
            self.seq = seq
            self._condition.notify_all()

    def wait(self, seq: int) -> None:
        with self._condition:
            assert self._condition.wait_for(lambda: self.seq >= seq, timeout=10)


def line(seq: int, **fields: object) -> tuple[int, bytes]:
    return seq, json.dumps({"seq": seq, "event": "x", "name": None, "time": "", **fields}).encode()


def numbers(folder: Path) -> list[int]:
    return [json.loads(raw)["seq"] for raw in read_backwards(folder)][::-1]


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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(min_value=0, max_value=2000))
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
    complete = kept.count(b"\n")
    again = Journal(folder, Written())
    assert again.last == complete
    again.append([line(complete + 1)])
    again.close()
    assert numbers(folder) == list(range(1, complete + 2))


def test_a_damaged_last_line_is_kept_aside_and_does_not_stop_the_count(tmp_path: Path) -> None:
    journal = Journal(tmp_path, Written())
    journal.append([line(1), line(2)])
    journal.close()
    (file,) = segment_files(tmp_path)
    with file.open("ab") as damaged:
        damaged.write(b"\x00\x00garbage\n")
    assert Journal(tmp_path, Written()).last == 2
    assert b"garbage" in (tmp_path / "quarantine.jsonl").read_bytes()


def test_what_does_not_fit_into_the_queue_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "QUEUE", 0)
    journal = Journal(tmp_path, Written())
    journal.append([line(1), line(2)])
    assert journal.dropped == 2
    journal.close()
