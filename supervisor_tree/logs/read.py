"""Reading logs back: the last lines, the lines since a time, those that match; of one worker or of several by time.

Lines come as they were written, byte for byte. Where two streams share a file and their bytes got mixed within a line,
the index tells them apart, so that each line here is of one stream.
"""

from __future__ import annotations

import heapq
import time
from collections import deque

from supervisor_tree.logs import index
from supervisor_tree.logs.parts import Part, open_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from re import Pattern
    from typing import NamedTuple

    from supervisor_tree.logs.parts import Segment

    class Line(NamedTuple):
        """``time``: seconds since 1970 when its end was written; ``data`` with its newline, if it has one;
        ``dropped``: so many bytes of the stream are missing here (then ``data`` is empty)."""

        time: float
        name: str
        stream: str
        data: bytes
        dropped: int

else:
    from collections import namedtuple

    Line = namedtuple("Line", "time name stream data dropped")  # noqa: PYI024 - typing costs `logs` 4 ms

_WINDOW = 64 * 1024


class Choice:
    """Which lines are wanted."""

    def __init__(
        self, since: float | None = None, grep: Pattern[bytes] | None = None, streams: Sequence[str] | None = None
    ) -> None:
        self.since = since
        self._grep = grep
        self._streams = None if streams is None else frozenset(streams)

    def wants(self, line: Line) -> bool:
        if self._streams is not None and line.stream not in self._streams:
            return False
        if self.since is not None and line.time < self.since:
            return False
        return self._grep is None or bool(line.dropped) or self._grep.search(line.data.rstrip(b"\r\n")) is not None


class Cursor:
    """One log with its rotated files, and how far it has been read."""

    def __init__(self, name: str, path: str, stream: str | None = None, longest: int | None = None) -> None:
        """
        Args:
            stream: what the bytes are where the index does not say (a file for stderr alone).
            longest: bytes of a line that has no end yet that are kept, so that one without an end fills no memory.
        """
        self.name = name
        self.path = path
        self.part: Part | None = None
        self.at = 0
        """How far ``part`` has been read."""
        self.marks = 0
        """Marks of dropped bytes shown at just that place."""
        self._unknown = stream or "all"
        self._pending: dict[str, bytearray] = {}
        self._longest = longest

    def close(self) -> None:
        """Let go of the file that was being read."""
        if self.part is not None:
            self.part.close()
            self.part = None

    def last(self, count: int, choice: Choice) -> list[Line]:
        """The last ``count`` wanted lines."""
        parts = open_all(self.path)
        lines: deque[Line] = deque()
        window, first = _WINDOW, len(parts) - 1
        while first >= 0:
            start = max(0, parts[first].size() - window)
            lines = deque(self._forward(parts[first:], start, choice), maxlen=count)
            if len(lines) == count:
                break
            if start == 0:
                first -= 1
            window *= 4
        self._keep(parts)
        return list(lines)

    def all(self, choice: Choice) -> Iterator[Line]:
        """Every wanted line."""
        parts = open_all(self.path)
        start = 0
        if choice.since is not None:
            while len(parts) > 1 and not _since(parts[0], choice.since)[0]:
                parts.pop(0).close()
            if parts:
                start = parts[0].line_start(_since(parts[0], choice.since)[1])
        yield from self._forward(parts, start, choice)
        self._keep(parts)

    def rest(self, when: float | None = None) -> list[Line]:
        """Lines that have no end (yet)."""
        found = [
            Line(time.time() if when is None else when, self.name, stream, bytes(data), 0)
            for stream, data in self._pending.items()
            if data
        ]
        self._pending.clear()
        return found

    def feed(self, part: Part, segments: list[Segment]) -> Iterator[Line]:
        """The lines that end in these segments."""
        pending = self._pending
        for segment, data in part.chunks(segments):
            stream = self._unknown if segment.kind == index.UNKNOWN else index.NAMES.get(segment.kind & 0xF, "all")
            if segment.kind & index.DROPPED:
                begun = pending.pop(stream, None)
                if begun:
                    yield Line(segment.time, self.name, stream, bytes(begun), 0)
                yield Line(segment.time, self.name, stream, b"", segment.end)
                continue
            begun = pending.get(stream)
            if begun:
                head, newline, data = data.partition(b"\n")
                begun += head if self._longest is None else head[: max(0, self._longest - len(begun))]
                if not newline:
                    continue
                yield Line(segment.time, self.name, stream, bytes(begun) + b"\n", 0)
                begun.clear()
            if not data:
                continue
            *lines, tail = data.split(b"\n")
            for line in lines:
                yield Line(segment.time, self.name, stream, line + b"\n", 0)
            if tail:
                pending[stream] = bytearray(tail if self._longest is None else tail[: self._longest])

    def advance(self, part: Part, at: int, segments: list[Segment]) -> None:
        """``segments`` of ``part``, up to the offset ``at``, have been taken."""
        marks = sum(1 for each in segments if each.kind & index.DROPPED and each.start == at)
        self.marks = marks + (self.marks if part is self.part and at == self.at else 0)
        self.part, self.at = part, at

    def _forward(self, parts: list[Part], start: int, choice: Choice) -> Iterator[Line]:
        self._pending.clear()
        for part in parts:
            if start:
                start = self._skip_to_lines(part, start)
            segments = part.segments(start)
            at = max((each.end for each in segments if not each.kind & index.DROPPED), default=start)
            self.advance(part, at, segments)
            for line in self.feed(part, segments):
                if choice.wants(line):
                    yield line
            start = 0

    def _skip_to_lines(self, part: Part, start: int) -> int:
        """The beginning of a line at or behind ``start``: what stands in the middle of one is not known whole."""
        while start < part.size():
            if part.byte(start - 1) == b"\n":
                return start
            found = part.find_newline(start)
            if found < 0:
                break
            start = found + 1
        return part.size()

    def _keep(self, parts: list[Part]) -> None:
        """Go on with the newest file."""
        for part in parts[:-1]:
            part.close()
        self.part = parts[-1] if parts else None


def _since(part: Part, since: float) -> tuple[bool, int]:
    """Whether a file has something of this time or later, and the offset of the first of that."""
    for segment in part.segments():
        if segment.time >= since and not segment.kind & index.DROPPED:
            return True, segment.start
    return False, part.size()


def tail(
    cursors: Iterable[Cursor], count: int | None = None, choice: Choice | None = None, unended: bool = True
) -> Iterator[Line]:
    """The last ``count`` wanted lines of all these logs together (None: all of them), in the order of their times.

    ``unended``: also what stands at the very end without a newline.
    """
    choice = choice or Choice()

    def of(cursor: Cursor) -> Iterator[Line]:
        yield from cursor.all(choice) if count is None else cursor.last(count, choice)
        if unended:
            yield from (line for line in cursor.rest() if choice.wants(line))

    sources = [_in_order(of(cursor)) for cursor in cursors]
    merged = sources[0] if len(sources) == 1 else heapq.merge(*sources, key=lambda pair: pair[0])
    lines = (line for _, line in merged)
    return lines if count is None else iter(deque(lines, maxlen=count))


def _in_order(lines: Iterator[Line]) -> Iterator[tuple[float, Line]]:
    """Lines of one log stay in their order, also where the wall clock has jumped back."""
    latest = 0.0
    for line in lines:
        latest = max(latest, line.time)
        yield latest, line
