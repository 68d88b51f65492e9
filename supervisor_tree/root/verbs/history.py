"""events and why: the journal read back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.root import files, names, sentences
from supervisor_tree.root.control import Request
from supervisor_tree.root.errors import RootError
from supervisor_tree.store.journal import read_backwards

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_MOST = 10_000
"""Events in one answer."""
_CHAIN = 12
"""Events that `why` tells."""
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
        for line in _backwards(folder, pending):
            if after is not None and line["seq"] <= after:
                break
            if since is not None and _seconds(line["time"]) < since:
                break
            if not kinds or line["event"] in kinds:
                found.append(line)
                if len(found) >= limit:
                    break
        found.reverse()
        return found

    _answer(shell, request, client, read, lambda lines: {"events": lines})


def why(shell: Shell, request: Request, client: bytes) -> None:
    """The causal chain of one child, oldest first, in sentences.

    Raises:
        RootError: no such child.
    """
    name = request.text("name") or "".join(request.names()[:1])
    path = names.paths(shell, [name])[0]
    folder = files.journal_folder(shell.plan.state_dir)
    pending = shell.unwritten()
    above = set(path.split("/")[1:])

    def read() -> list[Line]:
        found: list[Line] = []
        causes: set[str] = set()
        for count, line in enumerate(_backwards(folder, pending)):
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
        return found

    def tell(lines: list[Line]) -> Any:
        return sentences.explain(shell, path, lines)

    _answer(shell, request, client, read, tell)


def _answer(shell: Shell, request: Request, client: bytes, read: Any, tell: Any) -> None:
    control = shell.control
    assert control is not None

    async def later() -> None:
        try:
            lines = await shell.loop.run_in_executor(None, read)
            control.end(client, request.id, tell(lines))
        except OSError as error:
            control.error(client, request.id, RootError(f"the journal can't be read: {error}", code="failed"))
        shell.flush()

    control.later(later())


def _backwards(folder: Path, pending: list[tuple[int, bytes]]) -> Any:
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
