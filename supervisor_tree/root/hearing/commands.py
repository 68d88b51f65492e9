"""Commands to workers over the heartbeat socket, and their answers.

Nothing of this outlives a root: who waits for an answer is told that it was lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from supervisor_tree.ipc.heartbeat import Command, Reply

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_ANSWER = 5.0
"""Seconds that a worker has to answer."""

Answer = Callable[[bool, Any, str | None], None]
"""Called with ok, result and error of a command, once."""


class Commands:
    """``send(name, command)``: to that worker; False when it can't be reached."""

    def __init__(self, shell: Shell, send: Callable[[str, Command], bool]) -> None:
        self._shell = shell
        self._send = send
        self._count = 0
        self._awaited: dict[int, tuple[str, Answer]] = {}

    def give(self, name: str, command: str, args: dict[str, Any], answer: Answer) -> None:
        """Have a worker do something, once that is committed; ``answer`` gets what came of it, or why nothing did."""
        shell = self._shell
        self._count += 1
        id_ = self._count
        self._awaited[id_] = name, answer

        def send() -> None:
            if not self._send(name, Command(id_, command, args)):
                self._end(id_, False, None, "not connected")

        shell.after_commit(send)
        shell.loop.call_later(_ANSWER, self._end, id_, False, None, f"no answer within {_ANSWER:g} s")

    def on_reply(self, name: str, reply: Reply) -> None:
        awaited = self._awaited.get(reply.id)
        if awaited is not None and awaited[0] == name:
            self._end(reply.id, reply.ok, reply.result, reply.error)

    def ended(self, name: str) -> None:
        """That worker answers nothing any more."""
        for id_ in [id_ for id_, (whose, _) in self._awaited.items() if whose == name]:
            self._end(id_, False, None, "it has ended")

    def _end(self, id_: int, ok: bool, result: Any, error: str | None) -> None:
        awaited = self._awaited.pop(id_, None)
        if awaited is not None:
            awaited[1](ok, result, error)
            self._shell.flush()
