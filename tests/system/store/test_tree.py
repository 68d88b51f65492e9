"""Real trees and their view: whatever the database does, supervision goes on, and in the end all is there once."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually
from tests.system.store.conftest import Database

ONE = """
    [workers.a]
    command = "sleep 1000"
    backoff = "0s"
"""


def stored(t: Tree) -> list[int]:
    return Database(f"sqlite:///{t.state_dir}/events.db", None).ours()


def whole(t: Tree, rows: list[int]) -> None:
    """Each line of the journal is there once."""
    numbers = [line["seq"] for line in t.journal()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert rows == numbers


def restart(t: Tree, restarts: int) -> None:
    t.wait("a")
    t.kill(t.pids()["a"])
    t.wait_until("a", state="running", restarts=restarts)


def test_all_of_a_trees_life(tree: MakeTree) -> None:
    """By itself, without a word in the tree file: SQLite beside the journal."""
    t = tree(ONE)
    t.wait("a")
    assert t.status()["view"] is None
    assert t.status()["journal"] is None
    assert t.stop() == 0
    whole(t, stored(t))
    t.start()
    t.wait("a")
    assert t.stop() == 0
    whole(t, stored(t))
    with contextlib.closing(sqlite3.connect(t.state_dir / "events.db")) as connection:
        kinds = connection.execute(
            "SELECT event_type, severity FROM system_events WHERE event_data->>'name' = 'a' ORDER BY id"
        ).fetchall()
    assert ("child_started", "info") in kinds
    assert (t.state_dir / "events.db").stat().st_mode & 0o777 == 0o600


def test_a_tree_that_is_over_at_once(tree: MakeTree) -> None:
    t = tree(
        """
        [tree]
        auto_shutdown = "any_significant"
        [workers.app]
        command = "true"
        restart = "temporary"
        significant = true
        """,
        start=False,
    )
    t.start(wait=False)
    assert t.wait_end() == 0
    whole(t, stored(t))
    assert t.journal()[-1]["event"] == "tree_ended"


def test_locked_and_killed(tree: MakeTree, database: Database) -> None:
    """Somebody holds the database, roots die meanwhile: nobody waits, and in the end all is there once."""
    t = tree(f'{ONE}\n    [store]\n    url = "{database.url}"\n')
    t.wait("a")
    eventually(database.ours, "the view is there")
    with database.locked():
        restart(t, 1)
        behind = eventually(lambda: t.events("view_behind"), "it is said")
        assert "lock" in behind[0]["reason"]
        assert "view behind" in t.ctl("status")
        assert "behind" in t.status()["view"]
        for restarts in (2, 3):
            root = t.root_pid()
            t.kill(root)
            t.wait_new_root(root)
            restart(t, restarts)
        assert "view_behind" in t.ctl("events", "--json")
    eventually(lambda: t.events("view_caught_up"), "it has caught up", 20)
    assert t.status()["view"] is None
    for _ in range(3):
        root = t.root_pid()
        t.kill(root)
        t.wait_new_root(root)
    last = t.events()[-1]["seq"]
    eventually(lambda: last in database.ours(), "the last root's view follows")
    assert t.stop() == 0
    whole(t, database.ours())
    assert not t.journal("internal_error")


def test_the_end_of_a_tree_waits_for_no_database(tree: MakeTree, database: Database) -> None:
    t = tree(f'{ONE}\n    [store]\n    url = "{database.url}"\n')
    eventually(database.ours, "the view is there")
    with database.locked():
        restart(t, 1)
        assert t.stop() == 0
    t.start()
    last = t.events("tree_started")[-1]["seq"]
    eventually(lambda: last in database.ours(), "the next life catches up")
    assert t.stop() == 0
    whole(t, database.ours())


def test_a_database_that_is_not_there(tree: MakeTree) -> None:
    """A password is never shown."""
    t = tree(f'{ONE}\n    [store]\n    url = "postgresql://me:secret@127.0.0.1:9/db"\n')
    restart(t, 1)
    (behind,) = eventually(lambda: t.events("view_behind"), "it is said")
    assert behind["database"] == "postgresql://me@127.0.0.1:9/db"
    restart(t, 2)
    assert "postgresql://me@127.0.0.1:9/db" in t.ctl("events")
    assert len(t.events("view_behind")) == 1
    assert t.stop() == 0
    assert "secret" not in json.dumps(t.journal()) + t.output()


def test_another_database_by_reload(tree: MakeTree) -> None:
    t = tree(ONE)
    t.wait("a")
    t.write(f'{ONE}\n    [store]\n    url = "sqlite:///data/other.db"\n    max_age = "90d"\n')
    t.ctl("reload")
    other = Database(f"sqlite:///{t.dir}/data/other.db", None)
    eventually(lambda: Path(other.file).exists() and len(other.ours()) > 3, "the other one has all")
    assert t.stop() == 0
    whole(t, other.ours())


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.getuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], check=False).returncode
    ):
        pytest.skip("may not mount a small file system")
    yield folder
    ctypes.CDLL(None).umount2(os.fsencode(folder), 2)


@pytest.mark.linux
@pytest.mark.root
def test_its_disk_full(tree: MakeTree, small: Path) -> None:
    t = tree(f'{ONE}\n    [store]\n    url = "sqlite:///{small}/view.db"\n')
    database = Database(f"sqlite:///{small}/view.db", None)
    eventually(lambda: Path(database.file).exists() and database.ours(), "the view is there")
    filler = small / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    restarts = 0

    def said() -> bool:
        nonlocal restarts
        restarts += 1
        restart(t, restarts)
        return bool(t.events("view_behind"))

    eventually(said, "what was free in the file is full, and that is said", 20)
    assert "full" in t.events("view_behind")[0]["reason"]
    restart(t, restarts + 1)
    filler.unlink()
    eventually(lambda: t.events("view_caught_up"), "it has caught up", 20)
    assert t.stop() == 0
    whole(t, database.ours())


def test_a_damaged_journal_is_said_and_read_on(tree: MakeTree) -> None:
    """In the middle, long ago: what is behind it is read, `status` and the journal tell where it is, once."""
    t = tree(ONE)
    t.wait("a")
    assert t.stop() == 0
    (segment,) = (t.state_dir / "journal").glob("0*.jsonl")
    data = bytearray(segment.read_bytes())
    second = data.index(b"\n") + 1
    data[second + 30] ^= 4
    segment.write_bytes(data)
    t.start()
    t.wait("a")
    (damaged,) = eventually(lambda: t.events("journal_damaged"), "it is found")
    assert (damaged["file"], damaged["offset"], damaged["lost"]) == (str(segment), second, 1)
    assert "1 place damaged, 1 line lost" in t.ctl("status")
    assert "1 place damaged" in t.status()["journal"]
    numbers = [line["seq"] for line in t.events()]
    assert numbers == [1, *range(3, numbers[-1] + 1)]
    assert "the journal is damaged" in t.ctl("events")
    assert "a was started" in t.ctl("why", "a")
    assert t.stop() == 0
    t.start()
    eventually(lambda: t.status()["journal"], "it is known of")
    assert len(t.events("journal_damaged")) == 1
    (kept,) = (t.state_dir / "journal" / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(kept)["offset"] == second


def test_a_torn_end_is_said(tree: MakeTree) -> None:
    t = tree(ONE)
    t.wait("a")
    assert t.stop() == 0
    (segment,) = (t.state_dir / "journal").glob("0*.jsonl")
    segment.write_bytes(segment.read_bytes()[:-9])
    t.start()
    (damaged,) = eventually(lambda: t.events("journal_damaged"), "it is told of")
    assert damaged["torn"]
    assert "tree_ended" in (t.state_dir / "journal" / "quarantine.jsonl").read_text()


def test_a_new_root_waits_for_no_disk(tree: MakeTree) -> None:
    """The journal is out of reach while a root takes over: workers are restarted, and later all is written."""
    t = tree(ONE)
    t.wait("a")
    run_dir = t.run_dir
    before = eventually(t.journal, "it is written")[-1]["seq"]
    journal = t.state_dir / "journal"
    aside = t.state_dir / "aside"
    journal.rename(aside)
    journal.symlink_to("elsewhere")  # nothing is there, and no folder can be made
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    restart(t, 1)
    eventually(lambda: "can't be written" in (t.status()["journal"] or ""), "that is shown")
    aside.rename(t.state_dir / "elsewhere")
    eventually(lambda: t.status()["journal"] is None, "it is written again")
    assert run_dir == t.run_dir
    assert t.stop() == 0
    numbers = [line["seq"] for line in t.journal()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers[-1] > before


def test_retention_of_the_journal_in_a_running_tree(tree: MakeTree) -> None:
    t = tree(f'{ONE}\n    [store]\n    max_age = "2s"\n')
    t.wait("a")
    first = min(eventually(lambda: list((t.state_dir / "journal").glob("0*.jsonl")), "it is written"))
    restarts = 0

    def gone() -> bool:
        nonlocal restarts
        restarts += 1
        restart(t, restarts)
        return not first.exists()

    eventually(gone, "the first segment is too old", 20)
    eventually(lambda: 1 not in stored(t), "and so are its rows", 20)
    last = t.journal()[-1]["seq"]
    assert t.stop() == 0
    t.start()
    assert t.events("tree_started")[-1]["seq"] > last
    shutil.rmtree(t.state_dir / "incidents", ignore_errors=True)
