"""The root's end of the link to the keeper: commits down, events up.

A commit is one frame: what was handled, what is to be done, what changed, what the journal is to say.
Nothing happens and nobody gets an answer before it is sent; the keeper acts only on whole frames. So a
root that dies at any point has either decided something or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from supervisor_tree.ipc import link as frames

_JSON = msgspec.json.Encoder()


class Commit:
    """What one round of the root gathers."""

    __slots__ = ("effects", "journal", "state")

    def __init__(self) -> None:
        self.effects: list[dict[str, Any]] = []
        self.state: dict[str, bytes | None] = {}
        self.journal: list[tuple[int, bytes]] = []

    def __bool__(self) -> bool:
        return bool(self.effects or self.state or self.journal)


class KeeperLink:
    """Sends commits in order; remembers the last event handled and the last journal line written."""

    def __init__(self, link: frames.Link, *, committed: int = 0) -> None:
        self.link = link
        self.committed = committed
        self.acknowledged = 0
        """Number of the last event handled."""
        self.told = 0
        """Number of the last event whose handling the keeper was told of."""
        self.written = 0
        self._told_written = 0

    @property
    def behind(self) -> bool:
        """The keeper keeps something that it may let go of."""
        return self.told != self.acknowledged or self._told_written != self.written

    def commit(self, commit: Commit) -> None:
        """Send one commit.

        Raises:
            LinkClosed: the keeper is gone.
        """
        self.committed += 1
        state_sizes, state_blob = frames.pack_items(commit.state.items())
        journal_sizes, journal_blob = frames.pack_items(commit.journal)
        head = _JSON.encode(
            {
                "t": "commit",
                "seq": self.committed,
                "ack": self.acknowledged,
                "written": self.written,
                "effects": commit.effects,
                "state": state_sizes,
                "journal": journal_sizes,
            }
        )
        self.told = self.acknowledged
        self._told_written = self.written
        self.link.send_bytes(frames.frame(head, state_blob + journal_blob))

    def write_later(self, loop: asyncio.AbstractEventLoop, on_closed: Callable[[], None]) -> None:
        """Send what the keeper has not taken once it takes more; ``on_closed`` is called when it is gone by then."""
        link = self.link

        def on_writable() -> None:
            try:
                link.flush()
            except frames.LinkClosed:
                loop.remove_writer(link.fileno())
                on_closed()
                return
            if not link.wants_write:
                loop.remove_writer(link.fileno())

        loop.add_writer(link.fileno(), on_writable)
