"""What a shim watches of a program that says nothing by itself: each watch holds, or says in a sentence why not.

No clock is read here: ``now`` is seconds of a monotonic clock, ``wall`` seconds of the wall clock.
"""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from supervisor_tree.core import json_path
from supervisor_tree.workers.shim import json_file
from supervisor_tree.workers.shim.words import span

_LONGEST_SHOWN = 80
_TICK = 0.02
"""Seconds by which a file's time may lie before the moment of writing: the kernel's clock for it goes by ticks."""
_COARSE = 2.0
"""The same where the file system keeps whole seconds, or (FAT) even ones."""
_NEVER = float("-inf")


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


class Seen(NamedTuple):
    """A file at one moment."""

    trouble: str | None = None
    """Why it could not be looked at."""
    state: tuple[int, int, int, int] | None = None
    """What tells that it is unchanged; None: it is not there."""
    changed: float = 0.0
    """Wall clock, seconds."""
    document: Any = None
    """Of JSON, where that was to be read; `UNREAD`: it could not be, and is as it was known before."""


UNREAD = object()


def see(path: str, read: bool = False, known: tuple[int, int, int, int] | None = None) -> Seen:
    """Look at a file as it is now. Waits for the disk.

    Args:
        read: read the JSON in it, too, unless it is as ``known``.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return Seen()
    except OSError as error:
        return Seen(trouble=f"{error.strerror}")
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    document: Any = UNREAD
    if read and state != known:
        try:
            document = json_file.read(path)
        except (OSError, ValueError, RecursionError):
            # Just being replaced or written: what was known stays so, and grows old if it remains like this.
            document = UNREAD
    return Seen(None, state, status.st_mtime, document)


class FileWatch(Watch):
    """A file is there (``exists``), has changed within ``fresh`` seconds, has the JSON ``key``, or its value has
    changed within ``changes`` seconds.

    How old a change is comes from the file at the first look only. From then on it is counted on the monotonic
    clock: a wall clock that jumps makes no file stale.

    ``since``: wall clock; what the first look finds and was written before is no change, however fresh.
    """

    def __init__(
        self,
        path: str,
        *,
        exists: bool = True,
        fresh: float | None = None,
        key: str | None = None,
        changes: float | None = None,
        since: float | None = None,
        status: str | None = None,
        name: str | None = None,
    ) -> None:
        """``name``: what people call the file, where that is not its path."""
        super().__init__(path if name is None else name, status)
        self.path = os.path.expanduser(path)
        self._exists = exists
        self._fresh = fresh
        self._key = key
        self._steps = None if key is None else json_path.steps(key)
        self._changes = changes
        self._since = since
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
        self.take(see(*self.sight), now, wall)

    @property
    def sight(self) -> tuple[str, bool, tuple[int, int, int, int] | None]:
        """What `see` is to be asked for, whose answer `take` wants."""
        return self.path, self._steps is not None, None if self._unread else self._state

    def take(self, seen: Seen, now: float, wall: float) -> None:
        """The file was seen like this at ``now``, which is ``wall`` on the wall clock."""
        self._trouble = seen.trouble
        if seen.trouble is not None:
            return
        self._there = seen.state is not None
        if not self._there:
            self._looked = now
            return
        if seen.state != self._state:
            earliest = _NEVER if self._looked is None else self._looked
            self._changed = max(earliest, now - max(0.0, wall - seen.changed))
            if self._looked is None and self._since is not None and _is_older(seen, self._since):
                self._changed = _NEVER
            self._unread = self._steps is not None
            self._state = seen.state
        if self._unread and seen.document is not UNREAD:
            first = self._looked is None and self._changed != _NEVER
            self._read(seen.document, now if first else self._changed)
        self._looked = now

    def missing(self, now: float) -> str | None:
        if self._trouble is not None:
            return f"{self.name}: {self._trouble}"
        if not self._exists:
            return f"{self.name} is there" if self._there else None
        if not self._there:
            return f"{self.name} is not there"
        if self._fresh is not None and now - self._changed > self._fresh:
            return f"{self.name} has not changed {_for(now - self._changed)}"
        if self._steps is None:
            return None
        if self._value is _NOTHING:
            return f"{self.name} has no {self._key}"
        if self._changes is not None and now - self._value_since > self._changes:
            if self._value_since == _NEVER:
                return f"{self.name}: {self._key} is {_shown(self._value)} as before the start"
            return f"{self.name}: {self._key} is {_shown(self._value)} since {span(now - self._value_since)}"
        return None

    def _read(self, document: Any, at: float) -> None:
        assert self._steps is not None
        self._unread = False
        try:
            value = json_path.follow(document, self._steps)
        except LookupError:
            value = _NOTHING
        # Of one type too: in Python 1 == True == 1.0.
        if value is _NOTHING or type(value) is not type(self._value) or value != self._value:
            self._value = value
            self._value_since = at


def _is_older(seen: Seen, since: float) -> bool:
    """Whether a file was certainly written before this moment."""
    assert seen.state is not None
    whole = seen.state[3] % 1_000_000_000 == 0
    return seen.changed < since - (_COARSE if whole else _TICK)


def _for(seconds: float) -> str:
    return "since the start" if seconds == -_NEVER else f"for {span(seconds)}"


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
