"""Owns an SQLite database of the machine's figures and hands them to whoever connects to its socket.

    python -m supervisor_tree.workers.recorder --figures data/figures.jsonl --database data/figures.db \\
        --socket data/recorder.sock --keep-days 7

A client connects to the Unix socket, sends one line with how many seconds back it wants to look, and gets
one sample (JSON) a line: first those, oldest first, then each new one once it is stored. One that doesn't
read is cut off rather than waited for. Only this program ever opens the database for writing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from supervisor_tree.workers import notify
from supervisor_tree.workers.figures import Figures, FiguresFile, decode, encode
from supervisor_tree.workers.stopping import Stopping
from supervisor_tree.workers.watching import Watched

LONGEST_REQUEST = 64
"""Bytes. A client that sends more before its line ends is no client of ours."""

PATIENCE = 1.0
"""Seconds that a client has to take what it asked for; meanwhile nobody else is served."""

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
        self._keep = keep
        self._connection = sqlite3.connect(path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        with self._connection:
            self._connection.execute(TABLE)

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

    def since(self, time: datetime) -> list[Figures]:
        rows = self._connection.execute("SELECT sample FROM figures WHERE time >= ? ORDER BY time", (_key(time),))
        return [decode(sample) for (sample,) in rows]

    def close(self) -> None:
        self._connection.close()


def _key(time: datetime) -> str:
    """Of one width, so that order of text is order of time."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Clients:
    """Connections on the socket: those that have not asked yet, and those that listen."""

    def __init__(self, path: Path, database: Database) -> None:
        self._database = database
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # why not bound to its name at once: who waits for the file would find it before it takes connections,
        # and be told nothing when it does. The rename also replaces what a recorder that was killed has left.
        beside = path.with_name(f".{path.name}.new")
        beside.unlink(missing_ok=True)
        self._listener.bind(str(beside))
        self._listener.listen()
        self._listener.setblocking(False)
        beside.replace(path)
        self._asking: dict[int, tuple[socket.socket, bytes]] = {}
        self._listening: dict[int, socket.socket] = {}

    def descriptors(self) -> list[int]:
        return [self._listener.fileno(), *self._asking, *self._listening]

    def serve(self, descriptor: int) -> None:
        """Do what ``descriptor``, which can be read, is about."""
        if descriptor == self._listener.fileno():
            with contextlib.suppress(BlockingIOError):
                client, _ = self._listener.accept()
                client.setblocking(False)
                self._asking[client.fileno()] = (client, b"")
        elif descriptor in self._asking:
            self._hear(descriptor)
        elif descriptor in self._listening:
            self._listening.pop(descriptor).close()  # it has nothing more to say: this is its end

    def tell(self, samples: list[Figures]) -> None:
        """Hand new samples to all that listen."""
        for descriptor in list(self._listening):
            self._send(descriptor, samples)

    def _hear(self, descriptor: int) -> None:
        client, heard = self._asking.pop(descriptor)
        try:
            got = client.recv(LONGEST_REQUEST)
        except OSError:
            got = b""
        line, end, _ = (heard + got).partition(b"\n")
        if got and not end and len(line) < LONGEST_REQUEST:
            self._asking[descriptor] = (client, line)
            return
        try:
            back = timedelta(seconds=float(line))
        except (ValueError, OverflowError):
            client.close()
            return
        self._listening[descriptor] = client
        self._send(descriptor, self._database.since(datetime.now(UTC) - back))

    def _send(self, descriptor: int, samples: list[Figures]) -> None:
        client = self._listening[descriptor]
        client.settimeout(PATIENCE)
        try:
            client.sendall(b"".join(encode(figures) + b"\n" for figures in samples))
        except OSError:
            print("cut off a client that did not read", flush=True)
            self._listening.pop(descriptor).close()
        else:
            client.setblocking(False)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="recorder", description="Keeps the machine's figures in a database.")
    parser.add_argument("--figures", type=Path, required=True, metavar="FILE", help="the figures file to follow")
    parser.add_argument("--database", type=Path, required=True, metavar="FILE")
    parser.add_argument("--socket", type=Path, required=True, metavar="FILE")
    parser.add_argument("--keep-days", type=float, default=7.0, metavar="DAYS", help="default: 7")
    options = parser.parse_args(arguments)

    file = FiguresFile(options.figures)
    with Stopping() as stopping, Watched(options.figures) as watched:
        database = Database(options.database, timedelta(days=options.keep_days))
        stored = len(database.store(file.before() + file.new()))
        clients = Clients(options.socket, database)
        print(f"caught up with {stored} samples, listening on {options.socket}", flush=True)
        notify.ready()
        while not stopping.asked:
            if new := file.new():
                clients.tell(database.store(new))
            for descriptor in watched.wait(stopping, None, *clients.descriptors()):
                clients.serve(descriptor)
        os.unlink(options.socket)
        database.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
