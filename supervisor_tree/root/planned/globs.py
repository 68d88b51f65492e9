"""Patterns of files: which files there are now, and which folders have to be watched to learn of others.

``*``, ``?`` and ``[…]`` match within one part of a path, ``**`` matches any number of folders. A pattern without any
of them is that file, or everything in that folder. What nobody means is left out, unless the pattern spells its
name: caches, version control, editors' temporary files.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterable
from typing import NamedTuple

LEFT_OUT = (
    *("__pycache__", ".git", ".hg", ".svn", ".tox", ".venv", ".idea", "node_modules"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".DS_Store"),
    *("*.py[co]", "*~", ".*.sw?", ".*.swpx", ".#*", "#*#", "4913", ".___jb_*___"),
)
"""Names of files and folders that no wildcard matches."""

_LEFT_OUT = re.compile("|".join(fnmatch.translate(name) for name in LEFT_OUT))
_WILD = re.compile(r"[*?[]")

Stamp = tuple[int, int, int, int]
"""Device, inode, time of the last change of the contents (ns), size."""


class Seen(NamedTuple):
    """What one look found."""

    files: dict[str, Stamp]
    folders: set[tuple[str, int, int]]
    """Path, device and inode of each folder in which something may come or go that matters."""


class Ignored:
    """Paths that never matter: folders with all that is in them, and log files with what lies beside them."""

    def __init__(self, folders: Iterable[str] = (), logs: Iterable[str] = ()) -> None:
        folders, logs = list(folders), list(logs)
        self._paths = {*folders, *logs}
        self._beginnings = (*(f"{folder}/" for folder in folders), *(f"{log}." for log in logs))

    def __contains__(self, path: str) -> bool:
        return path in self._paths or path.startswith(self._beginnings)


class Pattern:
    """One absolute pattern."""

    def __init__(self, text: str) -> None:
        parts = [part for part in text.split("/") if part not in ("", ".")]
        wild = next((place for place, part in enumerate(parts) if _WILD.search(part)), len(parts))
        self.base = "/" + "/".join(parts[:wild])
        """The folder (or file) that all matches are in."""
        rest = parts[wild:] or ["**"]
        self._whole = not parts[wild:]
        self._deep = None if "**" in rest else len(rest)
        self._spelt = {part for part in rest if not _WILD.search(part)}
        self._rest = rest

    def matches(self, path: str) -> bool:
        """Whether ``path``, absolute, is one of those meant (a file, as far as the path can tell)."""
        if path == self.base:
            return self._whole
        below = path.removeprefix(self.base.rstrip("/") + "/")
        if below == path:
            return False
        names = below.split("/")
        return not any(self._leaves_out(name) for name in names) and _fits(names, self._rest)

    def _leaves_out(self, name: str) -> bool:
        return bool(_LEFT_OUT.match(name)) and name not in self._spelt

    def look(self, seen: Seen, ignored: Ignored) -> None:
        """Add what there is now to ``seen``."""
        _watch_above(self.base, seen)
        if self._whole and not os.path.isdir(self.base):
            _stamp(self.base, seen)
        else:
            self._walk(self.base, [], seen, ignored)

    def _walk(self, folder: str, above: list[str], seen: Seen, ignored: Ignored) -> None:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return
        _watch(folder, seen)
        for entry in entries:
            path = f"{folder.rstrip('/')}/{entry.name}"
            if path in ignored or self._leaves_out(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                if self._deep is None or len(above) + 1 < self._deep:
                    self._walk(path, [*above, entry.name], seen, ignored)
            elif _fits([*above, entry.name], self._rest):
                # Of a link to a folder the link itself counts: what is in there may be where we came from.
                _stamp(path, seen)


def _watch_above(base: str, seen: Seen) -> None:
    """Folders that tell when ``base`` comes, goes or is another: the nearest one above it, and where links lead on."""
    above = os.path.dirname(base)
    while not _watch(above, seen) and above != "/":
        above = os.path.dirname(above)
    while above != "/":
        if os.path.islink(above):
            _watch(os.path.dirname(above), seen)
        above = os.path.dirname(above)


def _watch(folder: str, seen: Seen) -> bool:
    try:
        now = os.stat(folder)
    except OSError:
        return False
    if not stat.S_ISDIR(now.st_mode):
        return False
    seen.folders.add((folder, now.st_dev, now.st_ino))
    return True


def _stamp(path: str, seen: Seen) -> None:
    try:
        now = os.stat(path)
        if stat.S_ISDIR(now.st_mode):
            now = os.lstat(path)
    except OSError:
        return
    seen.files[path] = (now.st_dev, now.st_ino, now.st_mtime_ns, now.st_size)


def _fits(names: list[str], parts: list[str]) -> bool:
    """Whether the names of a path are what the parts of a pattern say."""
    if not parts or not names:
        return not parts and not names
    if parts[0] != "**":
        return fnmatch.fnmatchcase(names[0], parts[0]) and _fits(names[1:], parts[1:])
    if len(parts) == 1:
        return True
    return any(_fits(names[skipped:], parts[1:]) for skipped in range(len(names)))


def differences(before: dict[str, Stamp], after: dict[str, Stamp]) -> list[tuple[str, str]]:
    """Paths and what happened to each: added, changed, removed."""
    found = [(path, "added" if path not in before else "changed") for path in after if before.get(path) != after[path]]
    return found + [(path, "removed") for path in before if path not in after]
