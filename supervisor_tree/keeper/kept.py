"""What the keeper keeps for whoever is root: state, journal lines, events (`processes.md` 2).

It understands none of it: state values and journal lines are bytes, events are handed on as they came.
"""

from __future__ import annotations

import time
from collections import deque

from supervisor_tree.ipc.link import pack_items, unpack_items

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


_JOURNAL_MOST = 100_000
"""Journal lines kept for a disk that takes none; beyond them the oldest go. The root counts those it drops."""


class Kept:
    def __init__(self) -> None:
        self.seq = 0
        """Sequence number of the last commit."""
        self.state: dict[str, bytes] = {}
        self.journal: deque[tuple[int, bytes]] = deque()
        self.written = 0
        """Number of the last journal line that is on the disk, as far as we were told."""
        self.events: deque[dict[str, Any]] = deque()
        """Not acknowledged, oldest first."""
        self._next = 1
        self.unsent: list[dict[str, Any]] = []
        """Events that the root of now has not been sent; the brain empties it."""

    def event(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Keep an event until a commit acknowledges it."""
        head = {"t": "event", "n": self._next, "kind": kind, "at": time.monotonic(), **fields}
        self._next += 1
        self.events.append(head)
        self.unsent.append(head)
        return head

    def store(self, head: dict[str, Any], blob: bytes) -> bool:
        """Take over state, journal and acknowledgements of a commit. False: it was stored before."""
        seq = int(head["seq"])
        if seq <= self.seq:
            return False
        state: Sequence[Sequence[Any]] = head.get("state") or ()
        lines: Sequence[Sequence[Any]] = head.get("journal") or ()
        offset = 0
        if state:
            items, offset = unpack_items(state, blob)
            for key, value in items:
                if value is None:
                    self.state.pop(key, None)
                else:
                    self.state[key] = value
        if lines:
            self.journal.extend((j, line or b"") for j, line in unpack_items(lines, blob, offset)[0])
            while len(self.journal) > _JOURNAL_MOST:
                self.journal.popleft()
        acknowledged = head.get("ack") or 0
        while self.events and self.events[0]["n"] <= acknowledged:
            self.events.popleft()
        self.written = max(self.written, head.get("written") or 0)
        while self.journal and self.journal[0][0] <= self.written:
            self.journal.popleft()
        self.seq = seq
        return True

    def set_aside(self, event: dict[str, Any]) -> None:
        """Forget an event although nobody acknowledged it."""
        self.events.remove(event)

    def handed(self) -> tuple[dict[str, Any], bytes]:
        """The part of ``hello`` that a new root takes over, and its blob."""
        state, values = pack_items(self.state.items())
        journal, lines = pack_items(self.journal)
        head = {
            "commit": self.seq,
            "state": state,
            "journal": journal,
            "written": self.written,
            "events": list(self.events),
        }
        return head, values + lines
