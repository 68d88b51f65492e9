"""The two databases of the view, real ones, behind one face."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import Postgres, why_not


class Database:
    """One, empty. ``url`` is as in `store.url`."""

    def __init__(self, url: str, server: Postgres | None) -> None:
        self.url = url
        self.server = server

    @property
    def file(self) -> str:
        return self.url.removeprefix("sqlite:///")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        if self.server is not None:
            return self.server.execute(self.url, statement)
        with contextlib.closing(sqlite3.connect(self.file, timeout=10, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()

    def has(self, table: str) -> bool:
        try:
            self.execute(f"SELECT 1 FROM {table}")
        except Exception:
            return False
        return True

    def ours(self) -> list[int]:
        """Numbers of the journal's lines in `system_events`, in the order of the rows."""
        if not self.has("system_events"):
            return []
        found = self.execute(
            "SELECT event_data->>'seq' FROM system_events WHERE event_type <> 'POST_SUCCESS' ORDER BY id"
        )
        return [int(seq) for (seq,) in found]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Somebody has all of it for himself, and takes his time."""
        if self.server is None:
            with contextlib.closing(sqlite3.connect(self.file, timeout=10, isolation_level=None)) as connection:
                connection.execute("BEGIN EXCLUSIVE")
                yield
                connection.execute("ROLLBACK")
            return
        import psycopg

        with psycopg.connect(self.url) as holder:
            holder.execute("LOCK TABLE system_events IN ACCESS EXCLUSIVE MODE")
            yield
            holder.rollback()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for each process of the test run."""
    why = why_not()
    if why is not None:
        pytest.skip(why)
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return Database(f"sqlite:///{tmp_path}/view.db", None)
    server: Postgres = request.getfixturevalue("postgres")
    return Database(server.database(), server)
