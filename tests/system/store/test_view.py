"""The view on real databases: all that the journal has, once, whatever happens to database, journal and root."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor_tree.store import journal as room
from supervisor_tree.store.journal import Journal
from supervisor_tree.store.segments import segment_files
from supervisor_tree.store.view import view as following
from supervisor_tree.store.view.view import Target, View
from tests.support.tree import REPOSITORY
from tests.support.waiting import PATIENCE, eventually
from tests.system.store.conftest import Database
from tests.unit.store.writing import Written, line, write


class Running:
    """A journal that is written and a view that follows it, as in a root."""

    def __init__(self, folder: Path, database: Database, max_age: float | None = None) -> None:
        self.folder = folder
        self.said: list[tuple[str, dict[str, Any]]] = []
        self._written = Written()
        self.journal = Journal(folder, self._told)
        self.last = self.journal.last
        self.view = View(folder, Target(database.url, str(folder), str(folder), max_age), self._say)

    def _told(self, seq: int) -> None:
        self._written(seq)
        if hasattr(self, "view"):
            self.view.written()

    def _say(self, kind: str, **fields: Any) -> None:
        self.said.append((kind, fields))

    def add(self, count: int, **fields: Any) -> None:
        """So many lines more; returns when they are on the disk."""
        lines = [line(self.last + n, **fields) for n in range(1, count + 1)]
        self.last += count
        self.journal.append(lines)
        self._written.wait(self.last)

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.said]

    def close(self) -> None:
        self.journal.close()
        self.view.close(10)


Run = Callable[..., Running]


@pytest.fixture
def run(tmp_path: Path, database: Database) -> Iterator[Run]:
    running: list[Running] = []

    def begin(max_age: float | None = None) -> Running:
        running.append(Running(tmp_path / "journal", database, max_age))
        return running[-1]

    yield begin
    for one in running:
        one.close()


def test_every_line_is_a_row_once(run: Run, database: Database) -> None:
    one = run()
    one.add(3, name="web", event="child_started")
    eventually(lambda: database.ours() == [1, 2, 3], "the first are there at once")
    one.add(2500)
    eventually(lambda: database.ours() == list(range(1, 2504)), "all are there")
    one.close()
    other = run()
    other.add(10)
    eventually(lambda: database.ours() == list(range(1, 2514)), "a new root goes on")
    ((kind, data, severity),) = database.execute(
        "SELECT event_type, event_data->>'name', severity FROM system_events WHERE event_data->>'seq' = '2'"
        if database.server
        else "SELECT event_type, event_data->>'name', severity FROM system_events WHERE event_data->>'seq' = 2"
    )
    assert (kind, data, severity) == ("child_started", "web", "info")
    assert one.said == other.said == []


def test_the_end_of_a_tree_is_there_when_it_has_ended(run: Run, database: Database) -> None:
    one = run()
    one.add(5)
    one.close()
    assert database.ours() == [1, 2, 3, 4, 5]


def test_locked_for_long(run: Run, database: Database) -> None:
    """It is said once; what the journal has by then is caught up with, once."""
    one = run()
    one.add(5)
    eventually(lambda: len(database.ours()) == 5, "the first are there")
    with database.locked():
        for _ in range(10):
            one.add(150)
        eventually(one.kinds, "it is said")
        one.add(10)
        eventually(lambda: one.view.busy is None, "it has been tried again", 20)
        assert one.kinds() == ["view_behind"]
        assert "lock" in one.said[0][1]["reason"]
        assert one.view.behind is not None
    eventually(lambda: database.ours() == list(range(1, 1516)), "all are there", 20)
    eventually(lambda: one.kinds() == ["view_behind", "view_caught_up"], "that is said, too")
    assert one.view.behind is None


def test_a_journal_that_never_rests_is_caught_up_with(run: Run, database: Database) -> None:
    one = run()
    over = threading.Event()

    def talk() -> None:
        while not over.wait(0.02):
            one.add(1)

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        eventually(database.ours, "lines come")
        one.view.fall_behind("the database was down")
        eventually(lambda: one.kinds() == ["view_behind", "view_caught_up"], "it is said while more comes")
    finally:
        over.set()
        talker.join()


def test_down_from_the_start_and_in_between(run: Run, database: Database, tmp_path: Path) -> None:
    @contextlib.contextmanager
    def down() -> Iterator[None]:
        if database.server is not None:
            database.server.stop()
            yield
            database.server.start()
            return
        # A place that is not there for a while, as a disk that is not mounted.
        file = Path(database.file)
        aside = file.with_name("aside")
        if file.exists():
            file.rename(aside)
        file.mkdir()
        yield
        file.rmdir()
        if aside.exists():
            aside.rename(file)

    with down():
        one = run()
        one.add(5)
        eventually(lambda: one.kinds() == ["view_behind"], "it is said")
    eventually(lambda: database.ours() == [1, 2, 3, 4, 5], "all are there", 20)
    eventually(lambda: one.kinds() == ["view_behind", "view_caught_up"], "and it is said")
    with down():
        one.add(5)
        eventually(lambda: len(one.said) == 3, "it is said again")
    eventually(lambda: database.ours() == list(range(1, 11)), "all are there", 20)
    eventually(lambda: one.kinds() == ["view_behind", "view_caught_up"] * 2, "and it is said")


@pytest.mark.parametrize("dropped", ["system_events", "job_heartbeats", "all"])
def test_dropped_it_is_made_anew(run: Run, database: Database, dropped: str) -> None:
    one = run()
    one.add(20)
    one.add(1, event="run_ended", name="job", run={"state": "failed", "exit": 3})
    eventually(lambda: len(database.ours()) == 21, "all are there")
    database.execute("INSERT INTO system_events (event_type, event_data) VALUES ('POST_SUCCESS', '{}')")
    tables = ["system_events", "job_heartbeats", "supervisor_tree_batches"]
    for table in tables if dropped == "all" else [dropped]:
        database.execute(f"DROP TABLE {table}")
    one.add(1, event="run_ended", name="job", run={"state": "failed", "exit": 3})
    eventually(lambda: sorted(database.ours()) == list(range(1, 23)), "all are there again, once", 20)
    eventually(lambda: database.has("job_heartbeats"), "and the other table")
    beats = "SELECT job_name, last_run_status, consecutive_failures FROM job_heartbeats"
    eventually(lambda: database.execute(beats) == [("job", "ERROR", 2)], lambda: str(database.execute(beats)))
    others = database.execute("SELECT count(*) FROM system_events WHERE event_type = 'POST_SUCCESS'")
    assert others == [(int(dropped == "job_heartbeats"),)]


def test_the_file_removed_under_it(run: Run, database: Database) -> None:
    if database.server is not None:
        pytest.skip("of a file only")
    one = run()
    one.add(20)
    eventually(lambda: len(database.ours()) == 20, "all are there")
    os.unlink(database.file)
    one.add(1)
    eventually(lambda: database.ours() == list(range(1, 22)), "all are there again", 20)


def test_rows_of_others_are_never_touched_nor_met(run: Run, database: Database) -> None:
    """The user's own scripts write there, too, and choose no id."""
    one = run()
    for _ in range(5):
        one.add(30)
        last = one.last
        eventually(lambda: last in database.ours(), "our rows come")  # noqa: B023
        database.execute("INSERT INTO system_events (event_type, event_data) VALUES ('POST_SUCCESS', '{\"n\": 1}')")
        if last == 30:
            database.execute("INSERT INTO job_heartbeats (job_name, last_run_status) VALUES ('theirs', 'ok')")
        database.execute("UPDATE job_heartbeats SET consecutive_failures = 7 WHERE job_name = 'theirs'")
    ((rows, ids, created),) = database.execute(
        "SELECT count(*), count(DISTINCT id), count(created_at) FROM system_events"
    )
    assert (rows, ids, created) == (155, 155, 155)
    found = database.execute("SELECT created_at FROM system_events WHERE event_type = 'POST_SUCCESS'")
    assert len(found) == 5
    one.view.replace(Target(database.url, str(one.folder), str(one.folder), 1.0))
    eventually(lambda: database.ours() == [], "ours are too old", 20)
    assert database.execute("SELECT count(*) FROM system_events") == [(5,)]
    assert database.execute("SELECT job_name, consecutive_failures FROM job_heartbeats") == [("theirs", 7)]


