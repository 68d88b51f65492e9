"""Following logs: new lines as they are written, woken by the system's file events, over rotation and truncation."""

from __future__ import annotations

import contextlib
import os

from supervisor_tree.logs import index
from supervisor_tree.logs.parts import log_of, open_all
from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from supervisor_tree.logs.read import Choice, Cursor, Line


class Follower:
    """New lines of several logs, whose files may come, be rotated, truncated and go."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._cursors: dict[str, list[Cursor]] = {}
        self._folders: dict[str, set[str]] = {}
        self._watcher = means.watch_files()
        self._watched: set[str] = set()
        self._look: set[str] = set()

    def fileno(self) -> int:
        """Readable when there may be news."""
        return self._watcher.fileno()

    @property
    def every(self) -> float | None:
        """Seconds between two looks where the system gives no events; None: `fileno` tells."""
        return self._watcher.every

    def add(self, cursor: Cursor) -> None:
        """Follow this log too, from where its cursor is."""
        self._cursors.setdefault(cursor.path, []).append(cursor)
        self._folders.setdefault(os.path.dirname(cursor.path), set()).add(cursor.path)
        self._look.add(cursor.path)
        self.watch(cursor.path)

    def watch(self, path: str) -> None:
        """Also wake for this file, or for the folder that it will be in."""
        folder = os.path.dirname(path) or "."
        paths = [folder] if self._watcher.tells_entries else [folder, path, index.path_of(path)]
        for each in paths:
            if each in self._watched:
                continue
            try:
                self._watcher.add(each)
            except (FileNotFoundError, NotADirectoryError):
                if each == folder != path:
                    self.watch(folder)
            else:
                self._watched.add(each)
                self._look |= self._folders.get(each, set())

    def remove(self, cursor: Cursor) -> None:
        """Follow this one no more, and let go of its file."""
        cursors = self._cursors.get(cursor.path, [])
        if cursor in cursors:
            cursors.remove(cursor)
        cursor.close()

    def news(self) -> list[Line]:
        """All lines that have ended since the last call, of all logs, by time. Never waits."""
        found = list(self.lines())
        found.sort(key=lambda line: line.time)
        return found

    def lines(self) -> Iterator[Line]:
        """As `news`, but log after log and one line at a time: however many there are, none is kept."""
        for path, kind in self._watcher.events():
            if kind == "gone":
                self._watched.discard(path)
            log = log_of(path.removesuffix(index.path_of("")))
            self._look.add(log)
            self._look |= self._folders.get(path, set())
            for folder in self._folders.keys() - self._watched:
                self._look |= self._folders[folder]
        look, self._look = self._look, set()
        for path in look:
            if path not in self._cursors:
                continue
            self.watch(path)
            for cursor in self._cursors[path]:
                yield from (line for line in _news(cursor) if self._choice.wants(line))

    def close(self) -> None:
        self._watcher.close()


def _news(cursor: Cursor) -> Iterator[Line]:
    if cursor.part is None:
        yield from _next_files(cursor)
        return
    if cursor.part.size() < cursor.at:
        # Truncated: the index has been begun anew too.
        cursor.part.close()
        cursor.part = None
        cursor.rest()
        yield from _next_files(cursor, only_newest=True)
        return
    yield from _go_on(cursor, live=True)
    if _inode(cursor.path) != cursor.part.inode:
        yield from _go_on(cursor, live=False)
        yield from _next_files(cursor)


def _go_on(cursor: Cursor, live: bool) -> Iterator[Line]:
    assert cursor.part is not None
    segments = cursor.part.segments(cursor.at, live=live)
    here = [each for each in segments if each.kind & index.DROPPED and each.start == cursor.at]
    shown = here[: cursor.marks]
    segments = [each for each in segments if each not in shown]
    at = max((each.end for each in segments if not each.kind & index.DROPPED), default=cursor.at)
    cursor.advance(cursor.part, at, segments)
    yield from cursor.feed(cursor.part, segments)


def _next_files(cursor: Cursor, only_newest: bool = False) -> Iterator[Line]:
    """The files behind the one read last, oldest first; all but the newest to their end."""
    parts = open_all(cursor.path)
    known = cursor.part.inode if cursor.part is not None else None
    places = [number for number, part in enumerate(parts) if part.inode == known]
    behind = places[-1] + 1 if places else (len(parts) - 1 if only_newest else 0)
    for part in parts[: max(behind, 0)]:
        part.close()
    for part in parts[max(behind, 0) :]:
        if cursor.part is not None:
            cursor.part.close()
        cursor.part, cursor.at = part, 0
        yield from _go_on(cursor, live=part is parts[-1])


def _inode(path: str) -> int | None:
    with contextlib.suppress(OSError):
        return os.stat(path).st_ino
    return None
