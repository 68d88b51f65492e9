"""`wishes.json`: what operators wish of children, kept over restarts of the tree.

The core's state is the truth while the tree lives; the file is for its next life, and for people. It is written
by a thread, whole or not at all; a disk that is full is said and costs nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from supervisor_tree.core import view
from supervisor_tree.core.events import By, WishWord
from supervisor_tree.root.errors import RootError
from supervisor_tree.root.writing import Writer
from supervisor_tree.system import disk

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

NOT_YET = By(why="autostart = false")
"""The wish down of a child that nobody has started yet. It is not kept: the tree file says it anew each time."""

Wishes = dict[str, tuple[WishWord, By]]
_WORDS: tuple[WishWord, ...] = ("up", "down", "hold")


def _path(state_dir: str) -> str:
    return os.path.join(state_dir, "wishes.json")


def load(state_dir: str) -> Wishes:
    """By bare name; empty when there is no file.

    Raises:
        RootError: the file is there and unreadable. To guess would start what somebody stopped.
    """
    path = _path(state_dir)
    disk.settle(path, json.loads)
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        found: Wishes = {}
        for name, wish in data.items():
            if wish["wish"] not in _WORDS:
                raise ValueError(f"{name}: no such wish: {wish['wish']}")
            found[name] = (wish["wish"], By(who=wish.get("by", ""), at=wish.get("at", 0.0), why=wish.get("why", "")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RootError(
            f"{path} can't be read: {error}", mend="it says what `ctl stop` and `ctl hold` keep down; mend or remove it"
        ) from error
    return found


def by_path(shell: Shell, wishes: Wishes) -> dict[str, tuple[WishWord, By]]:
    """For the core. Wishes about children that the tree file no longer names are let go of; `autostart =
    false` is a wish down that nobody has spoken against yet."""
    found: dict[str, tuple[WishWord, By]] = {}
    for name in shell.plan.autostart_off:
        path = shell.directory.find(name)
        if path is not None:
            found[path] = ("down", NOT_YET)
    for name, wish in wishes.items():
        path = shell.directory.find(name)
        if path is not None:
            found[path] = wish
    return found


class WishesFile:
    """Writes the file after a wish has changed."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._writer = Writer(shell, self._failing, self._mended)

    def changed(self) -> None:
        """Write soon; changes that come while a write is under way are one more write."""
        self._writer.put("wishes", self._prepare)

    async def finish(self, within: float) -> None:
        """The tree ends: the next life is to know the last wish, too."""
        await self._writer.finish(within)

    def _prepare(self) -> Callable[[], None]:
        shell = self._shell
        data: dict[str, Any] = {
            shell.bare(path): {"wish": word, "by": by.who, "at": by.at, "why": by.why}
            for path, (word, by) in view.wishes(shell.tree).items()
            if by != NOT_YET
        }
        text = json.dumps(data, indent=1).encode() + b"\n"
        return lambda: disk.keep(_path(shell.plan.state_dir), text)

    def _failing(self, error: OSError) -> None:
        self._shell.note("wishes_not_written", None, error=error.strerror or str(error))

    def _mended(self) -> None:
        self._shell.note("wishes_written", None)