def test_what_is_too_old_goes_and_never_comes(run: Run, database: Database) -> None:
    now = time.time()
    old = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now - 10_000))
    new = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now))
    one = run()
    one.add(120, time=old)
    one.add(1, time=old, event="run_ended", name="job", run={"state": "succeeded"})
    eventually(lambda: len(database.ours()) == 121, "all are there")
    one.add(30, time=new)
    eventually(lambda: len(database.ours()) == 151, "all are there")
    one.view.replace(Target(database.url, str(one.folder), str(one.folder), 5000.0))
    eventually(lambda: database.ours() == list(range(122, 152)), "the old ones are gone", 20)
    database.execute("DROP TABLE system_events")
    one.add(1, time=new)
    eventually(lambda: database.ours() == list(range(122, 153)), "made anew without them", 20)
    # A heartbeat is the state of now, however old.
    assert len(database.execute("SELECT 1 FROM job_heartbeats WHERE last_success IS NOT NULL")) == 1


def test_a_journal_that_has_lost_its_end(run: Run, database: Database) -> None:
    """A power cut: the database has what the journal's disk has not. What comes takes the lost numbers."""
    one = run()
    one.add(10)
    eventually(lambda: len(database.ours()) == 10, "all are there")
    one.add(10)
    eventually(lambda: len(database.ours()) == 20, "all are there")
    one.close()
    (segment,) = segment_files(one.folder)
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:14]))
    other = run()
    assert other.last == 14
    other.add(8, event="after")
    eventually(lambda: database.ours() == [*range(1, 21), *range(15, 23)], "what is new is there, what was stays")
    other.close()
    third = run()
    third.add(1)
    eventually(lambda: database.ours() == [*range(1, 21), *range(15, 24)], "and so on")


