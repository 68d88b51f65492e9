"""What one run of a job has written: pieces of files, read when it has ended. All of this reads the disk."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from supervisor_tree.root.outputs.outputs import LONGEST

_BLOCK = 1 << 20


class Piece(Struct, frozen=True):
    """The bytes of a file from ``start`` to ``end`` (None: its end)."""

    path: str
    start: int = 0
    end: int | None = None


class RunOutput(Struct, frozen=True):
    """The output of a run, in its order."""

    pieces: tuple[Piece, ...]


def read_output(output: RunOutput, most: int = 4 << 20) -> str:
    """The text of a run, UTF-8 with replacement; of a longer one the last ``most`` bytes, from a line's begin on.

    What can't be read (any more) is left out."""
    parts: list[bytes] = []
    left = most
    cut = False
    for piece in reversed(output.pieces):
        if left <= 0:
            cut = True
            break
        data, whole = _last(piece, left)
        parts.append(data)
        left -= len(data)
        cut = cut or not whole
    data = b"".join(reversed(parts))
    if cut:
        data = data.partition(b"\n")[2]
    return data.decode(errors="replace")


def matches(output: RunOutput, pattern: re.Pattern[str]) -> bool:
    """Whether a line of a run matches, however long ago; of each line the first `LONGEST` bytes count."""
    return any(pattern.search(line.decode(errors="replace")) for piece in output.pieces for line in _lines(piece))


def _last(piece: Piece, most: int) -> tuple[bytes, bool]:
    try:
        with open(piece.path, "rb") as file:
            end = file.seek(0, 2) if piece.end is None else min(piece.end, file.seek(0, 2))
            start = max(piece.start, end - most)
            file.seek(start)
            return file.read(max(0, end - start)), start == piece.start
    except OSError:
        return b"", True


def _lines(piece: Piece) -> Iterator[bytes]:
    begun = b""
    try:
        with open(piece.path, "rb") as file:
            file.seek(piece.start)
            left = float("inf") if piece.end is None else piece.end - piece.start
            while left > 0 and (data := file.read(int(min(_BLOCK, left)))):
                left -= len(data)
                *lines, tail = data.split(b"\n")
                for line in lines:
                    yield (begun + line[:LONGEST])[:LONGEST].rstrip(b"\r")
                    begun = b""
                begun = (begun + tail[:LONGEST])[:LONGEST]
    except OSError:
        return
    if begun:
        yield begun.rstrip(b"\r")
