"""Whatever happens to a journal's bytes: what is read is what was written, and the rest is told of with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from supervisor_tree.store import journal as room
from supervisor_tree.store.checking import check, keep_aside, known
from supervisor_tree.store.journal import Journal
from supervisor_tree.store.segments import Reader, read_backwards, segment_files
from tests.unit.store.writing import Written, line, numbers, write

LINES = [line(n, name=f"w{n}", said="a" * (n % 50)) for n in range(1, 121)]
TEXT = dict(LINES)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal of several segments."""
    monkeypatch.setattr(room, "SEGMENT", 4000)
    journal = Journal(tmp_path, written := Written())
    for at in range(0, len(LINES), 10):
        journal.append(LINES[at : at + 10])
        written.wait(LINES[at + 9][0])
    journal.close()
    assert len(segment_files(tmp_path)) >= 3
    return tmp_path


flips = st.tuples(st.just("flip"), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
blocks = st.tuples(st.just("zero"), st.floats(0, 1, exclude_max=True), st.integers(1, 700))
inserts = st.tuples(st.just("insert"), st.floats(0, 1, exclude_max=True), st.integers(1, 90))
cuts = st.tuples(st.just("cut"), st.floats(0, 1, exclude_max=True), st.integers(1, 700))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hurts=st.lists(st.tuples(st.integers(0, 10), st.one_of(flips, blocks, inserts, cuts)), min_size=1, max_size=4))
@example(hurts=[(8, ("flip", 0.9999999999999998, 1))])  # the last line end: its line is whole
def test_what_is_read_is_what_was_written(folder: Path, hurts: list[tuple[int, tuple[str, float, int]]]) -> None:
    files = segment_files(folder)
    before = {file: file.read_bytes() for file in files}
    touched = set()
    try:
        for which, (kind, where, much) in hurts:
            file = files[which % len(files)]
            data = bytearray(file.read_bytes())
            if not data:
                continue
            at = int(where * len(data))
            if kind == "flip":
                data[at] ^= much
            elif kind == "zero":
                data[at : at + much] = bytes(len(data[at : at + much]))
            elif kind == "insert":
                data[at:at] = (b'{"seq":7}\n' * 9)[:much]
            else:
                del data[at : at + much]
            file.write_bytes(data)
            touched.add(file)
        backwards = list(read_backwards(folder))[::-1]
        # Nothing that was not written, nothing twice, nothing out of order.
        found = [json.loads(raw)["seq"] for raw in backwards]
        assert [TEXT[seq] for seq in found] == backwards
        assert found == sorted(set(found))
        # Forwards the same.
        reader = Reader(folder)
        reader.seek(0)
        forwards = [one for part in iter(lambda: reader.read(7), []) for one in part]
        reader.close()
        assert [(one.seq, one.line) for one in forwards] == list(zip(found, backwards, strict=True))
        # What is missing was hit: every other line is there.
        damage = list(check(folder))
        torn = not files[-1].read_bytes().endswith(b"\n")  # told of when it is opened
        for seq in set(TEXT) - set(found):
            assert any(one.after < seq < (one.before or 10**9) for one in damage) or any(
                _lost_without_a_trace(file, before[file], seq) or (torn and file == files[-1] and seq > max(found))
                for file in touched
            )
        untouched = {
            json.loads(raw)["seq"] for file in files if file not in touched for raw in before[file].splitlines()
        }
        assert untouched <= set(found)
    finally:
        for file, whole_file in before.items():
            file.write_bytes(whole_file)


def _lost_without_a_trace(file: Path, before: bytes, seq: int) -> bool:
    """Cut out with its ends, or at the end of the file: there is nothing to be seen."""
    return TEXT[seq][:-1] in before and TEXT[seq][:-1] not in file.read_bytes()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 3000), flip=st.integers(0, 2000), bit=st.integers(0, 7))
