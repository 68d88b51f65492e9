"""From the names that people write to the paths of the core."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from supervisor_tree import config
from supervisor_tree.root.errors import RootError

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell


def paths(shell: Shell, names: list[str]) -> tuple[str, ...]:
    """The paths of workers, instance sets and supervisors, in the order given, each once.

    Raises:
        RootError: `no_such_name`, with the nearest names; or no name at all.
    """
    if not names:
        raise RootError("which? name at least one worker or supervisor", code="usage")
    found: dict[str, None] = {}
    unknown: list[str] = []
    for name in names:
        those = _paths(shell, name)
        if not those:
            unknown.append(name)
        found.update(dict.fromkeys(those))
    if unknown:
        known = [shell.bare(path) for path in shell.directory.paths()]
        near = tuple(dict.fromkeys(near for name in unknown for near in difflib.get_close_matches(name, known, 3)))
        mend = f"did you mean {' or '.join(near)}?" if near else "`supervisor-tree ctl status` lists the names"
        listed = ", ".join(unknown)
        raise RootError(f"no such worker or supervisor: {listed}", code="no_such_name", mend=mend, candidates=near)
    return tuple(found)


def _paths(shell: Shell, name: str) -> list[str]:
    if name == "all":
        return shell.directory.children("root")
    path = shell.directory.find(name)
    if path is not None:
        return [path]
    named = [shell.directory.find(bare) for bare in config.names_of(shell.plan, name)]
    return [path for path in named if path is not None]
