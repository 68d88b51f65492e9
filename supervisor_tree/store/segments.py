"""The journal's files, `NNNNNNNN.jsonl`, each named by the first sequence number in it, read from either end.

What is damaged is passed over; files may vanish while they are read (retention), and grow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from supervisor_tree.store.lines import ENTRY, Found, examine

BLOCK = 256 * 1024


def segment_files(folder: Path) -> list[Path]:
    """The segments, oldest first."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [Path(name) for name in names]
    numbered = [(int(path.stem), path) for path in found if path.suffix == ".jsonl" and path.stem.isdecimal()]
    return [folder / path for _, path in sorted(numbered)]


def scan(file: BinaryIO, at: int = 0, *, finished: bool, block: int = BLOCK) -> Iterator[Found]:
    """What is in a segment from ``at`` on. What comes after the last line end of one that is not ``finished`` is being
    written: of that only what is whole."""
    rest = b""
    file.seek(at)
    while data := file.read(block):
        *pieces, rest = (rest + data).split(b"\n")
        for piece in pieces:
            yield from examine(at, piece)
            at += len(piece) + 1
    if rest:
        yield from (found for found in examine(at, rest) if finished or found.line is not None)


def pieces_backwards(file: BinaryIO, block: int = BLOCK) -> Iterator[tuple[int, bytes]]:
    """What is between line ends, with its place, from the end; the first is what comes after the last line end."""
    at = file.seek(0, os.SEEK_END)
    rest = b""
    while at > 0:
        step = min(block, at)
        at -= step
        file.seek(at)
        data = file.read(step) + rest
        pieces = data.split(b"\n")
        rest = pieces[0]
        place = at + len(data)
        for piece in reversed(pieces[1:]):
            place -= len(piece)
            yield place, piece
            place -= 1
    yield 0, rest


def read_backwards(folder: Path, block: int = BLOCK) -> Iterator[bytes]:
    """Lines from the newest to the oldest, as they were given to the journal."""
    for path in reversed(segment_files(folder)):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue
        with file:
            for place, piece in pieces_backwards(file, block):
                for found in reversed(list(examine(place, piece))):
                    if found.line is not None:
                        yield found.line


class Line(NamedTuple):
    """A line of the journal with its number and checksum."""

    seq: int
    crc: int
    line: bytes


class Reader:
    """Follows the journal forwards, over its segments, while it is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._number = -1
        self._at = 0
        self._after = 0

    def seek(self, after: int) -> None:
        """Go on behind the line with this number, or, where it is not there, with the next that is."""
        self.close()
        self._after = after
        numbers = [int(path.stem) for path in segment_files(self._folder)]
        before = [number for number in numbers if number <= after + 1]
        self._number = before[-1] if before else (numbers[0] if numbers else -1)

    def read(self, most: int) -> list[Line]:
        """Up to so many of the next lines; none: that was all there is by now.

        Raises:
            OSError: the disk does not answer as it should.
        """
        lines: list[Line] = []
        while len(lines) < most:
            if self._file is None and not self._open():
                break
            assert self._file is not None
            # Looked for before the lines are read: the next segment is begun when this one has its last line.
            later = [path for path in segment_files(self._folder) if int(path.stem) > self._number]
            for found in scan(self._file, self._at, finished=bool(later)):
                self._at = found.offset + found.length
                line = _line(found)
                if line is not None and line.seq > self._after:
                    self._after = line.seq
                    lines.append(line)
                    if len(lines) >= most:
                        break
            else:
                if not later:
                    break
                self.close()
                self._number = int(later[0].stem)
        return lines

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._at = None, 0

    def _open(self) -> bool:
        if self._number < 0:
            self.seek(self._after)
        for path in segment_files(self._folder):
            if int(path.stem) >= self._number >= 0:
                try:
                    self._file = path.open("rb")
                except FileNotFoundError:  # retention
                    continue
                self._number = int(path.stem)
                return True
        return False


def _line(found: Found) -> Line | None:
    if found.line is None:
        return None
    try:
        return Line(ENTRY.decode(found.line).seq, found.crc, found.line)
    except msgspec.DecodeError:  # a checksum by chance
        return None
