"""What a shim watches: when each watch holds, and in which words it says that it does not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor_tree.workers.shim.watches import AskedWatch, FileWatch, OutputWatch

WALL = 1_800_000_000.0
"""The wall clock when the monotonic one says 0."""

Write = Callable[[str, float], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


@pytest.fixture
def write(file: Path) -> Write:
    """``write(content, at)``: the file has this content since the moment ``at``."""

    def put(content: str, at: float) -> None:
        file.write_text(content)
        os.utime(file, (WALL + at, WALL + at))

    return put


def at(watch: FileWatch, now: float, *, jump: float = 0.0) -> str | None:
    """What the watch says at ``now``; the wall clock has jumped by ``jump`` seconds."""
    watch.look(now, WALL + now + jump)
    return watch.missing(now)


def test_a_pattern_must_have_come_once() -> None:
    watch = OutputWatch("listening on .*:80")
    assert watch.missing(0) == 'output "listening on .*:80" has not come yet'
    watch.read(["starting", "now listening on :::80"], 1)
    assert watch.missing(1000) is None
    assert watch.settled


def test_a_pattern_must_come_again_and_again() -> None:
    watch = OutputWatch(r"^cycle \d+", fresh=60)
    watch.read(["cycle 1"], 0)
    assert watch.missing(60) is None
    watch.read(["the cycle 2"], 50)
    assert watch.missing(200) == r'output "^cycle \d+" has not come for 3m 20s'
    watch.read(["cycle 3"], 201)
    assert watch.missing(202) is None
    assert not watch.settled


def test_a_file_must_be_there(file: Path, write: Write) -> None:
    watch = FileWatch(str(file))
    assert at(watch, 0) == f"{file} is not there"
    write("x", 0)
    assert at(watch, 1) is None


def test_a_file_must_not_be_there(file: Path, write: Write) -> None:
    watch = FileWatch(str(file), exists=False)
    assert at(watch, 0) is None
    write("x", 0)
    assert at(watch, 1) == f"{file} is there"


def test_a_file_must_change(file: Path, write: Write) -> None:
    watch = FileWatch(str(file), fresh=120)
    write("1", -300)
    assert at(watch, 0) == f"{file} has not changed for 5m"
    write("2", 3)
    assert at(watch, 5) is None
    assert at(watch, 123) is None
    assert at(watch, 124) == f"{file} has not changed for 2m 1s"


def test_what_was_written_before_a_moment_is_no_change(file: Path, write: Write) -> None:
    write("1", -3)
    watch = FileWatch(str(file), fresh=120, since=WALL + 1)
    assert at(watch, 2) == f"{file} has not changed since the start"
    write("2", 5)
    assert at(watch, 5) is None
    assert at(watch, 126) == f"{file} has not changed for 2m 1s"
    # Nor does a clock that is wrong, the file server's or ours, keep what is seen to happen from counting.
    write("3", -3600)
    assert at(watch, 127) is None


@pytest.mark.parametrize(("written", "counts"), [(1.495, True), (1.4, False), (0.0, True), (-1.0, False), (3.0, True)])
def test_the_times_of_files_are_coarse(file: Path, write: Write, written: float, counts: bool) -> None:
    write("1", written)
    watch = FileWatch(str(file), fresh=120, since=WALL + 1.5)
    assert (at(watch, 4) is None) is counts


def test_a_value_from_before_a_moment_must_change(file: Path, write: Write) -> None:
    write('{"n": 1}', -10)
    watch = FileWatch(str(file), key="n", changes=60, since=WALL)
    assert at(watch, 1) == f"{file}: n is 1 as before the start"
    write('{"n": 1, "at": 2}', 2)
    assert at(watch, 2) == f"{file}: n is 1 as before the start"
    write('{"n": 2}', 3)
    assert at(watch, 4) is None
    assert at(watch, 64) == f"{file}: n is 2 since 1m 1s"
    written = FileWatch(str(file), key="n", changes=60, since=WALL + 3)
    assert at(written, 5) is None
    anywhere = FileWatch(str(file), key="n", since=WALL + 10)
    assert at(anywhere, 12) is None


def test_a_wall_clock_that_jumps_makes_no_file_stale_and_none_fresh(file: Path, write: Write) -> None:
    watch = FileWatch(str(file), fresh=120)
    write("1", 0)
    assert at(watch, 0) is None
    assert at(watch, 60, jump=86400) is None
    assert at(watch, 130, jump=-86400) == f"{file} has not changed for 2m 10s"
    write("2", -86400 + 135)
    assert at(watch, 140, jump=-86400) is None


def test_a_value_must_change_not_only_the_file(file: Path, write: Write) -> None:
    watch = FileWatch(str(file), key="iter_count", changes=120)
    for second in range(0, 240, 60):
        write(json.dumps({"iter_count": 4711, "at": second}), second)
        assert at(watch, second) is None or second > 120
    assert at(watch, 180) == f"{file}: iter_count is 4711 since 3m"
    write(json.dumps({"iter_count": 4712}), 185)
    assert at(watch, 190) is None


def test_the_last_line_of_json_lines_counts(file: Path, write: Write) -> None:
    watch = FileWatch(str(file), key="event.cycle", changes=10)
    lines = [json.dumps({"event": {"cycle": number}}) for number in range(3)]
    write("\n".join(lines[:2]) + "\n", 0)
    assert at(watch, 0) is None
    write("\n".join(lines) + '\n{"event": {"cyc', 9)  # a line that is being written
    assert at(watch, 9) is None
    assert at(watch, 19) is None
    assert at(watch, 20) == f"{file}: event.cycle is 2 since 11s"


def test_a_value_must_be_there(file: Path, write: Write) -> None:
    watch = FileWatch(str(file), key="jobs[1].id")
    write('{"jobs": [{"id": 1}]}', 0)
    assert at(watch, 0) == f"{file} has no jobs[1].id"
    write('{"jobs": [{"id": 1}, {"id": null}]}', 1)
    assert at(watch, 1) is None


def test_a_file_caught_half_written_is_no_change(file: Path, write: Write) -> None:
    watch = FileWatch(str(file), key="n", changes=60)
    write('{"n": 1}', 0)
    assert at(watch, 0) is None
    write('{"n": ', 5)
    assert at(watch, 6) is None
    assert at(watch, 61) == f"{file}: n is 1 since 1m 1s"
    write('{"n": 2}', 62)
    assert at(watch, 62) is None


def test_true_is_not_one(file: Path, write: Write) -> None:
    watch = FileWatch(str(file), key="n", changes=10)
    write('{"n": 1}', 0)
    at(watch, 0)
    write('{"n": true}', 9)
    assert at(watch, 15) is None


def test_what_is_no_json_has_no_key(file: Path, write: Write) -> None:
    watch = FileWatch(str(file), key="n")
    write("hello", 0)
    assert at(watch, 0) == f"{file} has no n"
    write("[" * 200_000, 1)
    assert at(watch, 1) == f"{file} has no n"


def test_a_long_value_is_shortened(file: Path, write: Write) -> None:
    watch = FileWatch(str(file), key="n", changes=1)
    write(json.dumps({"n": "x" * 1000}), 0)
    at(watch, 0)
    said = at(watch, 5)
    assert said is not None
    assert len(said) < 120 + len(str(file))
    assert said.endswith("… since 5s")


def test_the_last_line_of_a_big_file_is_found(file: Path, write: Write) -> None:
    watch = FileWatch(str(file), key="n", changes=10)
    write('{"n": 0, "rest": "' + "x" * 3_000_000 + '"}\n{"n": 1}\n', 0)
    assert at(watch, 0) is None
    assert at(watch, 20) == f"{file}: n is 1 since 20s"


def test_an_answer_is_told_until_there_is_a_good_one() -> None:
    watch = AskedWatch("http://127.0.0.1:80/health")
    assert watch.missing(0) == "http://127.0.0.1:80/health has not been asked yet"
    watch.told("refuses connections", 1)
    assert watch.missing(1) == "http://127.0.0.1:80/health refuses connections"
    watch.told("answers 503 Service Unavailable", 30)
    assert watch.missing(31) == "http://127.0.0.1:80/health answers 503 Service Unavailable for 30s"
    watch.told(None, 40)
    assert watch.missing(1000) is None
    watch.told("does not answer", 1010)
    assert watch.missing(1010) == "http://127.0.0.1:80/health does not answer"
