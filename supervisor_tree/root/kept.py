"""Small files in the state directory that carry what the root knows from one life of the tree to the next.

While the tree lives the keeper holds the same as state, and that is the truth; the files are written by a thread,
each whole or not at all, and forced to the disk. A disk that takes nothing is said once and tried again; a file that
can't be read is put aside (`NAME.corrupt-TIME`), said, and what it held is unknown from then on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from supervisor_tree.root import files
from supervisor_tree.root.writing import Writer
from supervisor_tree.system import disk

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

T = TypeVar("T")


class KeptFiles:
    """The files of one part of the root. ``what`` names them in the journal: `alerts`."""

    def __init__(self, shell: Shell, folder: str, what: str) -> None:
        self.folder = folder
        self._shell = shell
        self._what = what
        self._writer = Writer(shell, self._failing, self._mended)

    def put(self, name: str, make: Callable[[], bytes | None]) -> None:
        """Have a file written soon; ``make`` is called on the loop just before that. None: there is to be no file."""
        self._writer.put(name, lambda: partial(_put, self.folder, name, make()))

    def names(self) -> list[str]:
        """The JSON files that are there. Reads the disk: when a tree starts, or in a thread."""
        try:
            there = os.listdir(self.folder)
        except OSError:
            return []
        names = {name.removesuffix(disk.COMING) for name in there if name[0] != "."}
        return sorted(name for name in names if name.endswith(".json"))

    def read(self, name: str, decode: Callable[[bytes], T]) -> T | None:
        """What a file holds; None: there is none, or it was put aside. Reads the disk: when a tree starts."""
        path = os.path.join(self.folder, name)
        disk.settle(path, msgspec.json.decode)
        try:
            with open(path, "rb") as file:
                return decode(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
            reason = f"{type(error).__name__}: {error}"
        try:
            aside = files.put_aside(path)
        except OSError as error:
            aside = f"still there: {error.strerror}"
        self._shell.note("file_put_aside", None, path=path, aside=aside, reason=reason)
        return None

    def _failing(self, error: OSError) -> None:
        said = error.strerror or str(error)
        self._shell.note("state_not_kept", None, what=self._what, folder=self.folder, error=said)

    def _mended(self) -> None:
        self._shell.note("state_kept_again", None, what=self._what)

    async def finish(self, within: float) -> None:
        """The tree ends: what is to be written is written, if the disk takes it in time."""
        await self._writer.finish(within)


def _put(folder: str, name: str, data: bytes | None) -> None:
    path = os.path.join(folder, name)
    if data is None:
        for each in (f"{path}{disk.COMING}", path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(each)
                disk.force_folder(folder)
        return
    os.makedirs(folder, mode=0o700, exist_ok=True)
    disk.keep(path, data)
