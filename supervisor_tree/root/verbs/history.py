"""events and why: the journal read back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.root import files, names, sentences
from supervisor_tree.root.control import Request
from supervisor_tree.root.errors import RootError
from supervisor_tree.root.jobs import explaining
from supervisor_tree.root.last_output import last_lines
from supervisor_tree.store.segments import read_backwards

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_MOST = 10_000
"""Events in one answer."""
_CHAIN = 12
"""Events that `why` tells."""
_OUTPUT = 5
"""Lines of output that `why` shows of one that has failed."""
_LOOK_BACK = 50_000
"""Lines that `why` reads back at most."""

Line = dict[str, Any]


def events(shell: Shell, request: Request, client: bytes) -> None:
    """The last events: ``since`` (seconds, wall clock), ``type``, ``after_seq``, ``n`` (the newest so many)."""
    since, after, most = request.number("since"), request.number("after_seq"), request.number("n")
    kinds = set(request.names("type"))
    limit = int(min(most if most is not None else _MOST, _MOST))
    pending = shell.unwritten()
    folder = files.journal_folder(shell.plan.state_dir)

    def read() -> list[Line]:
        found: list[Line] = []
        for line in backwards(folder, pending):
            if len(found) >= limit or (after is not None and line["seq"] <= after):
                break
            if since is not None and _seconds(line["time"]) < since:
                break
            if not kinds or line["event"] in kinds:
                found.append(line)
        found.reverse()
        return found

    _answer(shell, request, client, read, lambda lines: {"events": lines})


def why(shell: Shell, request: Request, client: bytes) -> None:
    """The causal chain of one child, oldest first, in sentences.

    Raises:
        RootError: no such child.
    """
    name = request.text("name") or "".join(request.names()[:1])
    paths, jobs = names.split(shell, [name])
    if jobs:
        _why_job(shell, request, client, jobs[0])
        return
    path = paths[0]
    folder = files.journal_folder(shell.plan.state_dir)
    pending = shell.unwritten()
    above = set(path.split("/")[1:])
    # Of one that runs again, the last lines are no longer those before its end.
    log = shell.spawning.log_file(name) if shell.directory.node(path).status in ("backoff", "failed") else None

    def read() -> tuple[list[Line], list[str]]:
        found: list[Line] = []
        causes: set[str] = set()
        for count, line in enumerate(backwards(folder, pending)):
            if count >= _LOOK_BACK or len(found) >= _CHAIN:
                break
            if sentences.concerns(line, above):
                found.append(line)
                causes |= sentences.caused_by(line)
            elif line["event"] == "child_exited" and line["name"] in causes:
                # The sibling whose end took this child down: its last end before that is the cause.
                found.append(line)
                causes.discard(line["name"])
            if line["event"] == "tree_started":
                break
        found.reverse()
        return found, last_lines(name, log, _OUTPUT)

    def tell(read: tuple[list[Line], list[str]]) -> Any:
        lines, output = read
        return {**sentences.explain(shell, path, lines), "output": output}

    _answer(shell, request, client, read, tell)


def _why_job(shell: Shell, request: Request, client: bytes, name: str) -> None:
    folder = files.journal_folder(shell.plan.state_dir)
    pending = shell.unwritten()

    def read() -> list[Line]:
        found: list[Line] = []
        for count, line in enumerate(backwards(folder, pending)):
            if count >= _LOOK_BACK or len(found) >= _CHAIN:
                break
            if explaining.concerns(line, name):
                found.append(line)
        found.reverse()
        return found

    def tell(lines: list[Line]) -> Any:
        job = shell.jobs.record(name)
        if job is None:  # it was leaving, and has ended while the journal was read
            raise RootError(f"no such job any more: {name}", code="no_such_name")
        chain = [sentences.link(line) for line in lines]
        return {**explaining.explain(job, chain), "output": explaining.output(job, lines)[-_OUTPUT:]}

    _answer(shell, request, client, read, tell)


def _answer(shell: Shell, request: Request, client: bytes, read: Any, tell: Any) -> None:
    control = shell.control
    assert control is not None

    async def later() -> None:
        try:
            found = await shell.loop.run_in_executor(None, read)
            control.end(client, request.id, tell(found))
        except RootError as error:
            control.error(client, request.id, error)
        except OSError as error:
            control.error(client, request.id, RootError(f"journal or log can't be read: {error}", code="failed"))
        shell.flush()

    control.later(later())


def backwards(folder: Path, pending: list[tuple[int, bytes]]) -> Any:
    """Newest first: the lines that are not on the disk yet, then those that are. Damaged ones are passed over."""
    last = None
    for source in (([line for _, line in reversed(pending)]), read_backwards(folder)):
        for raw in source:
            try:
                line = msgspec.json.decode(raw)
            except msgspec.DecodeError:
                continue
            if not isinstance(line, dict) or not isinstance(line.get("seq"), int) or "event" not in line:
                continue
            if last is not None and line["seq"] >= last:
                continue
            last = line["seq"]
            yield line


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()
