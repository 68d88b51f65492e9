"""The view's tables: rows in, the position with them in one transaction.

`supervisor_tree_batches` says for each transaction which lines of the journal (number, checksum) became which rows: so
that nothing is doubled or left out when a root is killed at any moment, so that retention removes our rows and nobody
else's, and so that a journal that has lost its end (a power cut) is gone on with where both agree.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from supervisor_tree.store.databases import DatabaseError
from supervisor_tree.store.segments import Line, Reader
from supervisor_tree.store.view.connections import COLUMNS, Connection, Unstorable
from supervisor_tree.store.view.rows import Heartbeat, Row, row
from supervisor_tree.system import disk

_INSERT = "INSERT INTO system_events (event_type, event_data, severity, created_at) VALUES (?, ?, ?, ?)"
_BEAT = """UPDATE job_heartbeats SET last_run_status = ?, last_success = COALESCE(?, last_success),
last_failure = COALESCE(?, last_failure), last_error = COALESCE(?, last_error),
consecutive_failures = ? * COALESCE(consecutive_failures, 0) + ?, updated_at = ? WHERE job_name = ?"""
_FIRST_BEAT = """INSERT INTO job_heartbeats
(last_run_status, last_success, last_failure, last_error, consecutive_failures, updated_at, job_name)
VALUES (?, ?, ?, ?, ?, ?, ?)"""
Told = tuple[int, int, int | str | None, str | None]
"""What a batch says of a line: number, checksum, id of its row (None: too old for one), job whose heartbeat it was."""
_MAKING = "tables"
"""Whoever makes tables does so alone."""
_AT_ONCE = 50
"""Batches that are read, or removed, at once."""


class Tables:
    """One tree's part of a database that is connected.

    Args:
        tree: which journal it is (`identity`).

    Raises (each method, and this):
        DatabaseError: the database is down, locked, full, or has tables of these names that are something else.
    """

    def __init__(self, connection: Connection, tree: str) -> None:
        self._connection = connection
        self._tree = tree
        self._newest: int | None = None
        """Our last batch, as far as we know."""
        missing = []
        for table, wanted in COLUMNS.items():
            there = connection.columns(table)
            lacking = [name for name in wanted if name not in there]
            if not there:
                missing.append(table)
            elif lacking:
                none = ", ".join(lacking)
                raise DatabaseError(f"its table {table} has no column {none}: add it, or name another in store.url")
        if missing:
            self._make(missing)

    def _make(self, missing: list[str]) -> None:
        connection = self._connection
        self._begin(_MAKING)
        try:
            if "supervisor_tree_batches" not in missing:
                # One of the tables was dropped: all is made anew from the journal, and nothing twice.
                jobs: set[str] = set()
                for _, lines in self._batches():
                    jobs.update(job for _, _, _, job in lines if job is not None)
                    if "system_events" not in missing:
                        self._remove(lines)
                if "job_heartbeats" not in missing:
                    for job in jobs:
                        connection.change(
                            "UPDATE job_heartbeats SET consecutive_failures = 0 WHERE job_name = ?", (job,)
                        )
                connection.change("DELETE FROM supervisor_tree_batches WHERE tree = ?", (self._tree,))
            for table in missing:
                if not connection.columns(table):  # another tree may have made it meanwhile
                    connection.create(table)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise

    def position(self, reader: Reader) -> int:
        """Number of the last line of the journal that is in the view; 0: none. What came after it is to be added.

        Where the journal does not have the last line of the view (its end was lost), the newest that both have."""
        self._newest = None
        for id_, lines in self._batches():
            if self._newest is None:
                self._newest = id_
            common = _common(lines, reader)
            if common is not None:
                return common
        return 0

    def add(self, lines: list[Line], oldest: float | None) -> None:
        """Add lines in one transaction, or none. Rows older than ``oldest`` (wall clock) are left out.

        Raises:
            Moved: somebody else added, or removed, what is there: ask for the position again.
        """
        connection = self._connection
        limit = "" if oldest is None else _text(oldest)
        rows = [row(line) for line in lines]
        self._begin()
        try:
            if self._last() != self._newest:
                raise Moved
            kept = [one for one in rows if one.created_at >= limit]
            ids = iter(self._insert(kept))
            for one in rows:
                if one.heartbeat is not None:
                    self._beat(one.heartbeat)
            told: list[Told] = [
                (
                    one.seq,
                    one.crc,
                    next(ids) if one.created_at >= limit else None,
                    one.heartbeat.job_name if one.heartbeat is not None else None,
                )
                for one in rows
            ]
            (self._newest,) = connection.insert(
                "INSERT INTO supervisor_tree_batches (tree, newest, lines) VALUES (?, ?, ?)",
                [(self._tree, max(one.created_at for one in rows), json.dumps(told, separators=(",", ":")))],
            )
            connection.commit()
        except BaseException:
            connection.rollback()
            raise

    def _insert(self, rows: list[Row]) -> list[int | str]:
        if not rows:
            return []
        self._savepoint()
        try:
            return self._connection.insert(_INSERT, [_values(one) for one in rows])
        except Unstorable as error:
            self._back()
            if len(rows) == 1:
                told = json.dumps({"not_stored": str(error), "seq": rows[0].seq})
                return self._connection.insert(_INSERT, [_values(rows[0]._replace(event_data=told))])
            return [id_ for one in rows for id_ in self._insert([one])]

    def _savepoint(self) -> None:
        self._connection.execute("SAVEPOINT supervisor_tree_rows")

    def _back(self) -> None:
        self._connection.execute("ROLLBACK TO SAVEPOINT supervisor_tree_rows")

    def _beat(self, beat: Heartbeat) -> None:
        success = beat.at if beat.result == "success" else None
        failure = beat.at if beat.result == "failure" else None
        keep, more = int(beat.result != "success"), int(beat.result == "failure")
        values = (beat.status, success, failure, beat.error, keep, more, beat.at, beat.job_name)
        if not self._connection.change(_BEAT, values):
            self._connection.change(
                _FIRST_BEAT, (beat.status, success, failure, beat.error, more, beat.at, beat.job_name)
            )

    def trim(self, oldest: float) -> bool:
        """Remove some of our rows that are older than this (wall clock). Whether there are more of them."""
        connection = self._connection
        self._begin()
        try:
            last = self._last()
            found = connection.execute(
                "SELECT id, lines FROM supervisor_tree_batches WHERE tree = ? AND newest < ? ORDER BY id LIMIT ?",
                (self._tree, _text(oldest), _AT_ONCE),
            )
            for id_, lines in found:
                self._remove(json.loads(lines))
                if id_ != last:  # that one is the position
                    connection.change("DELETE FROM supervisor_tree_batches WHERE id = ?", (id_,))
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        return len(found) == _AT_ONCE

    def close(self) -> None:
        self._connection.close()

    def _begin(self, *locks: str) -> None:
        try:
            self._connection.begin(self._tree, *locks)
        except BaseException:
            self._connection.rollback()
            raise

    def _last(self) -> int | None:
        ((last,),) = self._connection.execute(
            "SELECT max(id) FROM supervisor_tree_batches WHERE tree = ?", (self._tree,)
        )
        return None if last is None else int(last)

    def _batches(self) -> Iterator[tuple[int, list[Told]]]:
        """The newest first: id and lines."""
        before = 2**62
        while True:
            found = self._connection.execute(
                "SELECT id, lines FROM supervisor_tree_batches WHERE tree = ? AND id < ? ORDER BY id DESC LIMIT ?",
                (self._tree, before, _AT_ONCE),
            )
            for id_, lines in found:
                yield id_, json.loads(lines)
            if len(found) < _AT_ONCE:
                return
            before = found[-1][0]

    def _remove(self, lines: list[Told]) -> None:
        for _, _, id_, _ in lines:
            if id_ is not None:
                self._connection.change("DELETE FROM system_events WHERE id = ?", (id_,))


class Moved(DatabaseError):
    """The position is not what it was."""


def identity(folder: Path, so_far: str | None = None) -> str:
    """Which journal this is: said in `journal/id`, written when it is not there (the one ``so_far``, or a new one).

    Raises:
        OSError: it can't be read or written.
    """
    file = folder / "id"
    try:
        said = file.read_text().strip()
        if said:
            return said
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    made = so_far or os.urandom(16).hex()
    disk.replace(file, f"{made}\n".encode(), forced=True)
    return made


def _common(lines: list[Told], reader: Reader) -> int | None:
    """The last of these lines that the journal has, too."""
    seq, crc, *_ = lines[-1]
    reader.seek(seq - 1)
    last = reader.read(1)
    if last and (last[0].seq, last[0].crc) == (seq, crc):
        return seq
    reader.seek(lines[0][0] - 1)
    there = {line.seq: line.crc for line in reader.read(len(lines))}
    return next((seq for seq, crc, *_ in reversed(lines) if there.get(seq) == crc), None)


def _values(one: Row) -> tuple[str, str, str, str]:
    return (one.event_type, one.event_data, one.severity, one.created_at)


def _text(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age_limit(max_age: float | None) -> float | None:
    """The wall-clock time before which rows are too old; None: none is."""
    return None if max_age is None else time.time() - max_age
