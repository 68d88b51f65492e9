"""From the names that people write to the paths of the core, and to jobs."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from supervisor_tree import config
from supervisor_tree.root.errors import RootError

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell


def paths(shell: Shell, names: list[str]) -> tuple[str, ...]:
    """The paths of workers, instance sets and supervisors, in the order given, each once.

    Raises:
        RootError: `no_such_name`, with the nearest names; a job; or no name at all.
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
    of_jobs = [name for name in unknown if _jobs(shell, name)]
    if of_jobs:
        raise RootError(
            f"{', '.join(of_jobs)} {'is a job' if len(of_jobs) == 1 else 'are jobs'}: this is about workers",
            code="refused",
            mend=f"`supervisor-tree ctl runs {of_jobs[0]}` shows its runs, `ctl run {of_jobs[0]}` runs it",
        )
    if unknown:
        raise _unknown(unknown, "worker or supervisor", map(shell.bare, shell.directory.paths()), "ctl status")
    return tuple(found)


def jobs(shell: Shell, names: list[str]) -> list[str]:
    """The jobs of these names, all instances of a set, each once.

    Raises:
        RootError: `no_such_name`, with the nearest names; or no name at all.
    """
    if not names:
        raise RootError("which? name at least one job", code="usage")
    found: dict[str, None] = {}
    unknown: list[str] = []
    for name in names:
        those = _jobs(shell, name)
        if not those:
            unknown.append(name)
        found.update(dict.fromkeys(those))
    if unknown:
        raise _unknown(unknown, "job", shell.jobs.names(), "ctl jobs")
    return list(found)


def split(shell: Shell, names: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """The paths of the workers and supervisors among these names, and the jobs among them. `all` is all of both.

    Raises:
        RootError: `no_such_name`, with the nearest names; or no name at all.
    """
    if not names:
        raise RootError("which? name at least one worker, supervisor or job", code="usage")
    of_tree: dict[str, None] = {}
    of_jobs: dict[str, None] = {}
    unknown: list[str] = []
    for name in names:
        those, runs = _paths(shell, name), _jobs(shell, name)
        if not those and not runs:
            unknown.append(name)
        of_tree.update(dict.fromkeys(those))
        of_jobs.update(dict.fromkeys(runs))
    if unknown:
        known = [*map(shell.bare, shell.directory.paths()), *shell.jobs.names()]
        raise _unknown(unknown, "worker, supervisor or job", known, "ctl status")
    return tuple(of_tree), list(of_jobs)


def _unknown(names: Collection[str], what: str, known: Iterable[str], lists: str) -> RootError:
    all_known = list(known)
    near = tuple(dict.fromkeys(near for name in names for near in difflib.get_close_matches(name, all_known, 3)))
    mend = f"did you mean {' or '.join(near)}?" if near else f"`supervisor-tree {lists}` lists the names"
    return RootError(f"no such {what}: {', '.join(names)}", code="no_such_name", mend=mend, candidates=near)


def _paths(shell: Shell, name: str) -> list[str]:
    if name == "all":
        return shell.directory.children("root")
    path = shell.directory.find(name)
    if path is not None:
        return [path]
    named = [shell.directory.find(bare) for bare in config.names_of(shell.plan, name)]
    return [path for path in named if path is not None]


def _jobs(shell: Shell, name: str) -> list[str]:
    known = shell.jobs.names()
    if name == "all":
        return known
    if name in known or name in shell.jobs.leaving():
        return [name]
    return [bare for bare in shell.plan.sets.get(name, ()) if bare in known]
