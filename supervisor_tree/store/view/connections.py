"""The two databases behind one small interface: statements with `?`, transactions, and what differs between them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from supervisor_tree.store.databases import DatabaseError, connect_postgres, in_words

if TYPE_CHECKING:
    import psycopg

_WAIT = 2.0
"""Seconds for which a lock of somebody else is waited for; then it is tried again later."""
_ANSWER = 60
"""Seconds for one statement of PostgreSQL."""

SYSTEM_EVENTS = ("id", "event_type", "event_data", "severity", "created_at")
JOB_HEARTBEATS = (
    "job_name",
    "last_run_status",
    "last_success",
    "last_failure",
    "last_error",
    "consecutive_failures",
    "updated_at",
)
BATCHES = ("id", "tree", "newest", "lines")
COLUMNS = {"system_events": SYSTEM_EVENTS, "job_heartbeats": JOB_HEARTBEATS, "supervisor_tree_batches": BATCHES}

_INDICES = """
CREATE INDEX IF NOT EXISTS system_events_by_type ON system_events (event_type, created_at);
CREATE INDEX IF NOT EXISTS supervisor_tree_batches_by_tree ON supervisor_tree_batches (tree, id)
"""
_INDEX_OF = dict(zip(("system_events", "supervisor_tree_batches"), _INDICES.split(";"), strict=True))


class Unstorable(DatabaseError):
    """A value can't be in this database, whatever is tried."""


class Connection(Protocol):
    """What the view needs. Each method raises DatabaseError when it can't be done."""

    def columns(self, table: str) -> set[str]:
        """None: there is no such table."""

    def create(self, table: str) -> None: ...

    def begin(self, *locks: str) -> None:
        """Nobody else has a lock of these names until `commit` or `rollback`: above all a root that was killed a moment
        ago, with whose last transaction the server may still be busy."""

    def commit(self) -> None: ...

    def rollback(self) -> None:
        """Never fails."""

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...

    def change(self, statement: str, values: Sequence[Any]) -> int:
        """The number of rows that were."""

    def insert(self, statement: str, rows: Iterable[Sequence[Any]]) -> list[Any]:
        """Ids of the new rows, in order."""

    def close(self) -> None: ...


class Sqlite:
    """A file. Readers and the view do not wait for each other (WAL)."""

    types: ClassVar = {
        "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "json": "JSON",
        "time": "TEXT",
        "now": "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
    }

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            if not os.path.exists(path):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
            status = os.stat(path)
        except (sqlite3.Error, OSError) as error:
            raise DatabaseError(f"{path}: {error}") from error
        self._file = (status.st_dev, status.st_ino)
        try:
            self.execute("PRAGMA journal_mode = wal")
            self.execute("PRAGMA synchronous = normal")
        except DatabaseError:
            self._connection.close()
            raise

    def columns(self, table: str) -> set[str]:
        return {name for (name,) in self.execute("SELECT name FROM pragma_table_info(?)", (table,))}

    def create(self, table: str) -> None:
        for statement in definition(table, self.types):
            self.execute(statement)

    def begin(self, *locks: str) -> None:
        try:
            status = os.stat(self._path)
        except OSError as error:
            raise DatabaseError(f"{self._path}: {error.strerror}") from error
        if (status.st_dev, status.st_ino) != self._file:
            raise DatabaseError(f"{self._path} is another file now")
        self.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self.execute("COMMIT")

    def rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.rollback()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise self._told(error) from error

    def change(self, statement: str, values: Sequence[Any]) -> int:
        try:
            return self._connection.execute(statement, values).rowcount
        except sqlite3.Error as error:
            raise self._told(error) from error

    def insert(self, statement: str, rows: Iterable[Sequence[Any]]) -> list[Any]:
        execute = self._connection.execute
        try:
            return [execute(statement, row).lastrowid for row in rows]
        except sqlite3.Error as error:
            raise self._told(error) from error

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _told(self, error: Exception) -> DatabaseError:
        return (Unstorable if isinstance(error, sqlite3.DataError) else DatabaseError)(f"{self._path}: {error}")


