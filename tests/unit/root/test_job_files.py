"""`runs.jsonl`: torn lines, the newest that stay, logs of runs that are forgotten."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from supervisor_tree.root.jobs import files
from supervisor_tree.root.jobs.files import JobFiles


def _files(state_dir: Path) -> JobFiles:
    shell = SimpleNamespace(plan=SimpleNamespace(state_dir=str(state_dir)), loop=None)
    return JobFiles(cast("Any", shell))


def _add(written: JobFiles, own: Path, run: str) -> None:
    written._append(str(own), [json.dumps({"run": run}).encode() + b"\n"])


def test_a_torn_line_swallows_no_other_and_each_run_is_read_once(tmp_path: Path) -> None:
    own = tmp_path / "jobs" / "a"
    written = _files(tmp_path)
    _add(written, own, "1")
    with (own / "runs.jsonl").open("a") as file:
        file.write('{"run": "2", "sta')
    _add(written, own, "3")
    _add(written, own, "1")  # written again by the next root
    (own / "runs.jsonl").open("a").close()
    assert [run["run"] for run in files.read_backwards(str(tmp_path), "a")] == ["1", "3"]
    assert list(files.read_backwards(str(tmp_path), "b")) == []


def test_the_newest_runs_stay_with_their_logs(tmp_path: Path) -> None:
    own = tmp_path / "jobs" / "a"
    own.mkdir(parents=True)
    written = _files(tmp_path)
    count = 2 * files.KEPT + 1
    for number in range(count):
        for end in (".log", ".log.idx"):
            log = own / f"{number:05}{end}"
            log.write_text("x")
            os.utime(log, (1000 + number, 1000 + number))
        _add(written, own, f"{number:05}")
    (own / "99999.log").write_text("of a run that goes on")
    (own / "last_run_status.json").write_text("{}")
    kept = [f"{number:05}" for number in range(count - files.KEPT, count)]
    assert [run["run"] for run in files.read_backwards(str(tmp_path), "a")] == kept[::-1]
    logs = sorted(path.name for path in own.glob("*.log"))
    assert logs == [*(f"{run}.log" for run in kept), "99999.log"]
    assert len(list(own.glob("*.idx"))) == files.KEPT
    assert (own / "last_run_status.json").exists()


def test_a_disk_that_takes_nothing_for_long_costs_no_more_than_what_would_stay_on_it(tmp_path: Path) -> None:
    written = _files(tmp_path)
    cast("Any", written)._writer = SimpleNamespace(put=lambda *_: None)
    done: list[int] = []
    count = 2 * files.KEPT + 5
    for number in range(count):
        written.append("a", {"run": str(number)}, lambda number=number: done.append(number))  # type: ignore[misc]
    own = files.folder(str(tmp_path), "a")
    assert done == [0, 1, 2, 3, 4]  # their state is let go of
    assert len(written._ended[own]) == 2 * files.KEPT
    written._appended(own, count - 1)  # one more ended while these were written
    assert done == list(range(count - 1))
    assert len(written._ended[own]) == 1
