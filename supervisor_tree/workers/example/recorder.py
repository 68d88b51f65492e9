"""Owns an SQLite database of the machine's figures and hands them to whoever connects to its socket: a `Worker`.

A client connects to the Unix socket, sends one line with how many seconds back it wants to look, and gets
one sample (JSON) a line: first those, oldest first, then each new one once it is stored. One that doesn't
read is cut off rather than waited for. Only this program ever opens the database for writing.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from supervisor_tree.workers import Worker
from supervisor_tree.workers.example.figures import Figures, FiguresFile, decode, encode
from supervisor_tree.workers.example.watching import Watched

LONGEST_REQUEST = 64
"""Bytes. A client that sends more before its line ends is no client of ours."""

PATIENCE = 1.0
"""Seconds that a client has to take what it was sent, once its buffers are full."""

_AT_ONCE = 500
"""Samples that are read and sent in one go: others have their turn in between."""

TABLE = """
CREATE TABLE IF NOT EXISTS figures (
    time TEXT PRIMARY KEY,
    sample TEXT NOT NULL,
    cpu_percent REAL AS (json_extract(sample, '$.cpu_percent')),
    memory_percent REAL AS (json_extract(sample, '$.memory_percent')),
    disk_percent REAL AS (json_extract(sample, '$.disk_percent')),
    load_1 REAL AS (json_extract(sample, '$.load_1'))
) WITHOUT ROWID
"""
"""The sample as it was written is the truth; the columns are for people with a question in SQL."""


class Database:
    """Samples by time. A sample that is there already is not stored twice, so that a figures file may be read again."""

    def __init__(self, path: Path, keep: timedelta) -> None:
        self._path = path
        self._keep = keep
        self._connection = sqlite3.connect(path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        with self._connection:
            self._connection.execute(TABLE)
        opened = os.stat(path)
        self._file = (opened.st_dev, opened.st_ino)

    def store(self, samples: list[Figures]) -> list[Figures]:
        """Those of ``samples`` that were new, in one transaction; forgets what is older than it keeps."""
        new = []
        with self._connection:
            for figures in samples:
                row = (_key(figures.time), encode(figures).decode())
                if self._connection.execute("INSERT OR IGNORE INTO figures (time, sample) VALUES (?, ?)", row).rowcount:
                    new.append(figures)
            self._connection.execute("DELETE FROM figures WHERE time < ?", (_key(datetime.now(UTC) - self._keep),))
        return new

    def after(self, time: datetime) -> list[Figures]:
        """The first samples that are newer, oldest first; not more than `_AT_ONCE`."""
        rows = self._connection.execute(
            "SELECT sample FROM figures WHERE time > ? ORDER BY time LIMIT ?", (_key(time), _AT_ONCE)
        )
        return [decode(sample) for (sample,) in rows]

    def trouble(self) -> str | None:
        """What is wrong with it; None: it can be read, and its file is the one that was opened."""
        try:
            self._connection.execute("SELECT max(time) FROM figures").fetchone()
            present = os.stat(self._path)
        except FileNotFoundError:
            return f"{self._path} was removed: what is stored now is lost"
        except (sqlite3.Error, OSError) as error:
            return f"{self._path}: {error}"
        if (present.st_dev, present.st_ino) != self._file:
            return f"{self._path} was replaced: what is stored now is lost"
        return None

    def close(self) -> None:
        self._connection.close()


def _key(time: datetime) -> str:
    """Of one width, so that order of text is order of time."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Args(msgspec.Struct):
    figures: Path
    """The figures file to follow."""
    database: Path
    socket: Path
    keep_days: float = 7.0


class Recorder(Worker):
    """Ready once it has caught up and takes connections."""

    args: Args

    async def setup(self) -> None:
        self._stored = asyncio.Event()
        self._file = FiguresFile(self.args.figures)
        self._database = Database(self.args.database, timedelta(days=self.args.keep_days))
        stored = len(self._database.store(self._file.before() + self._file.new()))
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listening(self.args.socket), limit=LONGEST_REQUEST
        )
        self._clients: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}
        print(f"caught up with {stored} samples, listening on {self.args.socket}", flush=True)

    async def run(self) -> None:
        with Watched(self.args.figures) as watched:
            while True:
                if new := self._database.store(self._file.new()):
                    self._stored.set()
                    self._stored = asyncio.Event()
                    self.beat(f"{len(self._clients)} listening", newest=new[-1].time.isoformat())
                await watched.changed()

    async def check(self) -> str | None:
        return self._database.trouble()

    async def teardown(self) -> None:
        self._server.close()
        os.unlink(self.args.socket)
        for client in self._clients.values():
            client.close()
        await asyncio.gather(*filter(None, self._clients))
        self._database.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._clients[task] = writer
        try:
            line = await reader.readuntil(b"\n")
            await self._hand(datetime.now(UTC) - timedelta(seconds=float(line)), reader, writer)
        except TimeoutError:
            print("cut off a client that did not read", flush=True)
            writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, OverflowError):
            pass  # it has gone, or did not ask for what there is
        finally:
            del self._clients[task]
            writer.close()

    async def _hand(self, newest: datetime, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand over what is newer, until the client says anything more: that is its end.

        Raises:
            TimeoutError: it does not read.
            ConnectionError: it has gone.
        """
        gone = asyncio.ensure_future(reader.read(1))
        try:
            while not gone.done():
                stored = self._stored  # before the look: what is stored after it sets this one
                if samples := self._database.after(newest):
                    newest = samples[-1].time
                    writer.write(b"".join(encode(figures) + b"\n" for figures in samples))
                    async with asyncio.timeout(PATIENCE):
                        await writer.drain()
                    continue
                waiting = asyncio.ensure_future(stored.wait())
                await asyncio.wait((gone, waiting), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        finally:
            gone.cancel()


def listening(path: Path) -> socket.socket:
    """A socket that takes connections at ``path`` by the time it can be seen there."""
    taking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # why not bound to its name at once: who waits for the file would find it before it takes connections,
    # and be told nothing when it does. The rename also replaces what a recorder that was killed has left.
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    taking.bind(str(beside))
    taking.listen()
    beside.replace(path)
    return taking
