"""`[retention]` of a real tree: at its start, and when the tree file was read anew."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.conftest import MakeTree
from tests.support.waiting import eventually

TEXT = """
    [workers.good]
    command = "sleep 1000"
    [retention.models]
    files = "models/*.bin"
    max_age = "7d"
    keep = 3
"""


def make(file: Path, days: float) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"x" * 1000)
    at = time.time() - days * 86400
    os.utime(file, (at, at))


def test_old_files_go_when_the_tree_starts_and_when_the_file_was_read_anew(tree: MakeTree) -> None:
    t = tree(TEXT, start=False)
    for days in (1, 8, 9, 10, 11, 12):
        make(t.dir / "models" / f"{days}.bin", days)
    make(t.dir / "exports" / "old.parquet", 40)
    t.start()
    (line,) = eventually(lambda: t.events("files_removed", "models"))
    assert (line["count"], line["bytes"], line["in_use"]) == (3, 3000, 0)
    assert sorted(file.name for file in (t.dir / "models").iterdir()) == ["1.bin", "8.bin", "9.bin"]
    assert "models: 3 old files removed (3 kB)" in t.ctl("events", "--type", "files_removed")
    assert t.child("good")["restarts"] == 0
    t.write(TEXT + '    [retention.exports]\n    files = "exports/*.parquet"\n    max_age = "30d"\n')
    t.ctl("reload")
    (line,) = eventually(lambda: t.events("files_removed", "exports"))
    assert line["files"] == [str(t.dir / "exports" / "old.parquet")]
    assert len(t.events("files_removed")) == 2  # nothing to remove is nothing to tell


def test_a_table_that_would_remove_everything_is_refused(tree: MakeTree) -> None:
    t = tree(TEXT.replace('max_age = "7d"', "").replace("keep = 3", ""), start=False)
    t.cli("check", status=2)
