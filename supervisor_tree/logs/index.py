"""The index beside a log file: which stream wrote which bytes, and when.

The index of ``FILE`` is ``FILE.idx`` (so ``web.log.1`` has ``web.log.1.idx``). It is binary, little-endian and
append-only: a header of 16 bytes (`MAGIC`, inode of the log file as u64), then records of 16 bytes::

    u64  kind in the top byte, below it the wall-clock time in microseconds since 1970
    u64  offset in the log file up to which the bytes since the record before came from that stream
         (of a `DROPPED` record: how many bytes of that stream are missing at this place)

Records are written after the bytes they speak of, so an index may end before its file does: those bytes are of
unknown stream, about as old as the file's last change. Times go back when the wall clock does.
"""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"STINDEX1"
HEADER = struct.Struct("<8sQ")
RECORD = struct.Struct("<QQ")
SIZE = RECORD.size

OUT, ERR, ALL, UNKNOWN = 0, 1, 2, 3
DROPPED = 0x10
"""Or-ed to a stream: bytes of it were dropped here."""
KINDS = {"out": OUT, "err": ERR, "all": ALL}
NAMES = {OUT: "out", ERR: "err", ALL: "all", UNKNOWN: "all"}
_TIME = (1 << 56) - 1


def path_of(log: str) -> str:
    """Where the index of a log file is."""
    return log + ".idx"


def header(inode: int) -> bytes:
    return HEADER.pack(MAGIC, inode)


def record(kind: int, when: float, value: int) -> bytes:
    """One record; ``when`` in seconds since 1970."""
    return RECORD.pack(kind << 56 | int(when * 1e6) & _TIME, value)


def inode_of(path: str) -> int | None:
    """The inode of the log file that this index was begun for; None where there is no index."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read(HEADER.size)
    except OSError:
        return None
    if len(data) < HEADER.size or not data.startswith(MAGIC):
        return None
    return int(HEADER.unpack(data)[1])


def records(data: bytes) -> Iterator[tuple[int, float, int]]:
    """``(kind, time, value)`` of each whole record in what follows the header."""
    whole = len(data) - len(data) % SIZE
    for first, value in RECORD.iter_unpack(memoryview(data)[:whole]):
        yield first >> 56, (first & _TIME) / 1e6, value


def last(fd: int) -> tuple[int, int]:
    """Of the index open at ``fd``: the offset up to which it knows its file, and of which kind the last bytes are.

    ``(0, -1)`` where it knows nothing."""
    size = os.fstat(fd).st_size
    at = size - (size - HEADER.size) % SIZE
    while at > HEADER.size:
        at -= SIZE
        first, value = RECORD.unpack(os.pread(fd, SIZE, at))
        if not first >> 56 & DROPPED:
            return int(value), int(first >> 56)
    return 0, -1
