"""What a fork looks like from outside: its command line in `ps`, and its name in the environment that /proc shows.

Both are memory of the process, filled by its exec, which was the zygote's; a fork writes its own there, as
`setproctitle` does for the first. The second is what an orphan of a worker is known by that was forked and never
executed anything. Where the system has no such memory to write (macOS), nothing happens.
"""

from __future__ import annotations

import os

_ROOM = "SUPERVISOR_TREE_ROOM"
"""A variable that the keeper gives a zygote only for the space that it takes."""
_ARG_START, _ARG_END, _ENV_START = 47, 48, 49
"""Fields of /proc/self/stat, counted from 0."""


class Names:
    """Made in the zygote: forks have the same memory at the same places."""

    def __init__(self) -> None:
        os.environ.pop(_ROOM, None)
        self._command = self._room = (0, 0)
        try:
            with open("/proc/self/stat", "rb") as stat, open("/proc/self/environ", "rb") as environ:
                text = stat.read()
                variables = environ.read()
        except OSError:
            return
        fields = [b""] * 2 + text[text.rindex(b")") + 2 :].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        self._command = start, end - start
        at = (b"\0" + variables).find(f"\0{_ROOM}=".encode())
        if at >= 0:
            self._room = int(fields[_ENV_START]) + at, variables.index(b"\0", at) - at

    def take(self, command: str, name: str, incarnation: int) -> None:
        """In a fork: be called like this from now on."""
        told = f"SUPERVISOR_TREE_NAME={name}\0SUPERVISOR_TREE_INCARNATION={incarnation}".encode()
        try:
            memory = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            for (at, size), text in (
                (self._command, command.encode(errors="replace")[: self._command[1] - 1]),
                (self._room, told),
            ):
                if len(text) < size:
                    os.pwrite(memory, text.ljust(size, b"\0"), at)
        except OSError:
            return
        finally:
            os.close(memory)
