"""Small files in the state directory that carry what the root knows from one life of the tree to the next.

While the tree lives the keeper holds the same as state, and that is the truth; the files are written by a thread,
each whole or not at all. A disk that takes nothing is said once and tried again; a file that can't be read is put
aside (`NAME.corrupt-TIME`), said, and what it held is unknown from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from supervisor_tree.root import files

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

T = TypeVar("T")
_TRY_AGAIN = 5.0
"""Seconds between two attempts to write to a disk that is full."""


class KeptFiles:
    """The files of one part of the root. ``what`` names them in the journal: `alerts`."""

    def __init__(self, shell: Shell, folder: str, what: str) -> None:
        self.folder = folder
        self._shell = shell
        self._what = what
        self._dirty: dict[str, Callable[[], bytes | None]] = {}
        self._writing: asyncio.Task[None] | None = None

    def put(self, name: str, make: Callable[[], bytes | None]) -> None:
        """Have a file written soon; ``make`` is called on the loop just before that. None: there is to be no file."""
        self._dirty[name] = make
        if self._writing is None:
            self._writing = self._shell.loop.create_task(self._write())

    def names(self) -> list[str]:
        """The JSON files that are there. Reads the disk: when a tree starts, or in a thread."""
        try:
            return sorted(name for name in os.listdir(self.folder) if name.endswith(".json") and name[0] != ".")
        except OSError:
            return []

    def read(self, name: str, decode: Callable[[bytes], T]) -> T | None:
        """What a file holds; None: there is none, or it was put aside. Reads the disk: when a tree starts."""
        path = os.path.join(self.folder, name)
        try:
            with open(path, "rb") as file:
                return decode(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
            reason = f"{type(error).__name__}: {error}"
        aside = f"{path}.corrupt-{datetime.fromtimestamp(time.time(), UTC):%Y%m%dT%H%M%SZ}"
        try:
            os.rename(path, aside)
        except OSError as error:
            aside = f"still there: {error.strerror}"
        self._shell.note("file_put_aside", None, path=path, aside=aside, reason=reason)
        return None

    async def _write(self) -> None:
        shell = self._shell
        trouble: str | None = None
        while self._dirty:
            name, make = next(iter(self._dirty.items()))
            del self._dirty[name]
            try:
                await shell.loop.run_in_executor(None, _put, self.folder, name, make())
            except OSError as error:
                self._dirty.setdefault(name, make)
                if trouble is None:
                    trouble = error.strerror or str(error)
                    shell.note("state_not_kept", None, what=self._what, folder=self.folder, error=trouble)
                    shell.flush()
                await asyncio.sleep(_TRY_AGAIN)
                continue
            if trouble is not None:
                trouble = None
                shell.note("state_kept_again", None, what=self._what)
                shell.flush()
        self._writing = None

    async def finish(self, within: float) -> None:
        """The tree ends: what is to be written is written, if the disk takes it in time."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=within)


def _put(folder: str, name: str, data: bytes | None) -> None:
    path = os.path.join(folder, name)
    if data is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    os.makedirs(folder, mode=0o700, exist_ok=True)
    files.replace(path, data)