class Postgres:
    """A server. A lock of ours for each tree makes its transactions one after the other, over roots' deaths, too."""

    types: ClassVar = {
        "id": "bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        "json": "jsonb",
        "time": "timestamptz",
        "now": "now()",
    }

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] = connect_postgres(
            url,
            lock_timeout=f"{_WAIT:g}s",
            statement_timeout=f"{_ANSWER}s",
            idle_in_transaction_session_timeout=f"{_ANSWER}s",
        )
        import psycopg

        self._errors, self._data_error = psycopg.Error, psycopg.DataError

    def columns(self, table: str) -> set[str]:
        found = self.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped",
            (table,),
        )
        return {str(name) for (name,) in found}

    def create(self, table: str) -> None:
        for statement in definition(table, self.types):
            self.execute(statement)

    def begin(self, *locks: str) -> None:
        self.execute("BEGIN")
        for lock in locks:
            self.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (f"supervisor-tree {lock}",))

    def commit(self) -> None:
        self.execute("COMMIT")

    def rollback(self) -> None:
        with contextlib.suppress(self._errors):
            self._connection.rollback()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            cursor = self._connection.execute(_dollar(statement), _clean(values))
            return cursor.fetchall() if cursor.description is not None else []
        except self._errors as error:
            raise self._told(error) from error

    def change(self, statement: str, values: Sequence[Any]) -> int:
        try:
            return self._connection.execute(_dollar(statement), _clean(values)).rowcount
        except self._errors as error:
            raise self._told(error) from error

    def insert(self, statement: str, rows: Iterable[Sequence[Any]]) -> list[Any]:
        ids: list[Any] = []
        try:
            with self._connection.cursor() as cursor:
                cursor.executemany(_dollar(f"{statement} RETURNING id"), [_clean(row) for row in rows], returning=True)
                while True:
                    made = cursor.fetchone()
                    assert made is not None
                    ids.append(made[0] if isinstance(made[0], int) else str(made[0]))
                    if not cursor.nextset():
                        return ids
        except self._errors as error:
            raise self._told(error) from error

    def close(self) -> None:
        with contextlib.suppress(self._errors):
            self._connection.close()

    def _told(self, error: Exception) -> DatabaseError:
        return (Unstorable if isinstance(error, self._data_error) else DatabaseError)(in_words(error, self._url))


def _dollar(statement: str) -> bytes:
    return statement.replace("?", "%s").encode()


def _clean(values: Sequence[Any]) -> list[Any]:
    """PostgreSQL has no character 0, in text or in JSON."""
    return [
        value.replace("\0", "\ufffd").replace("\\u0000", "\ufffd") if isinstance(value, str) else value
        for value in values
    ]


def definition(table: str, types: dict[str, str]) -> list[str]:
    """The statements that make a table of the view."""
    id_, json, time, now = types["id"], types["json"], types["time"], types["now"]
    columns = {
        "system_events": f"id {id_}, event_type TEXT NOT NULL, event_data {json}, "
        f"severity TEXT NOT NULL DEFAULT 'info', created_at {time} NOT NULL DEFAULT {now}",
        "job_heartbeats": f"job_name TEXT PRIMARY KEY, last_run_status TEXT, last_success {time}, last_failure {time}, "
        f"last_error TEXT, consecutive_failures INTEGER NOT NULL DEFAULT 0, updated_at {time} DEFAULT {now}",
        "supervisor_tree_batches": f"id {id_}, tree TEXT NOT NULL, newest TEXT NOT NULL, lines TEXT NOT NULL",
    }
    made = [f"CREATE TABLE {table} ({columns[table]})"]
    return [*made, _INDEX_OF[table]] if table in _INDEX_OF else made
