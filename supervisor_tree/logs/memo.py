"""What a killed logger knew, in a memfd that its keeper holds too: no disk, no system call to write it."""

from __future__ import annotations

import mmap
import os
import struct

from supervisor_tree.logs import index

_HEAD = struct.Struct("<B?H")
_COUNT = struct.Struct("<I")
_NOTE = struct.Struct("<Q16s")
_COUNT_AT = 8
_PATH_AT = 16
_NOTES_AT = 8192
MOST = 512
"""Index records that it holds; then the indexes have to be written."""
_SIZE = _NOTES_AT + MOST * _NOTE.size
END = 65536
"""Where the memfd is free for others (`spill`)."""


class Memo:
    """Whose bytes lie in the staging pipe, and index records that are not on disk yet.

    The first is written only while the staging pipe is empty; the count of records after the record: so a kill in
    the middle of either does no harm.
    """

    def __init__(self, fd: int) -> None:
        if os.fstat(fd).st_size < _SIZE:
            os.ftruncate(fd, _SIZE)
        self._map = mmap.mmap(fd, _SIZE)
        self._left: dict[int, list[bytes]] = {}
        self._count: int = _COUNT.unpack_from(self._map, _COUNT_AT)[0]
        for number in range(min(self._count, MOST)):
            inode, record = _NOTE.unpack_from(self._map, _NOTES_AT + number * _NOTE.size)
            self._left.setdefault(inode, []).append(record)

    def close(self) -> None:
        """Let go of it; the memfd itself lives on with the keeper."""
        self._map.close()

    @property
    def full(self) -> bool:
        return self._count >= MOST

    def stage(self, path: str, kind: int, block: bool) -> None:
        """From now on the staging pipe holds bytes of this kind of stream for this log file.

        ``block``: none of them may be dropped."""
        data = os.fsencode(path)
        self._map[_PATH_AT : _PATH_AT + len(data)] = data
        _HEAD.pack_into(self._map, 0, kind, block, len(data))

    def staged(self) -> tuple[str, int, bool] | None:
        """What `stage` was told last; None when nothing was ever staged."""
        kind, block, length = _HEAD.unpack_from(self._map, 0)
        if not length:
            return None
        return os.fsdecode(self._map[_PATH_AT : _PATH_AT + length]), kind, block

    def note(self, inode: int, record: bytes) -> None:
        """Keep one index record of the log file ``inode`` until `clear`."""
        if self._count < MOST:
            _NOTE.pack_into(self._map, _NOTES_AT + self._count * _NOTE.size, inode, record)
            self._count += 1
            _COUNT.pack_into(self._map, _COUNT_AT, self._count)

    def clear(self) -> None:
        """All records are in the indexes."""
        self._count = 0
        _COUNT.pack_into(self._map, _COUNT_AT, 0)

    def left(self, inode: int, known: int, size: int) -> list[bytes]:
        """Records of a logger before about bytes of this file behind ``known``."""
        found = []
        for record in self._left.get(inode, ()):
            first, end = index.RECORD.unpack(record)
            if first >> 56 & index.DROPPED or known < end <= size:
                found.append(record)
        return found
