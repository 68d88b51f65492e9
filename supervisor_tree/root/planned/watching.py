"""A thread that learns of changed files, by the library `watchfiles` (the extra `watch`).

The library only says that something happened in a folder; what changed is found by looking. So nothing is lost
where it loses events (a flood, a folder that is replaced, one that did not exist yet), and reading a file or
setting its mode is no change. It looks at its queue five times a second: a tree without `watch` has no such thread.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from supervisor_tree.root.planned.globs import Ignored, Pattern, Seen, Stamp, differences

Patterns = tuple[str, ...]
Changes = list[tuple[str, str]]
Folders = set[tuple[str, int, int]]

_MEND = "watch fewer folders, or raise fs.inotify.max_user_watches and max_user_instances; then `ctl reload`"

_STEP = 200
"""Milliseconds between two looks at the library's queue."""
_QUIET = 300
"""Milliseconds without another change after which what changed is told …"""
_AT_MOST = 10.0
"""… and seconds after which it is told in any case."""


class Begun(NamedTuple):
    """The first look at some patterns: how many files and folders, and the file that was written last (wall clock)."""

    files: int
    folders: int
    newest: tuple[float, str] | None


class Watching:
    """Watches for the patterns of all workers. The callbacks run in its thread."""

    def __init__(
        self,
        patterns: Iterable[Patterns],
        ignored: Ignored,
        *,
        begun: Callable[[dict[Patterns, Begun]], None],
        changed: Callable[[Patterns, Changes], None],
        failed: Callable[[str, str], None],
        before: Watching | None = None,
    ) -> None:
        """``failed`` is told what went wrong, and its mend. ``before``: whose looks are gone on from."""
        self._patterns = {one: [Pattern(text) for text in one] for one in patterns}
        self._ignored = ignored
        self._begun, self._changed, self._failed = begun, changed, failed
        self._files: dict[Patterns, dict[str, Stamp]] = dict(before._files) if before is not None else {}
        self._found: dict[Patterns, dict[str, str]] = {}
        """What changed and has not been told yet."""
        self._found_first = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def does(self, patterns: set[Patterns]) -> bool:
        """Whether it watches for just these."""
        return self._thread.is_alive() and patterns == self._patterns.keys()

    def end(self) -> None:
        """Ask it to end; nobody waits for it."""
        self._ended.set()

    def _run(self) -> None:
        try:
            folders, _ = self._look()
            while not self._ended.is_set():
                folders = self._watch(folders)
        except Exception as error:
            self._failed(str(error) or repr(error), _MEND)

    def _watch(self, folders: Folders) -> Folders:
        """Watch these folders until there are others; these are returned."""
        from watchfiles._rust_notify import RustNotify

        with RustNotify([path for path, *_ in folders], False, False, 0, False, True) as queue:
            # Only now nothing is missed any more: look at what came before.
            now, _ = self._look()
            while now == folders and not self._ended.is_set():
                events = queue.watch(_STEP, _STEP, _QUIET if self._found else 0, self._ended)
                stirred = isinstance(events, set) and any(self._matters(path) for _, path in events)
                if not stirred and not self._found:
                    continue
                # Also when nothing stirs: a folder that is new had no watch when files came into it.
                now, more = self._look()
                if (not stirred and not more) or time.monotonic() - self._found_first > _AT_MOST:
                    self._tell()
        return now

    def _tell(self) -> None:
        found, self._found = self._found, {}
        for patterns, changes in found.items():
            self._changed(patterns, list(changes.items()))

    def _matters(self, path: str) -> bool:
        """Whether an event at ``path`` may be about a file that is meant."""
        if path in self._ignored:
            return False
        if any(pattern.matches(path) for patterns in self._patterns.values() for pattern in patterns):
            return True
        try:
            # Of a plain file that is not meant nothing follows; a folder or a link may lead to one that is.
            return not stat.S_ISREG(os.lstat(path).st_mode)
        except OSError:
            return True

    def _look(self) -> tuple[Folders, bool]:
        """The folders that are to be watched, and whether something has changed since the last look."""
        folders: Folders = set()
        begun: dict[Patterns, Begun] = {}
        more = False
        for patterns, compiled in self._patterns.items():
            seen = Seen({}, set())
            for pattern in compiled:
                pattern.look(seen, self._ignored)
            folders |= seen.folders
            before, self._files[patterns] = self._files.get(patterns), seen.files
            if before is None:
                begun[patterns] = _begun(seen)
            elif changes := differences(before, seen.files):
                more = True
                if not self._found:
                    self._found_first = time.monotonic()
                found = self._found.setdefault(patterns, {})
                for path, what in changes:
                    found.setdefault(path, what)
        if begun:
            self._begun(begun)
        return folders, more


def _begun(seen: Seen) -> Begun:
    now = time.time()
    written = [(stamp[2] / 1e9, path) for path, stamp in seen.files.items()]
    return Begun(len(seen.files), len(seen.folders), max((one for one in written if one[0] <= now), default=None))
