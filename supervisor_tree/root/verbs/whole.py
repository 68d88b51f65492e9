"""Verbs about the whole tree: operations, upgrade, shutdown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from supervisor_tree.core import events as ev
from supervisor_tree.core.jobs import events as jobs
from supervisor_tree.root.clocks import rfc3339
from supervisor_tree.root.control import Request, begin
from supervisor_tree.root.errors import RootError
from supervisor_tree.root.jobs.requests import by_of
from supervisor_tree.root.operations import Operation

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell


def ops(shell: Shell, request: Request, client: bytes) -> list[dict[str, Any]]:
    """Operations under way and those of the last ten minutes, newest first."""
    shell.operations.forget_old(time.time())
    return [
        {
            **operation.answer(),
            "names": operation.names,
            "by": operation.by,
            "at": rfc3339(operation.at),
            "ended": rfc3339(operation.ended) if operation.ended is not None else None,
        }
        for operation in sorted(shell.operations.all.values(), key=lambda operation: -operation.at)
    ]


def cancel(shell: Shell, request: Request, client: bytes) -> Operation:
    """Give up an operation: what it has not begun is not begun.

    Raises:
        RootError: there is none of that id, or it has ended.
    """
    wanted = request.text("operation")
    found = [operation for operation in shell.operations.all.values() if wanted and operation.id.startswith(wanted)]
    if len(found) != 1:
        raise RootError(
            f"{'no' if not found else 'more than one'} operation {wanted}",
            code="refused",
            mend="`supervisor-tree ctl ops` lists them",
        )
    if found[0].state != "running":
        raise RootError(f"operation {wanted} has ended: {found[0].state}", code="refused")
    operation = begin(shell, request, found[0].names)
    shell.note("asked_for", None, command="cancel", names=operation.names, by=request.by, operation=found[0].id)
    if found[0].command == "run":
        by = by_of(request.by, request.reason)
        shell.jobs.tell(jobs.CancelRequested(request.id, found[0].names[0], found[0].edit.get("wait"), by))
        return operation
    shell.tell(ev.Cancelled(request.id, found[0].id))
    return operation


def shutdown(shell: Shell, request: Request, client: bytes) -> Operation:
    """Stop everything in reverse start order; `start` then exits with 0."""
    operation = begin(shell, request, [])
    shell.request_shutdown(request.id, f"ctl shutdown by {request.by}")
    return operation


def upgrade(shell: Shell, request: Request, client: bytes) -> Operation:
    """Replace this root by one of the version that is installed now; refused when that one can't start."""
    for other in shell.operations.all.values():
        if other.command == "upgrade" and other.state == "running":
            raise RootError("an upgrade is under way", code="refused", mend=f"wait for operation {other.id}")
    operation = begin(shell, request, [])
    shell.note("asked_for", None, command="upgrade", names=[], by=request.by, operation=operation.id)
    shell.effect("upgrade", argv=None, request=operation.id)
    return operation
