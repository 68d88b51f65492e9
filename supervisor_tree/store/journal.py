"""The journal: every decision, one JSON object a line, append-only. It is the truth; all else is a view of it.

`state_dir/journal/NNNNNNNN.jsonl`, a new segment at each `SEGMENT` bytes, named by the first sequence
number in it. Lines are written by a thread of their own behind a bounded queue: a stalled or full
disk never stops supervision; what did not fit is counted and said in the journal when writing goes on.
What is written is forced to the disk, by the same thread, within `FORCE` seconds.
A torn last line (power cut, kill) is cut off and kept aside when the journal is opened; whatever else is damaged is
passed over by those who read (`lines`) and found by `checking`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from supervisor_tree.store.checking import Damage, keep_aside
from supervisor_tree.store.lines import ENTRY, seal, unseal
from supervisor_tree.store.segments import pieces_backwards, segment_files
from supervisor_tree.system import disk, means

SEGMENT = 8 * 1024 * 1024
"""Bytes after which a new segment is begun."""
QUEUE = 100_000
"""Lines that wait for the disk at most. The keeper has them too until they are written."""
FORCE = 1.0
"""Seconds after which a line that was written is forced to the disk, with all that came meanwhile."""
_RETRY = 1.0
"""Seconds between two attempts to write to a full disk."""
_DAY = 86400.0
_LEAST_LINE = 40
"""Bytes: a line is never shorter."""


class Journal:
    """The writing end.

    ``on_written(seq)`` is called from the writer's thread when everything up to ``seq`` is in the file
    (handed to the kernel: it survives any death but the machine's, and that as well `FORCE` seconds later).

    Args:
        last: number of the last line that is known to be on the disk: then nothing is looked at here, the thread
            does. None: the numbers go on behind what is found on the disk, which is looked at before this returns.
    """

    def __init__(self, folder: Path, on_written: Callable[[int], None], last: int | None = None) -> None:
        self.folder = folder
        self.dropped = 0
        """Lines that did not fit into the queue since the last time this was said."""
        self.failing: str | None = None
        """Why nothing can be written at present."""
        self.max_age: float | None = None
        """Seconds for which lines are kept; segments whose last line is older are removed. May be set at any time."""
        self.torn: Damage | None = None
        """What was cut off the end when the journal was opened, where no line took its place."""
        self.opened = threading.Event()
        self._on_written = on_written
        self._begun = 0.0
        self._force_at: float | None = None
        """When what was written is to be forced to the disk (monotonic); None: it has been."""
        self._retained = (0.0, 0.0)
        """For which age, and when (monotonic), it was last looked for what is too old."""
        self._queue: deque[tuple[int, bytes]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self.resumes = last is not None
        """A root before us had it open: the keeper has what may be missing."""
        self.last = last or 0
        """Sequence number of the last line on the disk when the journal was opened."""
        if last is None:
            try:
                self.last = self._recover()
            except OSError as error:
                # Numbers go on beyond whatever may stand there; the thread tries again.
                self.failing = error.strerror or str(error)
                self.last = _at_most(folder)
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
        """Have the thread write what is queued, and see to a changed ``max_age``."""
        self._wake.set()

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued, within ``timeout`` seconds."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)

    def _recover(self) -> int:
        """Cut off a torn end. Returns the number of the last line."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        segments = segment_files(self.folder)
        if not segments:
            self.opened.set()
            return 0
        newest = segments[-1]
        last = int(newest.stem) - 1
        with newest.open("r+b") as file:
            pieces = pieces_backwards(file)
            keep, torn = next(pieces)
            for _, piece in pieces:
                sealed = unseal(piece)
                if sealed is not None:
                    last = _seq(sealed[0], last)
                    break
            if torn and (sealed := unseal(torn)) is not None:  # but for its end
                last = _seq(sealed[0], last)
                file.seek(0, os.SEEK_END)
                file.write(b"\n")
            elif torn:
                self.torn = Damage(newest.name, keep, len(torn), 1, last, None, _text(torn))
                if not self.resumes:
                    with contextlib.suppress(OSError):  # a full disk
                        keep_aside(self.folder, self.torn)
                file.truncate(keep)
        self.opened.set()
        return last

    def _run(self) -> None:
        on_disk = self.last
        while not self.opened.is_set():
            try:
                on_disk = self._recover()
            except OSError as error:
                self.failing = error.strerror or str(error)
                if self._closing:
                    return
                self._wake.wait(_RETRY)
                continue
            self.failing = None
        fd = -1
        size = 0
        while True:
            self._wake.wait(self._rest(self._retain()))
            self._wake.clear()
            self._force(fd, at_once=False)
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), 1000))]
                if fd >= 0 and (size >= SEGMENT or self._is_old() or not os.fstat(fd).st_nlink):
                    self._force(fd)
                    os.close(fd)
                    fd = -1
                # The root before us may have written what the keeper still had of it.
                data = b"".join(seal(line) + b"\n" for seq, line in batch if seq > on_disk)
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
                if self._force_at is None:
                    self._force_at = time.monotonic() + FORCE
                self._force(fd, at_once=False)
            if self._closing:
                if fd >= 0:
                    self._force(fd)
                    os.close(fd)
                return

    def _rest(self, seconds: float | None) -> float | None:
        """For how long there is nothing to do, if nothing comes: so many seconds at most."""
        if self._force_at is None:
            return seconds
        left = max(0.0, self._force_at - time.monotonic())
        return left if seconds is None else min(left, seconds)

    def _force(self, fd: int, *, at_once: bool = True) -> None:
        """Have what was written on the disk, once it is time for that: when a line is written, what it tells of is just
        being done."""
        if self._force_at is None or (not at_once and time.monotonic() < self._force_at):
            return
        self._force_at = None
        try:
            means.force(fd)
        except OSError as error:
            self.failing = f"what was written may be lost in a power cut: {error.strerror}"

    def _open(self, first: int) -> tuple[int, int]:
        self.folder.mkdir(exist_ok=True, mode=0o700)  # somebody may have removed it
        segments = segment_files(self.folder)
        path = self.folder / f"{first:08}.jsonl"
        if segments and segments[-1].stat().st_size < SEGMENT:
            self._begun = _begun(segments[-1])
            if not self._is_old():
                path = segments[-1]
        if not segments or path != segments[-1]:
            self._begun = time.time()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if path not in segments:
                disk.force_folder(str(self.folder))
            return fd, os.lseek(fd, 0, os.SEEK_END)
        except OSError:
            os.close(fd)
            raise

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

    def _is_old(self) -> bool:
        """Whether another segment is to be begun, so that retention has something to remove in time."""
        age = self.max_age
        return age is not None and time.time() - self._begun > min(_DAY, age / 8)

    def _retain(self) -> float | None:
        """Remove what is too old. Seconds after which to look again; None: nothing is to be removed."""
        age = self.max_age
        if age is None:
            return None
        every = min(3600.0, max(1.0, age / 8))
        (for_age, at), now = self._retained, time.monotonic()
        if for_age == age and now - at < every:
            return every - (now - at)
        self._retained = (age, now)
        oldest = time.time() - age
        try:
            for path, _next in itertools.pairwise(segment_files(self.folder)):  # the newest stays: numbers go on there
                if path.stat().st_mtime >= oldest:
                    break
                path.unlink()
        except OSError as error:
            self.failing = f"what is too old can't be removed: {error.strerror}"
        return every


def _seq(line: bytes, otherwise: int) -> int:
    try:
        return max(otherwise, ENTRY.decode(line).seq)
    except msgspec.DecodeError:  # a checksum by chance
        return otherwise


def _at_most(folder: Path) -> int:
    """A number that no line on a disk that can't be read has."""
    try:
        segments = segment_files(folder)
        return int(segments[-1].stem) + segments[-1].stat().st_size // _LEAST_LINE if segments else 0
    except OSError:
        return 0


def _begun(segment: Path) -> float:
    """When the first line of a segment was written; 0: that is not known."""
    with segment.open("rb") as file:
        sealed = unseal(file.readline().rstrip(b"\n"))
    try:
        return datetime.fromisoformat(ENTRY.decode(sealed[0]).time).timestamp() if sealed is not None else 0.0
    except (msgspec.DecodeError, ValueError):
        return 0.0


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")
