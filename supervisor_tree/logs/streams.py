"""One pipe of one incarnation, as the logger sees it."""

from __future__ import annotations

from supervisor_tree.logs import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.logs.files import LogFile


class Stream:
    """The read end of a worker's pipe and the file that its bytes go to."""

    __slots__ = (
        "capacity", "dropped", "ended", "fd", "file", "flush", "id", "inc", "kind", "moved", "name", "queued", "read",
        "reported", "stream", "unmarked",
    )  # fmt: skip

    def __init__(self, head: dict[str, Any], fd: int, file: LogFile) -> None:
        self.id: Any = head["id"]
        self.name: str = head["name"]
        self.inc: int = head["inc"]
        self.stream: str = head["stream"]
        self.kind = index.KINDS[self.stream]
        self.fd = fd
        self.file = file
        self.capacity = 0
        """Bytes that the pipe can hold."""
        self.ended = False
        """No writer is left: what is in the pipe is all there will be."""
        self.flush = False
        """Take everything now, half a line too."""
        self.queued = False
        """In the mover's queue of pipes to look at."""
        self.reported = False
        """The keeper was told `done` (a daemon that is left may still write)."""
        self.read = bytearray()
        """Bytes read and not yet written, where there is no splice."""
        self.moved = 0
        """Bytes taken from the pipe over its life, dropped ones too."""
        self.dropped = 0
        """Bytes of these that were thrown away."""
        self.unmarked = 0
        """Bytes thrown away since the last mark in the index."""

    def count_dropped(self, size: int) -> None:
        """``size`` bytes of the pipe were thrown away."""
        self.moved += size
        self.dropped += size
        self.unmarked += size

    def notice(self, what: str, **more: Any) -> dict[str, Any]:
        """A frame for the keeper: something that has happened to this stream."""
        head = {"t": "notice", "what": what, "name": self.name, "inc": self.inc, "stream": self.stream}
        return {**head, "file": self.file.path, **more}
