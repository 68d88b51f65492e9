"""Plays the keeper for one logger: starts it, hands it pipes, hears what it says, kills it and starts another."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from supervisor_tree.ipc.link import Link, LinkClosed
from supervisor_tree.system import means
from tests.support.waiting import PATIENCE


class Pipe:
    """One stream: the read end that the keeper keeps, and the write end of the worker."""

    def __init__(self, head: dict[str, Any], reader: int, writer: int) -> None:
        self.head = head
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.writer, data) :]

    def close(self) -> None:
        """The worker's end: no writer is left."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


class Keeper:
    """The keeper's side of the contract with the logger."""

    def __init__(self, folder: Path, tree_id: str = "") -> None:
        self.folder = folder
        self.tree_id = tree_id or os.urandom(16).hex()
        self.staging = os.pipe()
        self.memo = means.memory_file("memo", 64)
        self.lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
        self.pipes: dict[int, Pipe] = {}
        self.heard: list[dict[str, Any]] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.link: Link | None = None
        self.start()

    def start(self) -> None:
        """A new logger, which is handed every pipe that was not `done`."""
        ours, theirs = socket.socketpair()
        fds = (theirs.fileno(), self.lock, *self.staging, self.memo)
        start = means.process_identity(os.getpid())
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervisor_tree.logs", "--link", str(fds[0]), "--lock", str(fds[1]),
             "--staging", str(fds[2]), str(fds[3]), "--memo", str(fds[4]), "--keeper", str(os.getpid()), str(start)],
            pass_fds=fds,
            start_new_session=True,
        )  # fmt: skip
        theirs.close()
        self.link = Link(ours)
        table = str(self.folder / "keeper.log")
        self.send({"t": "hello", "id": self.tree_id, "state_dir": str(self.folder), "table": table, "staged": True})
        for pipe in self.pipes.values():
            self.send(pipe.head, (pipe.reader,))

    def send(self, head: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        assert self.link is not None
        self.link.send(head, fds=fds)
        while self.link.wants_write:
            select.select([], [self.link], [], PATIENCE)
            self.link.flush()

    def stream(self, name: str = "web", stream: str = "out", inc: int = 1, path: str = "", **settings: Any) -> Pipe:
        """A new pipe, handed to the logger."""
        reader, writer = os.pipe()
        file = {"path": path or str(self.log(name)), "max_size": 0, "keep": 5, "max_age": None, "on_full": "drop"}
        number = len(self.heard) + len(self.pipes) + 1 + reader * 1000
        head = {"t": "stream", "id": number, "name": name, "inc": inc, "stream": stream, "pid": 0}
        pipe = self.pipes[number] = Pipe({**head, "file": {**file, **settings}}, reader, writer)
        self.send(pipe.head, (reader,))
        return pipe

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def hear(self, kind: str, timeout: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """The next frame of this kind with these fields; frames of other kinds are kept in `heard`."""
        end = time.monotonic() + timeout
        for at, head in enumerate(self.heard):
            if head["t"] == kind and all(head.get(k) == v for k, v in fields.items()):
                return self.heard.pop(at)
        assert self.link is not None
        while True:
            ready, _, _ = select.select([self.link], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {kind} {fields} within {timeout:g} s; heard {self.heard}"
            found = None
            for head, _ in self.link.receive():
                if head["t"] == "done":
                    self._done(head)
                if found is None and head["t"] == kind and all(head.get(k) == v for k, v in fields.items()):
                    found = head
                else:
                    self.heard.append(head)
            if found is not None:
                return found

    def done(self, *pipes: Pipe, timeout: float = PATIENCE) -> None:
        """Close these pipes' write ends and wait until the logger has all that was in them."""
        for pipe in pipes:
            pipe.close()
        for pipe in pipes:
            self.hear("done", timeout, id=pipe.head["id"])

    def drain(self) -> None:
        """All that was written so far is in the files when this returns."""
        self.send({"t": "drain"})
        self.hear("drained")

    def kill(self) -> None:
        """SIGKILL the logger, reap it, read its link to the end, close."""
        assert self.process is not None
        assert self.link is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)
        try:
            while True:
                select.select([self.link], [], [], PATIENCE)
                for head, _ in self.link.receive():
                    if head["t"] == "done":
                        self._done(head)
                    self.heard.append(head)
        except LinkClosed:
            self.link.close()

    def close(self) -> None:
        assert self.process is not None
        assert self.link is not None
        self.process.kill()
        self.process.wait(PATIENCE)
        self.link.close()
        for pipe in list(self.pipes.values()):
            pipe.close()
            os.close(pipe.reader)
        for fd in (*self.staging, self.memo, self.lock):
            os.close(fd)

    def _done(self, head: dict[str, Any]) -> None:
        pipe = self.pipes.pop(head["id"])
        os.close(pipe.reader)


def content(path: Path) -> bytes:
    """All that was written to a log, rotated files first."""
    rotated = [p for p in path.parent.glob(path.name + ".*") if p.suffix[1:].isdigit()]
    rotated.sort(key=lambda p: -int(p.suffix[1:]))
    return b"".join(p.read_bytes() for p in [*rotated, path])
