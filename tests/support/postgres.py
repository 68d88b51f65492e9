"""A throw-away PostgreSQL on a private socket."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.support.processes import lives
from tests.support.waiting import eventually

_SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{folder}'
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 30
"""


def why_not() -> str | None:
    """Why there can be none here."""
    if _binary("initdb") is None:
        return "no PostgreSQL server here (Debian: postgresql)"
    if os.geteuid() == 0:
        import pwd

        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "PostgreSQL refuses to run as root, and there is no user postgres"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "no psycopg (the extra postgres)"
    return None


def _binary(name: str) -> str | None:
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else shutil.which(name)


class Postgres:
    """As root it runs as the user postgres: it refuses root."""

    def __init__(self) -> None:
        # In /tmp itself: the path of a socket has room for 107 bytes.
        self.dir = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self._who: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._who = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self.dir, "postgres", "postgres")
        self._made = 0
        data = str(self.dir / "data")
        self._do("initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C")
        with open(self.dir / "data" / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write(_SETTINGS.format(folder=self.dir))
        self.start()

    def start(self) -> None:
        self._do("pg_ctl", "-D", f"{self.dir}/data", "-l", f"{self.dir}/log", "-w", "-t", "60", "start")

    def stop(self, mode: str = "immediate") -> None:
        """``immediate``: as if it were killed, which it is not, for PID 1 may be slow to reap."""
        pid = int((self.dir / "data" / "postmaster.pid").read_text().split()[0])
        self._do("pg_ctl", "-D", f"{self.dir}/data", "-m", mode, "-w", "stop")
        eventually(lambda: not lives(pid), "it has ended")

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._made += 1
        name = f"t{self._made}"
        self.execute(self.url("postgres"), f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.dir}"

    @staticmethod
    def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description is not None else []

    def close(self) -> None:
        if (self.dir / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.dir)

    def _do(self, name: str, *arguments: str) -> None:
        binary = _binary(name)
        assert binary is not None
        with open(self.dir / "out", "ab") as out:
            subprocess.run(
                [binary, *arguments],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.dir,
                env={**os.environ, "HOME": str(self.dir)},
                timeout=90,
                **self._who,
            )
