"""jobs, runs, run: what is due, what has run, and a run by hand."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Any

from supervisor_tree.root import names
from supervisor_tree.root.control import Request, begin
from supervisor_tree.root.errors import RootError
from supervisor_tree.root.jobs import files
from supervisor_tree.root.jobs.requests import by_of
from supervisor_tree.root.jobs.showing import run_json
from supervisor_tree.root.operations import Operation

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_MOST = 1000
"""Runs in one answer."""


def jobs(shell: Shell, request: Request, client: bytes) -> list[dict[str, Any]]:
    """JOBs, in the order of the files."""
    return [told for name in _asked(shell, request) if (told := shell.jobs.json(name)) is not None]


def runs(shell: Shell, request: Request, client: bytes) -> None:
    """RUNs, the newest first: those under way, then those that have ended. ``n``: at most so many."""
    asked = _asked(shell, request)
    newest = request.number("n")
    most = int(max(0, min(newest if newest is not None else _MOST, _MOST)))
    known = [*shell.jobs.running(), *shell.jobs.ends.unwritten.values()]
    fresh = {record.run: run_json(record) for record in known if record.job in asked}
    state_dir = shell.plan.state_dir
    control = shell.control
    assert control is not None

    def read() -> list[dict[str, Any]]:
        found = heapq.merge(*(files.read_backwards(state_dir, job) for job in asked), key=_when, reverse=True)
        written = (run for run in found if run["run"] not in fresh)
        return sorted([*fresh.values(), *itertools.islice(written, most)], key=_when, reverse=True)[:most]

    async def later() -> None:
        try:
            control.end(client, request.id, await shell.loop.run_in_executor(None, read))
        except OSError as error:
            control.error(client, request.id, RootError(f"runs can't be read: {error}", code="failed"))
        shell.flush()

    control.later(later())


def run(shell: Shell, request: Request, client: bytes) -> Operation:
    """A run of a job now, whatever its schedule and wishes. ``wait``: answered when it has ended.

    Raises:
        RootError: no such job, or more than one.
    """
    found = names.jobs(shell, [request.text("name")])
    if len(found) != 1:
        raise RootError(
            f"{request.text('name')} is {len(found)} jobs", code="usage", mend=f"name one: {', '.join(found)}"
        )
    args = tuple(request.names("args"))
    operation = begin(shell, request, found)
    shell.note(
        "asked_for",
        None,
        command="run",
        names=found,
        by=request.by,
        why=request.reason,
        operation=operation.id,
    )
    shell.jobs.requests.run(operation, found[0], args, wait=request.flag("wait"), by=by_of(request.by, request.reason))
    return operation


def _asked(shell: Shell, request: Request) -> list[str]:
    asked = request.names()
    return names.jobs(shell, asked) if asked else [*shell.jobs.names(), *shell.jobs.leaving()]


def _when(run: dict[str, Any]) -> str:
    return str(run.get("started") or run.get("ended") or run.get("created") or "")
