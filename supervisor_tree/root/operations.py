"""Operations: what a client asked for, from the request to its end.

Kept by the client's request id and committed before anything is done about it, so that a client that asks
again (over a root's death, say) joins its own operation instead of doing it twice. Finished ones are kept for
ten minutes.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

KEPT = 600.0
"""Seconds for which a finished operation is remembered."""

MOST = 1000
"""Operations remembered at once; the oldest that have ended are forgotten before their time."""

State = Literal["running", "done", "failed", "cancelled"]


class Operation(msgspec.Struct):
    """One operation; times are wall clock seconds."""

    id: str
    command: str
    names: list[str]
    by: str
    at: float
    state: State = "running"
    ended: float | None = None
    results: list[dict[str, Any]] = []
    data: dict[str, Any] = {}
    """What the answer says beside the results."""
    parts: int = 1
    """So many have to end it, each with results of its own: the tree, and the jobs."""
    edit: dict[str, Any] = {}
    """What a reload does to `added.toml` first, so that a new root can begin it anew: `{toml, to, file}` is
    added, `{names}` are removed, and, once that is worked out, `{whole}` is the file's text. Of a `run`: `{wait}`, the
    run whose end is waited for (None: it has no id yet)."""

    def answer(self) -> dict[str, Any]:
        """The JSON of an operation's end."""
        return {
            "operation": self.id,
            "command": self.command,
            "state": self.state,
            "results": self.results,
            **self.data,
        }


class Operations:
    """All operations of this tree and who waits for which."""

    def __init__(self) -> None:
        self.all: dict[str, Operation] = {}
        self._changed: set[str] = set()
        self._waiting: dict[str, list[bytes]] = {}

    @property
    def full(self) -> bool:
        """So many are under way that no other is taken."""
        return len(self.all) >= MOST and sum(operation.state == "running" for operation in self.all.values()) >= MOST

    def begin(self, operation: Operation) -> None:
        self.forget_old(operation.at)
        self.all[operation.id] = operation
        self._changed.add(operation.id)

    def changed(self, operation: Operation) -> None:
        """Have the next commit carry what was changed in it."""
        self._changed.add(operation.id)

    def join(self, id_: str, client: bytes) -> None:
        """``client`` is answered when the operation ends."""
        waiting = self._waiting.setdefault(id_, [])
        if client not in waiting:
            waiting.append(client)

    def end(self, id_: str, results: list[dict[str, Any]], at: float, state: State | None = None) -> list[bytes]:
        """End an operation; returns the clients to answer. Ending one twice changes nothing."""
        operation = self.all.get(id_)
        if operation is None or operation.state != "running":
            return []
        operation.parts -= 1
        results = operation.results = [*operation.results, *results]
        self._changed.add(id_)
        if operation.parts > 0:
            return []
        operation.ended = at
        operation.state = state or ("done" if all(result["ok"] for result in results) else "failed")
        return self._waiting.pop(id_, [])

    def forget_old(self, now: float) -> None:
        """Let go of operations that ended more than `KEPT` ago, and of the oldest beyond `MOST`."""
        ended = sorted((op.ended, op.id) for op in self.all.values() if op.ended is not None)
        beyond = len(self.all) - MOST
        for id_ in [id_ for place, (at, id_) in enumerate(ended) if place < beyond or now - at > KEPT]:
            del self.all[id_]
            self._changed.add(id_)

    def take_changes(self) -> list[tuple[str, bytes | None]]:
        """What the next commit has to carry."""
        if not self._changed:
            return []
        changes = [
            (f"operation/{id_}", msgspec.json.encode(self.all[id_]) if id_ in self.all else None)
            for id_ in sorted(self._changed)
        ]
        self._changed.clear()
        return changes

    def load(self, data: bytes) -> None:
        operation = msgspec.json.decode(data, type=Operation)
        self.all[operation.id] = operation


def objection(result: Any) -> str | None:
    """What is wrong in an OTP answer, in words, or None."""
    match result:
        case ["error", ["already_started", pid]]:
            return f"runs already (pid {pid})"
        case ["error", "already_present"]:
            return "is there already, and not running: `ctl start` it"
        case ["error", [reason, ["child", _]]] | ["error", reason]:
            return str(reason).replace("_", " ")
        case "noproc":
            return "its supervisor does not run"
    return None
