"""The worker that lives in this process: what `beat()` and its like speak for, from wherever they are called.

There is at most one. It is there from when a harness has begun it (`begin`). A program that a tree runs as a plain
``command`` has no harness; the first time that it says something, it becomes one that only speaks (`speaker`). Forks
are not the worker that they were forked from.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.workers.life.carrying import Carrier

BEAT_MOST = 10.0
"""Seconds between two beats, at most."""
LINGER = 1.0


class Asked:
    """Whether this process was asked to end, for a signal handler to set and any thread to wait for."""

    def __init__(self) -> None:
        self.asked = False
        self.looked_at = False
        """The worker has asked for it: it is trusted to come to its end by itself."""
        self.by = ""
        """What asked: a signal's name, ``stop``."""
        # why a descriptor and not an Event: setting one in a handler can find its lock held by the code interrupted
        self._wait, self._set = os.pipe()

    def ask(self, by: str) -> None:
        if not self.asked:
            self.asked = True
            self.by = by
            os.write(self._set, b".")

    def wait(self, timeout: float) -> bool:
        """`asked`, as soon as that is so; at the latest after ``timeout`` seconds."""
        if timeout > 0 and not self.asked:
            poll = select.poll()
            poll.register(self._wait, select.POLLIN)
            poll.poll(timeout * 1000)
        return self.asked


class Life:
    """One worker's life: who it is, what it says, whether it was asked to end.

    `welcomed`, `refused`, `pinged`, `stop_asked` and `commanded` are what the root says (`Ears`); a life with a loop
    does more of it.
    """

    def __init__(self, called: str, passing: bool = False) -> None:
        """``called``: its name where there is no tree. ``passing``: it is not the worker, but some process of it."""
        from supervisor_tree.workers.life.channel import Channel

        self.channel = Channel(os.environ, self, passing)
        self.name = self.channel.name or called.rpartition(":")[2]
        self.incarnation = self.channel.incarnation
        self.end = Asked()
        self.limit: float | None = None
        """Seconds of silence that the root allows."""

    @property
    def interval(self) -> float:
        """Seconds between beats: three chances within the limit."""
        return BEAT_MOST if self.limit is None else min(BEAT_MOST, self.limit / 3)

    def connect(self, carrier: Carrier) -> None:
        """From here on it speaks and hears."""
        self.channel.open(carrier)

    def close(self) -> None:
        """The last that it does. A program that lives for a moment has said that it is ready, and what it has done,
        before anybody could hear it: it waits for that, at most `LINGER` seconds, and not when it was asked to end."""
        self.channel.close(0.0 if self.end.asked else LINGER)

    def beat(self, status: str | None, detail: str | None, fields: dict[str, Any]) -> None:
        self.channel.keep(status, fields)
        self.channel.beat(detail)

    def welcomed(self, limit: float | None) -> None:
        self.limit = limit

    def refused(self, reason: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads it
            print(f"supervisor-tree: the tree does not hear this worker: {reason}", file=sys.stderr)

    def pinged(self) -> None:
        """Nothing here comes from the program itself, so nothing is said."""

    def stop_asked(self, grace: float | None) -> None:
        self.end.ask("stop")

    def commanded(self, id_: int, name: str, args: dict[str, Any]) -> None:
        self.channel.reply(id_, False, error=f"{self.name} is a function, and takes no commands")


life: Life | None = None
"""Of this process."""
_had_one = False
"""This process, or the one that it was forked from, has or had a harness."""


def begin(new: Life) -> None:
    """``new`` is the worker of this process, from here to its end."""
    global life, _had_one
    life = new
    _had_one = True


def speaker() -> Life | None:
    """Who speaks in this process: its worker; else, in a program that a tree runs, one made now; else nobody."""
    global life
    if life is None and not _had_one and os.environ.get("SUPERVISOR_TREE_ENDPOINT"):
        import atexit

        from supervisor_tree.workers.life.carrying import ThreadCarrier

        # The first process of a worker leads its session: that one is who the worker is.
        life = Life(os.path.basename(sys.argv[0]), passing=os.getpid() != os.getsid(0))
        life.connect(ThreadCarrier())
        atexit.register(life.close)
    return life


def _forked() -> None:
    """Beats of a fork would say that its parent is well."""
    global life
    if life is not None:
        life.channel.abandon()
        life = None


os.register_at_fork(after_in_child=_forked)
