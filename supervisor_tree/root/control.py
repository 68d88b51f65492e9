"""Control requests: from bytes of anybody who reached the socket to a verb, and its answer back.

What is no request (garbage, wrong version, no id) is dropped and counted: an answer would only help
whoever floods us. A request that is one but asks for something wrong gets a clear error.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.root.errors import RootError
from supervisor_tree.root.operations import Operation

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

VERSION = 1
_LONGEST_REASON = 2000
_AT_ONCE = 500
"""Questions under way, so that a flood of them costs no memory."""
_ID = re.compile(r"[0-9a-f]{32}\Z")


class Request(msgspec.Struct):
    """A control request as clients send it."""

    v: int
    id: str
    command: str
    args: dict[str, Any] = {}
    by: str = ""

    def names(self, key: str = "names") -> list[str]:
        """The argument ``key`` as a list of strings.

        Raises:
            RootError: it is something else.
        """
        value = self.args.get(key) or []
        if isinstance(value, str):
            return [value]
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise RootError(f"{key}: a list of names is expected", code="usage")
        return value

    def text(self, key: str, default: str = "") -> str:
        """A string argument.

        Raises:
            RootError: it is something else.
        """
        value = self.args.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise RootError(f"{key}: text is expected", code="usage")
        return value

    @property
    def reason(self) -> str:
        """Why it is asked for, as the person says; a wish keeps it, so it is cut at `_LONGEST_REASON`."""
        return self.text("reason")[:_LONGEST_REASON]

    def flag(self, key: str) -> bool:
        return self.args.get(key) is True

    def number(self, key: str) -> float | None:
        """A number argument, or None.

        Raises:
            RootError: it is something else.
        """
        value = self.args.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RootError(f"{key}: a number is expected", code="usage")
        return float(value)


_REQUEST = msgspec.json.Decoder(Request)
_JSON = msgspec.json.Encoder()


class Control:
    """Dispatches requests to the verbs and sends their answers once they are committed."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.dropped = 0
        """Messages that were no request, and questions beyond those that are answered at one time."""
        self._under_way: set[asyncio.Task[None]] = set()

    def on_request(self, client: bytes, parts: list[bytes]) -> None:
        """One message from the control socket."""
        try:
            request = _REQUEST.decode(parts[-1]) if parts else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            request = None
        if request is None or request.v != VERSION or not _ID.match(request.id) or len(request.by) > _LONGEST_REASON:
            self.dropped += 1
            return
        from supervisor_tree.root.verbs import VERBS

        operation = self._shell.operations.all.get(request.id)
        if operation is not None:
            self._join(client, operation)
            self._shell.flush()
            return
        verb = VERBS.get(request.command)
        try:
            if verb is None:
                raise RootError(
                    f"no such command: {request.command}", code="usage", mend="is this client of another version?"
                )
            answer = verb(self._shell, request, client)
        except RootError as error:
            self.error(client, request.id, error)
        except Exception as error:
            self._shell.internal_error(f"command {request.command}", error)
            self.error(client, request.id, RootError(f"internal error: {error!r}", code="internal"))
        else:
            if isinstance(answer, Operation):
                self._join(client, answer)
            elif answer is not None:
                self.end(client, request.id, answer)
        self._shell.flush()

    def _join(self, client: bytes, operation: Operation) -> None:
        if operation.state == "running":
            self._shell.operations.join(operation.id, client)
            self._send(client, {"v": VERSION, "id": operation.id, "kind": "ack", "operation": operation.id})
        else:
            self.end(client, operation.id, operation.answer())

    def later(self, answer: Coroutine[Any, Any, None]) -> None:
        """Have a question answered that needs a look at disk or processes. Beyond `_AT_ONCE` it is dropped and
        counted: an honest client asks again."""
        if len(self._under_way) >= _AT_ONCE:
            self.dropped += 1
            answer.close()
            return
        task = self._shell.background.begin("answer", answer)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def end(self, client: bytes, id_: str, data: Any) -> None:
        self._send(client, {"v": VERSION, "id": id_, "kind": "end", "data": data})

    def ack(self, client: bytes, id_: str) -> None:
        self._send(client, {"v": VERSION, "id": id_, "kind": "ack", "operation": None})

    def error(self, client: bytes, id_: str, error: RootError) -> None:
        self._send(
            client,
            {
                "v": VERSION,
                "id": id_,
                "kind": "error",
                "code": error.code,
                "message": str(error),
                "mend": error.mend,
                "candidates": list(error.candidates),
            },
        )

    def _send(self, client: bytes, message: dict[str, Any]) -> None:
        data = _JSON.encode(message)
        self._shell.after_commit(lambda: self._shell.reply(client, data))


def begin(shell: Shell, request: Request, names: list[str], **data: Any) -> Operation:
    """A new operation for ``request``, to be ended by the core's reply or by its verb.

    Raises:
        RootError: too many are under way.
    """
    if shell.operations.full:
        raise RootError("too many operations are under way", code="refused", mend="`ctl ops` lists them")
    operation = Operation(id=request.id, command=request.command, names=names, by=request.by, at=time.time(), data=data)
    shell.operations.begin(operation)
    return operation
