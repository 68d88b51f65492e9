"""The root's own flags. Written by `start` and the keeper, not by people: no help, no defaults."""

from __future__ import annotations

from typing import NamedTuple


class Arguments(NamedTuple):
    """``files``: configuration files as given (none: as `start` searches); ``names``: only these and their needs."""

    link: int
    files: list[str]
    names: list[str]
    stack: int | None
    """Where the stacks go when the keeper asks for them (SIGUSR2)."""


def parse(argv: list[str]) -> Arguments:
    """Flags in any order, then names.

    Raises:
        SystemExit: an unknown flag: `start` and root are of different versions.
    """
    link, stack = -1, None
    files: list[str] = []
    names: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "--link":
            link = int(next(rest))
        elif word == "--stack":
            stack = int(next(rest))
        elif word == "--file":
            files.append(next(rest))
        elif word == "--":
            continue
        elif word.startswith("--"):
            raise SystemExit(f"supervisor-tree root: unknown flag {word}")
        else:
            names.append(word)
    return Arguments(link, files, names, stack)