def test_it_is_opened_and_goes_on(folder: Path, cut: int, flip: int, bit: int) -> None:
    """Torn at any byte and damaged before that: numbers go on, and nothing that is whole is lost."""
    files = segment_files(folder)
    before = {file: file.read_bytes() for file in files}
    try:
        newest = files[-1]
        data = bytearray(before[newest][: max(0, len(before[newest]) - cut)])
        if flip < len(data):
            data[flip] ^= 1 << bit
        newest.write_bytes(data)
        whole = numbers(folder)
        journal = Journal(folder, written := Written())
        assert journal.last >= max(whole, default=0)
        new = line(journal.last + 1)
        journal.append([new])
        written.wait(new[0])
        journal.close()
        assert numbers(folder) == [*whole, new[0]]
    finally:
        for file in segment_files(folder):
            file.unlink()
        for file, whole_file in before.items():
            file.write_bytes(whole_file)


def test_damage_is_told_with_its_place_and_its_loss(folder: Path) -> None:
    first, second, *_ = segment_files(folder)
    data = bytearray(first.read_bytes())
    ends = [at for at, byte in enumerate(data) if byte == 10]
    data[ends[4] + 10] ^= 1  # line 6
    data[ends[5] + 10] ^= 1  # line 7
    data[ends[9] + 1] ^= 1  # line 11
    first.write_bytes(data)
    one, other = check(folder)
    assert (one.segment, one.offset, one.length) == (first.name, ends[4] + 1, ends[6] - ends[4])
    assert (one.after, one.before, one.lost) == (5, 8, 2)
    assert (other.after, other.before, other.lost) == (10, 12, 1)
    keep_aside(folder, one)
    assert list(known(folder)) == [(first.name, ends[4] + 1)]
    assert '"w6"' in known(folder)[first.name, ends[4] + 1].text
    assert int(second.stem) - 1 in numbers(folder)


def test_the_end_of_a_segment_that_is_lost_shows_in_the_next_ones_name(folder: Path) -> None:
    first, second, *_ = segment_files(folder)
    data = bytearray(first.read_bytes())
    data[-5:] = b"zzzz\n"
    first.write_bytes(data)
    (damage,) = check(folder)
    assert damage.before == int(second.stem)
    assert damage.lost == 1


def test_a_line_whose_end_was_hit_is_not_lost_nor_is_the_next(folder: Path) -> None:
    first = segment_files(folder)[0]
    data = bytearray(first.read_bytes())
    data[data.index(b"\n")] = ord("x")
    first.write_bytes(data)
    assert numbers(folder) == list(range(1, 121))
    (damage,) = check(folder)
    assert (damage.length, damage.lost) == (1, 0)


def test_a_segment_of_rubbish_costs_one_word(folder: Path) -> None:
    first = segment_files(folder)[0]
    first.write_bytes(bytes(3 * 1024 * 1024) + b"\n\n{}\n" + b"\xff" * 1000 + b"\n")
    (damage,) = check(folder)
    assert damage.lost == damage.before - 1 if damage.before else False
    assert numbers(folder)[0] == damage.before


def test_many_places_are_told_of_together(tmp_path: Path) -> None:
    write(tmp_path, [line(n) for n in range(1, 1001)])
    (file,) = segment_files(tmp_path)
    pieces = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join(piece if n % 3 else b"?" + piece[1:] for n, piece in enumerate(pieces[:-1])) + b"\n")
    damage = list(check(tmp_path))
    assert len(damage) == 101
    assert sum(one.places for one in damage) == 334
    assert len(numbers(tmp_path)) == 666


def test_a_reader_goes_on_over_segments_while_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SEGMENT", 1000)
    reader = Reader(tmp_path)
    reader.seek(0)
    assert reader.read(10) == []
    journal = Journal(tmp_path, written := Written())
    found: list[int] = []
    for n in range(1, 100, 3):
        journal.append([line(n), line(n + 1), line(n + 2)])
        written.wait(n + 2)
        found += [one.seq for one in reader.read(2)]
    while more := reader.read(2):
        found += [one.seq for one in more]
    journal.close()
    assert found == list(range(1, 100))
    reader.seek(50)
    assert [one.seq for one in reader.read(3)] == [51, 52, 53]
    for file in segment_files(tmp_path)[:-2]:
        file.unlink()  # retention
    reader.seek(60)
    rest = [one.seq for one in reader.read(1000)]
    assert rest == list(range(int(segment_files(tmp_path)[0].stem), 100))
    reader.close()
