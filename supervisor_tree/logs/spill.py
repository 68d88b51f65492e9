"""Bytes of workers that may not lose any (``on_full = "block"``), taken from their pipes when the disk was full.

They wait in the memfd that the keeper holds too, behind the memo: a full disk and a killed logger together lose none.
"""

from __future__ import annotations

import os
import struct

from supervisor_tree.logs.memo import END

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.logs.carry import Carry

_HEAD = struct.Struct("<BBxxIQQ")
_FREE, _FILLING, _HELD = 0, 1, 2
_NOT_BEGUN = (1 << 64) - 1
_PATH_AT = 64
_DATA_AT = 8192
_SLOT = _DATA_AT + (1 << 20)
SLOTS = 256
"""Files that may be in trouble at once. The memfd is sparse: what is not used costs nothing."""


class Spill:
    """One slot: the bytes of one stream for one log file."""

    def __init__(self, fd: int, number: int, path: str, kind: int, size: int, base: int) -> None:
        self._fd = fd
        self._at = END + number * _SLOT
        self.number = number
        self.path = path
        self.kind = kind
        self.size = size
        self._base = base
        self.done = 0
        """Bytes of it that are in the file."""

    def fill(self, carry: Carry) -> None:
        """Take what ``carry`` has taken."""
        self._head(_FILLING)
        os.pwrite(self._fd, os.fsencode(self.path), self._at + _PATH_AT)
        carry.keep(self._fd, self._at + _DATA_AT)
        self._head(_HELD)

    def write(self, fd: int, end: int) -> int:
        """Write some at ``fd``, whose file ends at ``end``; how much that was, 0 when nothing is left.

        Raises:
            OSError: the disk is still full.
        """
        if self._base == _NOT_BEGUN:
            self._base = end
            self._head(_HELD)
        else:
            self.done = min(max(end - self._base, 0), self.size)
        data = os.pread(self._fd, min(65536, self.size - self.done), self._at + _DATA_AT + self.done)
        written = os.write(fd, data) if data else 0
        self.done += written
        return written

    def free(self) -> None:
        self._head(_FREE)

    def _head(self, state: int) -> None:
        os.pwrite(self._fd, _HEAD.pack(state, self.kind, len(os.fsencode(self.path)), self.size, self._base), self._at)


class Spills:
    """All slots of the memfd ``fd``."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._used: set[int] = set()

    def left(self, staged: int) -> list[Spill]:
        """What a logger before has left; ``staged``: bytes that were still in the staging pipe."""
        found = []
        for number in range(SLOTS):
            at = END + number * _SLOT
            head = os.pread(self._fd, _HEAD.size, at)
            if len(head) < _HEAD.size:
                break
            state, kind, length, size, base = _HEAD.unpack(head)
            if state == _FREE:
                continue
            path = os.fsdecode(os.pread(self._fd, length, at + _PATH_AT))
            # While it was being filled: what is not in the staging pipe any more is here.
            size -= staged if state == _FILLING else 0
            self._used.add(number)
            found.append(Spill(self._fd, number, path, kind, size, base))
        return found

    def take(self, path: str, kind: int, size: int) -> Spill | None:
        """A free slot; None: there is none."""
        for number in range(SLOTS):
            if number not in self._used:
                self._used.add(number)
                return Spill(self._fd, number, path, kind, size, _NOT_BEGUN)
        return None

    def free(self, spill: Spill) -> None:
        spill.free()
        self._used.discard(spill.number)
