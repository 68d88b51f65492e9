"""The root's own flags. Written by `start` and the keeper, not by people: no help, no defaults."""

from __future__ import annotations

from typing import NamedTuple


class Arguments(NamedTuple):
    """``files``: configuration files as given (none: as `start` searches); ``names``: only these and their needs."""

    link: int
    files: list[str]
    names: list[str]
    dump_fd: int | None


def parse(argv: list[str]) -> Arguments:
    """Flags in any order, then names.

    Raises:
        SystemExit: an unknown flag: `start` and root are of different versions.
    """
    link, dump = -1, None
    files: list[str] = []
    names: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "--link":
            link = int(next(rest))
        elif word == "--dump":
            dump = int(next(rest))
        elif word == "--file":
            files.append(next(rest))
        elif word == "--":
            continue
        elif word.startswith("--"):
            raise SystemExit(f"supervisor-tree root: unknown flag {word}")
        else:
            names.append(word)
    return Arguments(link, files, names, dump)