def test_a_journal_that_was_removed(run: Run, database: Database) -> None:
    one = run()
    one.add(10)
    eventually(lambda: len(database.ours()) == 10, "all are there")
    one.close()
    for file in one.folder.iterdir():
        file.unlink()
    other = run()
    other.add(3)
    eventually(lambda: database.ours() == [*range(1, 11), 1, 2, 3], "the new one's are there")


def test_a_journal_removed_under_it(run: Run, database: Database) -> None:
    """What came before is gone from the journal only; what comes is there once, for the next root, too."""
    one = run()
    one.add(10)
    eventually(lambda: len(database.ours()) == 10, "all are there")
    shutil.rmtree(one.folder)
    one.add(5)
    eventually(lambda: database.ours() == list(range(1, 16)), "what comes is there")
    one.close()
    other = run()
    other.add(2)
    eventually(lambda: database.ours() == list(range(1, 18)), "once")


def test_lines_that_retention_took_first(run: Run, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too long down: what is gone is gone, the rest comes."""
    monkeypatch.setattr(room, "SEGMENT", 1000)
    monkeypatch.setattr(following, "_AGAIN", (4.0,))  # so that it has read nothing anew when the lines go
    one = run()
    one.add(5)
    eventually(lambda: len(database.ours()) == 5, "all are there")
    with database.locked():
        for _ in range(40):
            one.add(3)
        eventually(one.kinds, "it is said")
        for file in segment_files(one.folder)[:-3]:
            file.unlink()
        first = int(segment_files(one.folder)[0].stem)
    eventually(lambda: database.ours() == [*range(1, 6), *range(first, 126)], "the rest is there", 20)


def test_a_damaged_journal(run: Run, database: Database) -> None:
    one = run()
    one.add(50)
    one.close()
    (segment,) = segment_files(one.folder)
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[20] = bytes(len(lines[20]) - 1) + b"\n"
    segment.write_bytes(b"".join(lines))
    for table in ("system_events", "job_heartbeats", "supervisor_tree_batches"):
        if database.has(table):
            database.execute(f"DROP TABLE {table}")
    other = run()
    other.add(1)
    eventually(lambda: database.ours() == [*range(1, 21), *range(22, 52)], "all but the damaged one")


def test_a_table_of_an_older_form_is_said_and_left_alone(run: Run, database: Database) -> None:
    database.execute("CREATE TABLE system_events (id INTEGER, event_type TEXT, event_data TEXT)")
    one = run()
    one.add(1)
    eventually(one.kinds, "it is said")
    assert "system_events has no column severity, created_at" in one.said[0][1]["reason"]
    assert database.execute("SELECT * FROM system_events") == []
    assert not database.has("job_heartbeats")
    database.execute("ALTER TABLE system_events ADD COLUMN severity TEXT")
    database.execute("ALTER TABLE system_events ADD COLUMN created_at TEXT")
    eventually(lambda: "view_caught_up" in one.kinds(), "mended, it goes on", 20)
    assert database.execute("SELECT count(*) FROM system_events") == [(1,)]


def test_a_table_that_somebody_else_has_made(run: Run, database: Database) -> None:
    """As xBOT has it: another kind of id, columns of its own."""
    if database.server is None:
        pytest.skip("uuid is PostgreSQL's")
    database.execute(
        "CREATE TABLE system_events (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), event_type text NOT NULL, "
        "event_data jsonb, severity text CHECK (severity IN ('info', 'warning', 'error', 'critical')), "
        "component text, message text, created_at timestamptz DEFAULT now())"
    )
    one = run()
    one.add(10)
    eventually(lambda: sorted(database.ours()) == list(range(1, 11)), "all are there")
    database.execute("DROP TABLE job_heartbeats")
    one.add(1)
    eventually(lambda: sorted(database.ours()) == list(range(1, 12)), "and again", 20)


def test_what_a_database_can_not_hold(run: Run, database: Database) -> None:
    one = run()
    one.add(1, said="a\0b \ud83d\ude00")
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    one.add(1, deep=deep, big=10**400)
    one.add(1)
    eventually(lambda: len(database.ours()) == 3, "nothing stands in the way", 20)
    assert one.said == []


def test_two_trees_in_one_database(tmp_path: Path, database: Database) -> None:
    both = [Running(tmp_path / name, database) for name in ("one", "other")]
    for _ in range(5):
        for one in both:
            one.add(20)
    for one in both:
        one.close()
    assert sorted(database.ours()) == sorted([*range(1, 101), *range(1, 101)])
    assert all("view_caught_up" in one.kinds() or not one.said for one in both)


def test_another_database_from_now_on(run: Run, database: Database, tmp_path: Path) -> None:
    one = run()
    one.add(5)
    eventually(lambda: len(database.ours()) == 5, "all are there")
    other = Database(f"sqlite:///{tmp_path}/other.db", None)
    one.view.replace(Target(other.url, str(one.folder), str(one.folder), None))
    one.add(5)
    eventually(lambda: other.ours() == list(range(1, 11)), "the other one has all")
    assert len(database.ours()) == 5


LINES = 1500
FOLLOW = """
import sys, threading
from pathlib import Path
from supervisor_tree.store.view import view as room
from supervisor_tree.store.view.view import Target, View
room._MOST = 50  # many transactions
folder, url = Path(sys.argv[1]), sys.argv[2]
view = View(folder, Target(url, str(folder), str(folder), None), lambda *_, **__: None)
print("begun", flush=True)
for line in sys.stdin:
    view.written()
"""


def test_killed_at_any_moment(tmp_path: Path, database: Database) -> None:
    """A new root goes on where the one before was killed: while the server is still busy with its last words, too."""
    folder = tmp_path / "journal"
    write(folder, [line(n, said="x" * 200) for n in range(1, LINES + 1)])
    pause = threading.Event()
    lives = 0
    while len(database.ours() if lives else ()) < LINES:
        lives += 1
        process = subprocess.Popen(
            [sys.executable, "-c", FOLLOW, str(folder), database.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
        )
        assert process.stdout is not None
        select.select([process.stdout], [], [], PATIENCE)
        # From none that could write all of it to one that comes to something on any machine.
        pause.wait(0.03 * 1.15**lives)
        process.kill()
        process.communicate()
        assert lives < 60
    assert database.ours() == list(range(1, LINES + 1))
    assert lives > 2
    rows = database.execute("SELECT lines FROM supervisor_tree_batches ORDER BY id")
    assert [seq for (lines,) in rows for seq, *_ in json.loads(lines)] == list(range(1, LINES + 1))


def test_the_trees_own_file_that_is_no_database_any_more(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    write(folder, [line(n) for n in range(1, 11)])
    file = tmp_path / "events.db"
    file.write_bytes(b"rubbish" * 1000)
    said: list[str] = []
    view = View(folder, Target(None, str(tmp_path), str(tmp_path), None), lambda kind, **fields: said.append(kind))
    database = Database(f"sqlite:///{file}", None)
    eventually(lambda: said == ["view_behind", "view_made_anew", "view_caught_up"], lambda: str(said))
    assert database.ours() == list(range(1, 11))
    (kept,) = tmp_path.glob("events.db.corrupt-*")
    assert kept.read_bytes() == b"rubbish" * 1000
    view.close(PATIENCE)
