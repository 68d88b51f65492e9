"""The view's thread: it follows the journal and writes what it reads into the database.

Nothing waits for it. A database that is down, locked or full is told of once and tried again; meanwhile the journal
goes on, and what it has by then is caught up with.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from supervisor_tree.store.databases import DatabaseError, sqlite_path, told
from supervisor_tree.store.segments import Reader
from supervisor_tree.store.view.connections import Connection, Postgres, Sqlite
from supervisor_tree.store.view.tables import Moved, Tables, age_limit, identity

_MOST = 1000
"""Lines in one transaction."""
_GATHER = 0.05
"""Seconds for which lines are gathered after the first."""
_BETWEEN = 1.0
"""Seconds from one transaction to the next while there is less than a full one to write."""
_BREATH = 0.01
"""Seconds between two full ones: whoever supervises has the interpreter's lock then."""
_AGAIN = (0.5, 1.0, 2.0, 4.0, 5.0)
"""Seconds between two tries of a database that does not do what it was asked."""
_TRIM = 3600.0
"""Seconds between two looks for rows that are too old, at most."""

Report = Callable[..., None]


class Target(NamedTuple):
    """Where the view is, and for how long rows are kept (seconds)."""

    url: str | None
    dir: str
    """What a relative path of SQLite is relative to."""
    state_dir: str
    max_age: float | None

    @property
    def file(self) -> str | None:
        """SQLite's file; None: it is a server."""
        return os.path.join(self.state_dir, "events.db") if self.url is None else sqlite_path(self.url, self.dir)

    @property
    def name(self) -> str:
        """For people."""
        return self.file or told(self.url or "")

    def connect(self) -> Connection:
        return Sqlite(self.file) if self.file is not None else Postgres(self.url or "")


class View:
    """The thread. ``report(kind, **fields)`` is called from it: `view_behind`, `view_caught_up`, `view_made_anew`.

    Args:
        behind: why it is behind, where that was said before.
    """

    def __init__(self, folder: Path, target: Target, report: Report, behind: str | None = None) -> None:
        self._folder = folder
        self._target = target
        self._report = report
        self._reader = Reader(folder)
        self._tables: Tables | None = None
        self._tree: str | None = None
        self._wake = threading.Event()
        self._at_once = threading.Event()
        """There is something else to do than to wait: another database, or the end."""
        self._closing = False
        self._failures = 0
        self._trimmed = 0.0
        self._behind_since = time.monotonic()
        self._added = 0
        self.behind = behind
        """Why the view is not what the journal is."""
        self.busy: float | None = None
        """Since when (monotonic) the database has been asked for something."""
        self._thread = threading.Thread(target=self._run, name="view", daemon=True)
        self._wake.set()
        self._thread.start()

    def written(self) -> None:
        """There is more in the journal."""
        self._wake.set()

    def replace(self, target: Target) -> None:
        """Another database, or age, from now on."""
        if target != self._target:
            self._target = target
            self._at_once.set()
            self._wake.set()

    def close(self, within: float) -> None:
        """End, with all that the journal has in the view, if that can be had within so many seconds."""
        self._closing = True
        self._at_once.set()
        self._wake.set()
        self._thread.join(within)

    def fall_behind(self, reason: str) -> None:
        """Say once why the view is not what the journal is."""
        said, self.behind = self.behind, reason  # before it is told: who hears it may ask
        if said is None:
            self._behind_since, self._added = time.monotonic(), 0
            self._report("view_behind", database=self._target.name, reason=reason)

    def _run(self) -> None:
        target = self._target
        while True:
            self._wake.wait(None if target.max_age is None else min(_TRIM, max(1.0, target.max_age / 8)))
            self._wake.clear()
            self._at_once.wait(_GATHER)
            self._at_once.clear()
            if target != self._target:
                if (target.url, target.dir, target.state_dir) != self._target[:3]:
                    self._let_go()
                target = self._target
                self._failures, self._trimmed = 0, 0.0
            try:
                self._follow(target)
            except Exception as error:  # whatever it is: supervision goes on, and so does the view when it can
                self._let_go()
                self.busy = None
                self.fall_behind(str(error) if isinstance(error, DatabaseError | OSError) else repr(error))
                self._set_aside(target, error)
                if self._closing:
                    return
                self._at_once.wait(_AGAIN[min(self._failures, len(_AGAIN) - 1)])
                self._failures += 1
                self._wake.set()
                continue
            if self._closing and not self._wake.is_set():
                self._let_go()
                return

    def _follow(self, target: Target) -> None:
        """Write what there is; return when nothing comes any more."""
        while target == self._target:
            began = self.busy = time.monotonic()
            if self._tables is None:
                self._connect(target)
            assert self._tables is not None
            lines = self._reader.read(_MOST)
            if not lines:
                self._caught_up(target)
                return
            self._tree = identity(self._folder, self._tree)  # should somebody have removed it
            try:
                self._tables.add(lines, age_limit(target.max_age))
            except Moved:
                self._let_go()
                continue
            self._added += len(lines)
            self.busy = None
            full = len(lines) == _MOST
            if not full:
                self._caught_up(target)  # not only once nothing comes: where a line comes each second, something does
            if not self._closing:
                self._at_once.wait(_BREATH if full else max(0.0, began + _BETWEEN - time.monotonic()))

    def _caught_up(self, target: Target) -> None:
        self._trim(target)
        self.busy = None
        self._failures = 0
        if self.behind is not None:
            self.behind = None
            seconds = round(time.monotonic() - self._behind_since, 3)
            self._report("view_caught_up", database=target.name, lines=self._added, seconds=seconds)

    def _connect(self, target: Target) -> None:
        self._tree = identity(self._folder, self._tree)
        connection = target.connect()
        try:
            tables = Tables(connection, self._tree)
            self._reader.seek(tables.position(self._reader))
        except BaseException:
            connection.close()
            raise
        self._tables = tables

    def _trim(self, target: Target) -> None:
        age = target.max_age
        now = time.monotonic()
        if age is None or self._tables is None or now - self._trimmed < min(_TRIM, age / 8):
            return
        while self._tables.trim(time.time() - age) and not self._closing and target == self._target:
            self._at_once.wait(_BREATH)
        self._trimmed = now

    def _let_go(self) -> None:
        self._reader.close()
        if self._tables is not None:
            self._tables.close()
            self._tables = None

    def _set_aside(self, target: Target, error: Exception) -> None:
        """Our own file, once it is no database any more, is made anew from the journal. Of one that the configuration
        names that is not ours to decide: other people's tables may be in it."""
        cause = error.__cause__
        if target.url is not None or target.file is None or not isinstance(cause, sqlite3.DatabaseError):
            return
        if cause.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return
        aside = f"{target.file}.corrupt-{time.strftime('%Y%m%d_%H%M%S', time.gmtime())}"
        with contextlib.suppress(OSError):
            os.replace(target.file, aside)
            for left in ("-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(target.file + left)
            self._report("view_made_anew", database=target.name, kept=aside, reason=str(error))
