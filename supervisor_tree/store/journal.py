"""The journal: every decision, one JSON object a line, append-only. It is the truth; all else is a view of it.

`state_dir/journal/NNNNNNNN.jsonl`, a new segment at each `SEGMENT` bytes, named by the first sequence
number in it. Lines are written by a thread of their own behind a bounded queue: a stalled or full
disk never stops supervision; what did not fit is counted and said in the journal when writing goes on.
A torn last line (power cut, kill) is cut off when the journal is opened; lines that are no JSON are kept
aside in `journal/quarantine.jsonl` and told of.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

SEGMENT = 8 * 1024 * 1024
"""Bytes after which a new segment is begun."""
QUEUE = 100_000
"""Lines that wait for the disk at most. The keeper has them too until they are written."""
_RETRY = 1.0
"""Seconds between two attempts to write to a full disk."""


class Entry(msgspec.Struct):
    """The part of a line that the journal itself reads."""

    seq: int = 0
    event: str = ""
    name: str | None = None
    time: str = ""


_ENTRY = msgspec.json.Decoder(Entry)


class Journal:
    """The writing end.

    ``on_written(seq)`` is called from the writer's thread when everything up to ``seq`` is in the file
    (handed to the kernel: it survives any death but the machine's).
    """

    def __init__(self, folder: Path, on_written: Callable[[int], None]) -> None:
        self.folder = folder
        self.dropped = 0
        """Lines that did not fit into the queue since the last time this was said."""
        self.failing: str | None = None
        """Why nothing can be written at present."""
        self._on_written = on_written
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.last = self._recover()
        """Sequence number of the last line on the disk when the journal was opened."""
        self._queue: deque[tuple[int, bytes]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def append(self, lines: list[tuple[int, bytes]], *, later: bool = False) -> None:
        """Queue lines (without line end) in the order of their sequence numbers. Never blocks.

        ``later``: they are written once `write` is called.
        """
        for line in lines:
            if len(self._queue) >= QUEUE:
                self.dropped += 1
                continue
            self._queue.append(line)
        if not later:
            self._wake.set()

    def write(self) -> None:
        """Have the thread write what is queued."""
        self._wake.set()

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued, within ``timeout`` seconds."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)

    def _recover(self) -> int:
        segments = segment_files(self.folder)
        if not segments:
            return 0
        newest = segments[-1]
        data = newest.read_bytes()
        keep = data.rfind(b"\n") + 1
        if keep < len(data):
            with newest.open("r+b") as file:
                file.truncate(keep)
        last = int(newest.stem) - 1
        for line in reversed(data[:keep].splitlines()):
            try:
                return max(last, _ENTRY.decode(line).seq)
            except msgspec.DecodeError:
                with (self.folder / "quarantine.jsonl").open("ab") as aside:
                    aside.write(line + b"\n")
        return last

    def _run(self) -> None:
        fd = -1
        size = 0
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), 1000))]
                if (fd < 0 or size >= SEGMENT) and fd >= 0:
                    os.close(fd)
                    fd = -1
                data = b"".join(line + b"\n" for _, line in batch)
                while True:
                    try:
                        if fd < 0:
                            fd, size = self._open(batch[0][0])
                        size += self._write(fd, data, size)
                        self.failing = None
                        break
                    except OSError as error:
                        self.failing = error.strerror or str(error)
                        if self._closing:
                            return
                        self._wake.wait(_RETRY)
                        self._wake.clear()
                self._on_written(batch[-1][0])
            if self._closing:
                if fd >= 0:
                    os.close(fd)
                return

    def _open(self, first: int) -> tuple[int, int]:
        segments = segment_files(self.folder)
        path = self.folder / f"{first:08}.jsonl"
        if segments and segments[-1].stat().st_size < SEGMENT:
            path = segments[-1]
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return fd, os.lseek(fd, 0, os.SEEK_END)

    @staticmethod
    def _write(fd: int, data: bytes, at: int) -> int:
        """All or nothing: a half-written batch is cut off again, so that a retry can't double a line."""
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(fd, data[done:], at + done)
        except OSError:
            os.ftruncate(fd, at)
            raise
        return done


def segment_files(folder: Path) -> list[Path]:
    """The segments, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.isdigit())


def read_backwards(folder: Path, block: int = 256 * 1024) -> Iterator[bytes]:
    """Lines from the newest to the oldest, without their ends. Segments may vanish meanwhile (retention)."""
    for path in reversed(segment_files(folder)):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue
        with file:
            at = file.seek(0, os.SEEK_END)
            rest = b""
            while at > 0:
                step = min(block, at)
                at -= step
                file.seek(at)
                lines = (file.read(step) + rest).split(b"\n")
                rest = lines[0]
                for line in reversed(lines[1:]):
                    if line:
                        yield line
            if rest:
                yield rest
