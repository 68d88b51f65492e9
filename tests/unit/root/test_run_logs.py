"""Which bytes of which files are a run's."""

from __future__ import annotations

from pathlib import Path

from supervisor_tree.config.tree_kinds import LogSettings
from supervisor_tree.root.jobs import run_logs
from supervisor_tree.root.outputs.runs import read_output


def test_what_was_there_before_an_attempt_is_not_its_own(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text("old\n")
    marks = run_logs.marks(LogSettings(file=str(file), stderr=str(tmp_path / "err.log")))
    with file.open("a") as log:
        log.write("new\n")
    (tmp_path / "err.log").write_text("wrong\n")
    assert read_output(run_logs.output(marks)) == "new\nwrong\n"


def test_of_a_file_that_was_rotated_meanwhile_the_parts_are_found(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text("old\n")
    marks = run_logs.marks(LogSettings(file=str(file)))
    with file.open("a") as log:
        log.write("one\n")
    file.rename(tmp_path / "a.log.1")
    file.write_text("two\n")
    (tmp_path / "a.log.1").rename(tmp_path / "a.log.2")
    file.rename(tmp_path / "a.log.1")
    file.write_text("three\n")
    assert read_output(run_logs.output(marks)) == "one\ntwo\nthree\n"
    # Where its begin is gone already, all that is left is younger.
    (tmp_path / "a.log.2").unlink()
    assert read_output(run_logs.output(marks)) == "two\nthree\n"


def test_the_tail_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text("".join(f"line {number}\n" for number in range(100)) + "x" * 5000 + "\n")
    tail = run_logs.tail(run_logs.output([run_logs.Mark(str(file))]))
    assert (len(tail), tail[0], len(tail[-1])) == (20, "line 81", 1000)
    assert run_logs.tail(run_logs.output([run_logs.Mark(str(tmp_path / "none"))])) == []
