"""Ports of TCP that are chosen now and bound later, by a program under test or by a server of the test's own."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

_FIRST, _LAST = 20_000, 30_000
"""Below those that systems give to outgoing connections and to who binds port 0: nobody else comes by one of these
by chance while the program that is to have it starts."""

_dice = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens, and that no other test of this process was given."""
    while True:
        port = _dice.randrange(_FIRST, _LAST)
        if port in _given:
            continue
        with socket.socket() as probe:
            # As servers do: what a connection of before has left there is in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and which nobody else is given; a server of ours may be started on it."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
