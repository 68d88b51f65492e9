"""Databases by URL: SQLite in the standard library, PostgreSQL by psycopg, imported only when a URL asks for it.

All of this waits for disks and networks: call it in a thread.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    import psycopg

SQLITE = "sqlite:///"
_CONNECT = 5
"""Seconds for a connection to PostgreSQL."""
_INSTRUCTIONS = 10_000
"""Of SQLite's machine, between two looks at the clock."""


class DatabaseError(Exception):
    """A database does not do what it was asked: it is down, locked, full, or does not understand."""


def sqlite_path(url: str, folder: str) -> str | None:
    """The file of a SQLite URL, absolute: ``sqlite:///x.db`` is ``folder/x.db``, ``sqlite:////x.db`` is ``/x.db``.
    None: the URL is not SQLite's."""
    return os.path.join(folder, url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None


def told(url: str) -> str:
    """A URL as people may see it: without a password."""
    return re.sub(r"(?i)([?&]password=)[^&]*", r"\1…", re.sub(r"(//[^/?#@:]*):[^/?#@]*@", r"\1@", url))


def in_words(error: Exception, url: str) -> str:
    """An error of a driver in one line, without the password of the URL."""
    text = " ".join(str(error).split()) or type(error).__name__
    password = urlsplit(url).password
    return text.replace(password, "…").replace(unquote(password), "…") if password else text


def connect_postgres(url: str, **settings: str) -> psycopg.Connection[Any]:
    """A connection in which each statement is a transaction of its own; ``settings`` of the session by name.

    Raises:
        DatabaseError: there is no psycopg, or nobody answers.
    """
    try:
        import psycopg
    except ImportError as error:
        raise DatabaseError(
            f"PostgreSQL needs psycopg ({error}): python -m pip install 'supervisor-tree[postgres]'"
        ) from error
    try:
        connection = psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=_CONNECT,
            # A machine that is gone without a word is noticed.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
            application_name="supervisor-tree",
        )
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    except psycopg.Error as error:
        raise DatabaseError(in_words(error, url)) from error
    return connection


def query(url: str, sql: str, *, folder: str, within: float = 10.0) -> list[tuple[Any, ...]]:
    """The rows of one SELECT; nothing can be changed by it.

    Args:
        folder: what a relative path in a SQLite URL is relative to.
        within: seconds for the whole answer.

    Raises:
        DatabaseError: there is no answer in time, or it is refused.
    """
    path = sqlite_path(url, folder)
    return _query_sqlite(path, sql, within) if path is not None else _query_postgres(url, sql, within)


def _query_sqlite(path: str, sql: str, within: float) -> list[tuple[Any, ...]]:
    deadline = time.monotonic() + within
    try:
        connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", timeout=within, uri=True, isolation_level=None)
        try:
            connection.execute("PRAGMA query_only = on")
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _INSTRUCTIONS)
            return connection.execute(sql).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        late = time.monotonic() > deadline
        raise DatabaseError(f"no answer within {within:g} s" if late else f"{error} ({path})") from error


def _query_postgres(url: str, sql: str, within: float) -> list[tuple[Any, ...]]:
    milliseconds = str(int(within * 1000))
    connection = connect_postgres(
        url, default_transaction_read_only="on", statement_timeout=milliseconds, lock_timeout=milliseconds
    )
    import psycopg

    try:
        with connection:
            return connection.execute(sql.encode()).fetchall()  # as bytes: `%` is no placeholder, it is the user's own
    except psycopg.Error as error:
        raise DatabaseError(in_words(error, url)) from error
