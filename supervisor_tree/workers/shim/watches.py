"""What a shim watches of a program that says nothing by itself: each watch holds, or says in a sentence why not.

No clock is read here: ``now`` is seconds of a monotonic clock, ``wall`` seconds of the wall clock.
"""

from __future__ import annotations

import os
import re
from typing import Any

from supervisor_tree.workers.shim import json_file
from supervisor_tree.workers.shim.words import span

_LONGEST_SHOWN = 80


class Watch:
    """One condition. ``status``: the word for it where it does not hold (`CDP_DOWN`)."""

    def __init__(self, name: str, status: str | None = None) -> None:
        self.name = name
        self.status = status

    def missing(self, now: float) -> str | None:
        """Why it does not hold at ``now``, in words; None: it holds."""
        raise NotImplementedError


class OutputWatch(Watch):
    """A line of the output matches ``pattern``: at least once, or (``fresh``, seconds) not longer ago than that."""

    def __init__(self, pattern: str, fresh: float | None = None, status: str | None = None) -> None:
        super().__init__(f'output "{pattern}"', status)
        self._pattern = re.compile(pattern)
        self._fresh = fresh
        self._seen: float | None = None

    @property
    def settled(self) -> bool:
        """Nothing that comes can change it any more."""
        return self._fresh is None and self._seen is not None

    def read(self, lines: list[str], now: float) -> None:
        """These lines have come."""
        if not self.settled and any(self._pattern.search(line) for line in lines):
            self._seen = now

    def missing(self, now: float) -> str | None:
        if self._seen is None:
            return f"{self.name} has not come yet"
        if self._fresh is not None and now - self._seen > self._fresh:
            return f"{self.name} has not come for {span(now - self._seen)}"
        return None


class FileWatch(Watch):
    """A file is there (``exists``), has changed within ``fresh`` seconds, has the JSON ``key``, or its value has
    changed within ``changes`` seconds.

    How old a change is comes from the file at the first look only. From then on it is counted on the monotonic
    clock: a wall clock that jumps makes no file stale.
    """

    def __init__(
        self,
        path: str,
        *,
        exists: bool = True,
        fresh: float | None = None,
        key: str | None = None,
        changes: float | None = None,
        status: str | None = None,
    ) -> None:
        super().__init__(path, status)
        self.path = os.path.expanduser(path)
        self._exists = exists
        self._fresh = fresh
        self._key = key
        self._steps = None if key is None else json_file.steps(key)
        self._changes = changes
        self._there = False
        self._trouble: str | None = None
        self._looked: float | None = None
        self._state: tuple[int, int, int, int] | None = None
        self._unread = False
        self._changed = 0.0
        self._value: Any = _NOTHING
        self._value_since = 0.0

    def look(self, now: float, wall: float) -> None:
        """Look at the file as it is now."""
        self._trouble = None
        try:
            seen = os.stat(self.path)
        except FileNotFoundError:
            self._there = False
            self._looked = now
            return
        except OSError as error:
            self._trouble = f"{error.strerror}"
            return
        self._there = True
        state = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns)
        if state != self._state:
            earliest = float("-inf") if self._looked is None else self._looked
            self._changed = max(earliest, now - max(0.0, wall - seen.st_mtime))
            self._unread = self._steps is not None
            self._state = state
        if self._unread:
            self._read(now if self._looked is None else self._changed)
        self._looked = now

    def missing(self, now: float) -> str | None:
        if self._trouble is not None:
            return f"{self.name}: {self._trouble}"
        if not self._exists:
            return f"{self.name} is there" if self._there else None
        if not self._there:
            return f"{self.name} is not there"
        if self._fresh is not None and now - self._changed > self._fresh:
            return f"{self.name} has not changed for {span(now - self._changed)}"
        if self._steps is None:
            return None
        if self._value is _NOTHING:
            return f"{self.name} has no {self._key}"
        if self._changes is not None and now - self._value_since > self._changes:
            return f"{self.name}: {self._key} is {_shown(self._value)} since {span(now - self._value_since)}"
        return None

    def _read(self, at: float) -> None:
        assert self._steps is not None
        try:
            document = json_file.read(self.path)
        except (OSError, ValueError):
            # Just being replaced or written: what was known stays so, and grows old if it remains like this.
            return
        self._unread = False
        try:
            value = json_file.follow(document, self._steps)
        except LookupError:
            value = _NOTHING
        # Of one type too: in Python 1 == True == 1.0.
        if value is _NOTHING or type(value) is not type(self._value) or value != self._value:
            self._value = value
            self._value_since = at


class AskedWatch(Watch):
    """Something answers when it is asked: `told` what each question came to."""

    def __init__(self, name: str, status: str | None = None) -> None:
        super().__init__(name, status)
        self._reason: str | None = "has not been asked yet"
        self._since: float | None = None

    def told(self, reason: str | None, now: float) -> None:
        """The answer at ``now``: None is a good one."""
        if reason is None:
            self._since = None
        elif self._since is None:
            self._since = now
        self._reason = reason

    def missing(self, now: float) -> str | None:
        if self._reason is None:
            return None
        lasted = "" if self._since is None or now - self._since < 1 else f" for {span(now - self._since)}"
        return f"{self.name} {self._reason}{lasted}"


class _Nothing:
    """The type of `_NOTHING`: None is a value in JSON."""


_NOTHING = _Nothing()


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, str | int | float) else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
