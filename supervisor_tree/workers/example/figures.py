"""The machine's figures at one moment, and the files that carry them from one program to the next.

A figures file is JSON lines, one sample a line, oldest first. Who writes it rotates it (`FILE.1` is what
came before); who reads it follows it through that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One sample. Percentages are 0 to 100, sizes bytes, load averages processes, uptime seconds."""

    time: datetime
    """When it was taken; UTC."""
    cpu_percent: float
    """Of all processors together, since the sample before."""
    cpu_count: int
    load_1: float
    load_5: float
    load_15: float
    memory_percent: float
    memory_total: int
    memory_available: int
    swap_percent: float
    disk_percent: float
    disk_total: int
    disk_free: int
    processes: int
    uptime: float


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Figures).decode


class FiguresFile:
    """Reads a figures file as it grows. A line that is no sample is passed over: the next is as good."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet: the file need not be there, its folder must."""
        self.path = path
        self._file: int | None = None
        self._rest = b""

    def before(self) -> list[Figures]:
        """What the rotated file beside it still has."""
        older = self.path.with_name(self.path.name + ".1")
        return list(_samples(older.read_bytes().splitlines())) if older.exists() else []

    def new(self) -> list[Figures]:
        """Samples that were written since the last call, through a rotation in between."""
        found = self._read()
        if self._file is not None and self._rotated():
            os.close(self._file)
            self._file, self._rest = None, b""
        if self._file is None:
            try:
                self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return found
            found += self._read()
        return found

    def _read(self) -> list[Figures]:
        if self._file is None:
            return []
        read = [self._rest]
        while part := os.read(self._file, 1 << 16):
            read.append(part)
        *lines, self._rest = b"".join(read).split(b"\n")
        return list(_samples(lines))

    def _rotated(self) -> bool:
        assert self._file is not None
        mine = os.fstat(self._file)
        try:
            present = os.stat(self.path)
        except FileNotFoundError:
            return True
        return (mine.st_dev, mine.st_ino) != (present.st_dev, present.st_ino)


def _samples(lines: list[bytes]) -> Iterator[Figures]:
    for line in lines:
        try:
            yield decode(line)
        except msgspec.DecodeError:
            continue


def write_whole(path: Path, content: bytes) -> None:
    """Replace ``path`` in one step, so that nobody ever reads half of it."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)
