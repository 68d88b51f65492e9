"""The journal's lines between a commit and the disk: the keeper has them until it is told that the disk has, and `why`
and `events` see them already."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from supervisor_tree.ipc.link import LinkClosed
from supervisor_tree.root.keeper_link import Commit

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell
    from supervisor_tree.store.journal import Journal

Line = tuple[int, bytes]

_WRITE_AFTER = 0.01
"""Seconds for which lines are gathered (the keeper has them): the journal's thread shall not take the processor and the
interpreter's lock between an exit and the restart."""
_UNWRITTEN_MOST = 100_000
"""Lines remembered for `why` and `events` while the disk takes none."""
_TELL_WRITTEN = 0.5
"""Seconds within which the keeper is told what the journal has on disk when nothing else is said."""


class JournalLines:
    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.journal: Journal | None = None
        self._unwritten: deque[Line] = deque(maxlen=_UNWRITTEN_MOST)
        self._writing: asyncio.TimerHandle | None = None
        self._telling: asyncio.TimerHandle | None = None

    @property
    def dropped(self) -> int:
        """Lines that the disk was too slow for."""
        return 0 if self.journal is None else self.journal.dropped

    def append(self, lines: list[Line]) -> None:
        """These are committed."""
        if self.journal is None or not lines:
            return
        self._unwritten.extend(lines)
        self.journal.append(lines, later=True)
        if self._writing is None:
            self._writing = self._shell.loop.call_later(_WRITE_AFTER, self._write)

    def unwritten(self) -> list[Line]:
        """Those that are not on the disk yet, oldest first."""
        return list(self._unwritten)

    def on_written(self, seq: int) -> None:
        """The journal (its thread) has everything up to ``seq`` on disk."""
        self._shell.store.written()
        self._shell.loop.call_soon_threadsafe(self._written, seq)

    def close(self) -> None:
        """What is queued is written."""
        if self.journal is not None:
            self.journal.close()

    def _write(self) -> None:
        self._writing = None
        if self.journal is not None:
            self.journal.write()

    def _written(self, seq: int) -> None:
        keeper = self._shell.keeper
        keeper.written = max(keeper.written, seq)
        self._shell.store.look()
        while self._unwritten and self._unwritten[0][0] <= seq:
            self._unwritten.popleft()
        if self._telling is None:
            self._telling = self._shell.loop.call_later(_TELL_WRITTEN, self._tell)

    def _tell(self) -> None:
        self._telling = None
        if self._shell.keeper.behind:
            try:
                self._shell.keeper.commit(Commit())
            except LinkClosed:
                self._shell.on_keeper_gone()
