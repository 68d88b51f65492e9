"""One start of a Python worker, from the root's effect until it is a child that runs or has failed."""

from __future__ import annotations

import os
import socket
import time

from supervisor_tree.keeper.outlets import Outlets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.loop import Timer
    from supervisor_tree.keeper.table import Key
    from supervisor_tree.keeper.zygote import Zygote

_AS_IT_IS = ("cwd", "umask", "nice", "limits")
"""Fields of the ``spawn`` effect that the fork itself carries out. Its user and group are its zygote's."""


class Request:
    """
    Args:
        effect: the ``spawn`` effect.
        env: the worker's environment.
    """

    def __init__(self, keeper: Keeper, name: str, inc: int, effect: dict[str, Any], env: dict[str, str]) -> None:
        self._keeper = keeper
        self.name = name
        self.inc = inc
        self.effect = effect
        self.env = env
        self.zygote: Zygote | None = None
        """To which it was given; None: that one is dead."""
        self.outlets: Outlets | None = None
        """Once it was sent."""
        self.talk: int | None = None
        """Our end of what it talks over; None before it was sent, and after its other end was closed."""
        self.since = 0.0
        self.tries = 0
        self.timer: Timer | None = None

    @property
    def key(self) -> Key:
        return self.name, self.inc

    def send(self, zygote: Zygote, talked: Callable[[Request, int], object]) -> None:
        """Ask a zygote for it; ``talked`` is called when there is something to be read from ``talk``.

        Raises:
            OSError: out of descriptors.
        """
        keeper, python = self._keeper, self.effect["python"]
        if self.outlets is None:
            self.outlets = Outlets(keeper, self.effect, self.env)
            uid = python["zygote"].get("uid")
            if uid is not None:
                self.outlets.give_to(uid)
        # Copies: should the link not take them now, they stay open whatever becomes of this request.
        fds = [os.dup(self.outlets.out)]
        try:
            fds.append(os.dup(self.outlets.err))
            ours, theirs = socket.socketpair()
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        fds.append(theirs.detach())
        talk = self.talk = ours.detach()
        keeper.loop.watch(talk, lambda events: talked(self, talk))
        os.set_blocking(talk, False)
        self.since = time.monotonic()
        self.tries += 1
        order = {
            "t": "fork",
            "name": self.name,
            "inc": self.inc,
            "target": python.get("target"),
            "dill": python.get("dill"),
            "args": python.get("args") or {},
            "env": self.env,
            "nofile": [keeper.spawner.soft, keeper.spawner.hard],
            **{key: self.effect.get(key) for key in _AS_IT_IS},
        }
        zygote.fork(self.key, order, fds)

    def close_talk(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.talk is not None:
            self._keeper.loop.unwatch(self.talk)
            os.close(self.talk)
            self.talk = None

    def drop(self) -> None:
        """Let go of what it holds. A fork that exists already finds its end of ``talk`` closed, and ends."""
        if self.zygote is not None:
            self.zygote.answered(self.key)
        self.close_talk()
        if self.outlets is not None:
            self.outlets.close()
            self.outlets = None
