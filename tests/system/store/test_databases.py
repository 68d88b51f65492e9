"""Questions to a database by its URL: answered in time, and nothing is changed by them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from supervisor_tree.store.databases import DatabaseError, query, told
from tests.system.store.conftest import Database


@pytest.fixture
def filled(database: Database) -> Database:
    database.execute("CREATE TABLE growth_execution (plan_id INTEGER, last_updated TEXT)")
    database.execute("INSERT INTO growth_execution VALUES (1, '2026-11-22 14:00'), (2, '2026-11-22 15:00')")
    return database


def ask(database: Database, sql: str, within: float = 10.0) -> list[tuple[object, ...]]:
    return query(database.url, sql, folder="/nowhere", within=within)


def test_an_answer(filled: Database) -> None:
    assert ask(filled, "SELECT max(last_updated) FROM growth_execution") == [("2026-11-22 15:00",)]
    rows = ask(filled, "SELECT * FROM growth_execution ORDER BY last_updated DESC LIMIT 5")
    assert rows == [(2, "2026-11-22 15:00"), (1, "2026-11-22 14:00")]
    assert ask(filled, "SELECT count(*) FROM growth_execution WHERE last_updated LIKE '%15%'") == [(1,)]


def test_nothing_can_be_changed(filled: Database) -> None:
    for statement in ("DELETE FROM growth_execution", "CREATE TABLE more (x INTEGER)"):
        with pytest.raises(DatabaseError, match=r"read.?only"):
            ask(filled, statement)
    assert filled.execute("SELECT count(*) FROM growth_execution") == [(2,)]


def test_one_that_takes_too_long(filled: Database) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    begun = time.monotonic()
    with pytest.raises(DatabaseError, match=r"no answer within|statement timeout"):
        ask(filled, endless, 0.3)
    assert time.monotonic() - begun < 10


def test_what_is_wrong_is_said(filled: Database) -> None:
    with pytest.raises(DatabaseError, match="nothing_there"):
        ask(filled, "SELECT * FROM nothing_there")
    with pytest.raises(DatabaseError, match="unable to open"):
        query("sqlite:///missing.db", "SELECT 1", folder="/nowhere")
    with pytest.raises(DatabaseError, match="connection") as refused:
        query("postgresql://me:secret@127.0.0.1:9/x", "SELECT 1", folder="/nowhere")
    assert "secret" not in str(refused.value)


def test_a_relative_file_and_one_with_odd_letters(tmp_path: Path) -> None:
    import sqlite3

    sqlite3.connect(tmp_path / "a b?%.db").close()
    (tmp_path / "a b?%.db").touch()
    assert query("sqlite:///a b?%.db", "SELECT 1", folder=str(tmp_path)) == [(1,)]
    assert query(f"sqlite:///{tmp_path}/a b?%.db", "SELECT 1", folder="/nowhere") == [(1,)]
    assert os.listdir(tmp_path) == ["a b?%.db"]


def test_a_url_is_told_without_its_password() -> None:
    assert told("postgresql://me:s%40c@h:5/x?password=y&a=1") == "postgresql://me@h:5/x?password=…&a=1"
    assert told("postgresql:///x?host=/tmp") == "postgresql:///x?host=/tmp"
