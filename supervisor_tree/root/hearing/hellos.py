"""Whose hello is believed, and what is said of the others."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from supervisor_tree.core.node import ALIVE
from supervisor_tree.ipc.heartbeat import PROTOCOL, Dump, Hello

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_SAY_EVERY = 10.0
"""Seconds between two journal lines about refused hellos."""
_LONGEST = 500
"""Characters of a status, a reason, a name."""


class Hellos:
    """Of one root."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._said_at = float("-inf")
        self._unsaid = 0
        self.refused = 0
        """So many."""

    def objection(self, hello: Hello) -> str | None:
        """What is wrong with one."""
        shell = self._shell
        if hello.protocol != PROTOCOL:
            return f"this root speaks protocol {PROTOCOL}, not {hello.protocol}"
        if not shell.tokens.valid(hello.name, hello.incarnation, hello.token):
            return "wrong token"
        node = shell.spawning.node(hello.name, hello.incarnation)
        if (node is None or node.state not in ALIVE) and not shell.errands.lives(hello.name, hello.incarnation):
            return f"incarnation {hello.incarnation} of {hello.name} has ended"
        return None

    def refuse(self, hello: Hello, objection: str) -> bool:
        """Count it; whether the journal tells of it, and of those since the last line."""
        shell = self._shell
        self.refused += 1
        self._unsaid += 1
        now = shell.loop.time()
        if now - self._said_at < _SAY_EVERY:
            return False
        self._said_at = now
        known = shell.directory.find(hello.name) is not None
        shell.note(
            "hello_refused",
            hello.name if known else None,
            reason=objection,
            claimed=one_line(hello.name),
            pid=hello.pid,
            times=self._unsaid,
        )
        self._unsaid = 0
        return True


def asks(hello: Hello) -> Dump | None:
    """How it may be asked for its stacks, if that names a signal of this system."""
    return hello.dump if hello.dump is not None and hello.dump.signal in signal.valid_signals() else None


def one_line(text: str) -> str:
    """What people are shown of a worker's words: one line, and nothing that a terminal obeys."""
    text = text[:_LONGEST]
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
