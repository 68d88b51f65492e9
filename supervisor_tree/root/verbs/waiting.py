"""`wait`: answered when the named children have reached a state, or the time has run out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor_tree.root import names
from supervisor_tree.root.control import Request
from supervisor_tree.root.errors import RootError

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

STATES = (
    "scheduled",
    "idle",
    "held",
    "waiting",
    "starting",
    "running",
    "stopping",
    "stopped",
    "backoff",
    "completed",
    "failed",
    "degraded",
)
_JOBS = "jobs/"
"""Before the name of a job, where paths are: those of the core begin with the root's name."""

MOST = 100
"""Waits at once, for each is looked at after every commit. Beyond them the one longest silent is let go of."""
_SILENT = 10.0
"""Seconds after which a wait whose client has not asked again (it does each second) is let go of."""


def _let_go(shell: Shell, now: float) -> None:
    """Forget the waits of clients that are gone: nothing else would, should what they waited for never come."""
    silent = sorted((heard, id_) for id_, (_, heard) in shell.waits.items())
    beyond = len(silent) - MOST
    gone = [id_ for place, (heard, id_) in enumerate(silent) if place < beyond or now - heard > _SILENT]
    for id_ in gone:
        del shell.waits[id_]
    if gone:
        shell.on_round = [waiting for waiting in shell.on_round if not waiting()]


def wait(shell: Shell, request: Request, client: bytes) -> Any | None:
    """``for``: a state (default `running`); ``timeout`` in seconds. A client that asks again joins its own wait."""
    wanted = request.text("for", "running")
    if wanted not in STATES:
        raise RootError(f"no such state: {wanted}", code="usage", mend=f"one of {', '.join(STATES)}")
    asked = request.names()
    paths: tuple[str, ...] = tuple(shell.directory.workers_below("root"))
    if asked:
        of_tree, jobs = names.split(shell, asked)
        paths = (*of_tree, *(_JOBS + job for job in jobs))
    timeout = request.number("timeout")
    control = shell.control
    assert control is not None
    now = shell.loop.time()
    control.ack(client, request.id)
    known = request.id in shell.waits
    shell.waits[request.id] = (client, now)
    _let_go(shell, now)
    if known:
        return None
    deadline = None if timeout is None else now + timeout

    def missing() -> list[dict[str, Any]]:
        return [
            {"name": shell.bare(path), "ok": state == wanted, "reason": None if state == wanted else state}
            for path in paths
            for state in [_state(shell, path)]
        ]

    def done() -> bool:
        if request.id not in shell.waits:
            return True
        # The first one that is not there yet answers for all: this is asked after each commit.
        if any(_state(shell, path) != wanted for path in paths):
            return False
        control.end(shell.waits.pop(request.id)[0], request.id, {"state": "done", "results": missing()})
        return True

    def late() -> None:
        waiting = shell.waits.pop(request.id, None)
        if waiting is None:
            return
        behind = ", ".join(f"{result['name']} is {result['reason']}" for result in missing() if not result["ok"])
        control.error(
            waiting[0],
            request.id,
            RootError(
                f"not {wanted} within {timeout:g} s: {behind}",
                code="timeout",
                mend="`supervisor-tree ctl why NAME` tells more",
            ),
        )
        shell.flush()

    if not done():
        shell.on_round.append(done)
        if deadline is not None:
            shell.loop.call_at(deadline, late)
    return None


def _state(shell: Shell, path: str) -> str:
    if path.startswith(_JOBS):
        return shell.jobs.state(path.removeprefix(_JOBS))
    return shell.directory.node(path).status if shell.directory.has(path) else "gone"
