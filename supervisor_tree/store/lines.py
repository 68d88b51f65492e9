"""How a line stands in the journal: its JSON with a checksum as the last field, so that what was changed on the disk is
known for what it is: a flipped bit in a number is JSON, too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

import msgspec

_BEFORE, _AFTER = b',"crc":"', b'"}'
_TAIL = len(_BEFORE) + 8 + len(_AFTER)
_START = re.compile(rb'\{"time":"')
_END = re.compile(rb',"crc":"[0-9a-f]{8}"\}')
_TRIES = 200
"""Beginnings that are tried for one end in a damaged piece."""


class Entry(msgspec.Struct):
    """The part of a line that the store itself reads."""

    seq: int = 0
    time: str = ""


ENTRY = msgspec.json.Decoder(Entry)


class Found(NamedTuple):
    """What stands at one place of a segment."""

    offset: int
    length: int
    """With the line's end."""
    line: bytes | None
    """As it was given to `seal`; None: damaged."""
    crc: int


def seal(line: bytes) -> bytes:
    """A JSON object as it is written, without line end."""
    return b"%s%s%08x%s" % (line[:-1], _BEFORE, crc32(line), _AFTER)


def unseal(raw: bytes) -> tuple[bytes, int] | None:
    """What was given to `seal` and its checksum; None: this is not what was written."""
    if raw[-_TAIL:-10] != _BEFORE or raw[-2:] != _AFTER:
        return None
    line = raw[:-_TAIL] + b"}"
    crc = crc32(line)
    return (line, crc) if b"%08x" % crc == raw[-10:-2] else None


def examine(offset: int, raw: bytes) -> Iterator[Found]:
    """What is between two line ends: a line; or damage, and whole lines within it (a line end may be what was hit)."""
    whole = unseal(raw)
    if whole is not None:
        yield Found(offset, len(raw) + 1, *whole)
        return
    done = 0
    for end in _END.finditer(raw):
        for tried, start in enumerate(_START.finditer(raw, done, end.end())):
            inner = unseal(raw[start.start() : end.end()])
            if inner is not None:
                if start.start() > done:
                    yield Found(offset + done, start.start() - done, None, 0)
                yield Found(offset + start.start(), end.end() - start.start(), *inner)
                done = end.end()
                break
            if tried >= _TRIES:
                break
    if raw:  # the rest, with the line's end; what is left of a good line is the end alone, and that is no damage
        rest = len(raw) - done
        if rest:
            yield Found(offset + done, rest + 1, None, 0)
