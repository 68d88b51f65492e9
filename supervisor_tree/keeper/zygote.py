"""One zygote as the keeper sees it: its process, what it imports, and how much it may be asked at once."""

from __future__ import annotations

import json
import os
import resource
import time
from collections import deque

from supervisor_tree.keeper.peer import Peer, describe
from supervisor_tree.keeper.zygote_words import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.loop import Timer
    from supervisor_tree.keeper.table import Key
    from supervisor_tree.keeper.zygotes import Zygotes

_AT_ONCE = 16
"""Requests that a zygote may have unanswered: each holds six descriptors here."""
_ROOM = "SUPERVISOR_TREE_ROOM", "-" * 300
"""A variable for the space that it takes: a fork writes its name and incarnation over it."""
UNUSED = "no worker has needed it for a while"
_FRAME_MOST = 1024 * 1024
"""Bytes. Ten thousand ends told at once are half of it."""
_UNREAD_MOST = 64 * 1024 * 1024
"""Bytes that a zygote leaves unread: it is one that tells of ends and does not listen."""
_LOG = {"max_size": 1024 * 1024, "keep": 1, "max_age": None, "on_full": "drop"}


class Zygote:
    """Started when it is made; `Zygotes.ended` is called when it is dead.

    Args:
        spec: the ``zygote`` of a ``spawn`` effect: key, argv, cwd, env, inherit, preload; user, group, nice, limits as
            of its workers, where they have a user or group.

    Raises:
        SpawnError: it could not be started.
        OSError: out of descriptors.
    """

    def __init__(self, keeper: Keeper, spec: dict[str, Any], zygotes: Zygotes) -> None:
        self._keeper = keeper
        self._zygotes = zygotes
        self.spec = spec
        self.key: str = spec["key"]
        self.queue: deque[Key] = deque()
        """Requests that wait for it to be ready, or to have answered those before."""
        self._asked: set[Key] = set()
        self._unsent: list[int] = []
        """Descriptors to close once the link has taken them."""
        self._workers = 0
        self._unused: Timer | None = None
        self._module: str | None = None
        self._why: str | None = None
        self._timer: Timer | None = None
        self._launch: int | None = None
        """Where the spawn helper says why it could not become what was asked for."""
        self.errno = 0
        """Of that."""
        preload: list[str] = spec["preload"]
        env = {**keeper.spawner.environment(spec["env"], spec.get("inherit", True)), _ROOM[0]: _ROOM[1]}
        read, write = os.pipe()

        def start(argv: list[str], fds: Sequence[int]) -> int:
            program = {**spec, "argv": argv, "limits": _raised(spec.get("limits") or {})}
            pid, self._launch = keeper.spawner.program(program, env, write, write, pass_fds=fds, reads=spec["argv"][1:])
            return pid

        try:
            self._peer = Peer(
                keeper,
                lambda link: [*spec["argv"], "--link", str(link), "--preload", *preload],
                env,
                (),
                self._frame,
                self._ended,
                start=start,
                largest=_FRAME_MOST,
                # A fork is in the zygote's group before it has one of its own, and does not need the zygote any more.
                alone=True,
            )
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        # Its own limits are these: imports take as long as they take.
        self._peer.take_its_time()
        self.name = f"zygote-{self.key}"
        self.inc = keeper.next_role_number()
        keeper.logger.note_process(self.name, self.inc, self._peer)
        keeper.logger.attach(self, "all", read, {"path": keeper.logger.own_file(self.name), **_LOG})
        self._event("started")
        self._import_begins(None)

    @property
    def pid(self) -> int:
        return self._peer.pid

    @property
    def alive(self) -> bool:
        return self._peer.alive

    @property
    def was_killed(self) -> bool:
        """By us: it did not get on."""
        return self._peer.reason is not None

    @property
    def was_unused(self) -> bool:
        return self._peer.reason == UNUSED

    # --- asking it

    @property
    def takes_more(self) -> bool:
        return self._peer.able and self._peer.reason is None and len(self._asked) < _AT_ONCE

    def fork(self, key: Key, order: dict[str, Any], fds: Sequence[int]) -> None:
        """Ask for a fork. The descriptors are closed once they have left."""
        self._asked.add(key)
        self._look_unused()
        self._peer.send(order, fds=fds)
        self._unsent += fds
        self.close_sent()
        if self._timer is None:
            self._limit(self._keeper.limits.fork, self._no_fork)

    def close_sent(self) -> None:
        """Called after each turn of the loop."""
        if self._unsent and not self._peer.wants_write:
            for fd in self._unsent:
                os.close(fd)
            self._unsent.clear()

    def answered(self, key: Key) -> None:
        """A request is one no more."""
        if key in self._asked:
            self._asked.discard(key)
            self._look_unused()
            if self._asked:
                self._limit(self._keeper.limits.fork, self._no_fork)
            else:
                self._no_limit()

    def has(self, workers: int) -> None:
        """So many more of its forks live (less, if negative)."""
        self._workers += workers
        self._look_unused()

    def _look_unused(self) -> None:
        """After a reload that changed what is preloaded, nobody needs the old one once its workers have ended."""
        if self._unused is not None:
            self._unused.cancel()
            self._unused = None
        if self.alive and self._peer.able and not self._workers and not self._asked and not self.queue:
            self._unused = self._keeper.loop.later(self._keeper.limits.unused, lambda: self.kill(UNUSED))

    def reap(self, pid: int) -> None:
        self._peer.send({"t": "reap", "pid": pid})
        if self._peer.unsent > _UNREAD_MOST:
            self.kill("it does not read what it is told")

    def kill(self, why: str) -> None:
        self._peer.kill(why)

    def look_stopped(self) -> None:
        self._peer.look_stopped()

    # --- what it says

    def _frame(self, peer: Peer, head: dict[str, Any], blob: bytes) -> None:
        kind = head.get("t")
        if kind == "forked":
            self._zygotes.forked(self, head)
        elif kind == "exited":
            self._zygotes.exited(self, head)
        elif kind == "reaped":
            self._zygotes.reaped(self, head)
        elif kind == "fork_failed":
            self._zygotes.fork_failed(self, head)
        elif kind == "importing":
            self._import_begins(words(head["module"]))
        elif kind == "ready" and not peer.able:
            python, threads = words(head["python"]), [words(each) for each in head["threads"]]
            self._no_limit()
            peer.became_able()
            seconds = round(time.monotonic() - peer.since, 3)
            self._event("ready", seconds=seconds, python=python, threads=threads)
            self._zygotes.send_next(self)
            self._look_unused()
        elif kind == "failed":
            module, error = head["module"], words(head["error"])
            self._why = error if module is None else f"preload of {words(module)} failed: {error}"

    # --- limits

    def _import_begins(self, module: str | None) -> None:
        self._module = module
        self._limit(self._keeper.limits.slow, self._slow)

    def _slow(self) -> None:
        limits = self._keeper.limits
        names = sorted({name for name, _ in self.queue})
        self._event("slow", module=self._module, seconds=limits.slow, names=names)
        self._limit(limits.preload - limits.slow, self._no_import)

    def _no_import(self) -> None:
        self._timer = None
        self.kill(f"{self._doing} is not done after {self._keeper.limits.preload:g} s")

    def _no_fork(self) -> None:
        self._timer = None
        self.kill(f"it has not answered a request to fork for {self._keeper.limits.fork:g} s")

    def limits_start_again(self) -> None:
        self._peer.limits_start_again()
        if self._timer is not None and self._timer.call is not None:
            left = self._keeper.limits.fork if self._peer.able else self._keeper.limits.preload
            self._limit(left, self._timer.call)

    def _limit(self, seconds: float, call: Any) -> None:
        self._no_limit()
        self._timer = self._keeper.loop.later(seconds, call)

    def _no_limit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _doing(self) -> str:
        return "the start of its interpreter" if self._module is None else f"preload of {self._module}"

    # --- its end

    def _ended(self, peer: Peer, status: int) -> None:
        self._no_limit()
        if self._unused is not None:
            self._unused.cancel()
        self._hear_helper()
        keeper = self._keeper
        for fd in self._unsent:
            os.close(fd)
        self._unsent.clear()
        keeper.logger.note_gone(peer)
        keeper.logger.emptied(self)
        why = self._why or describe(peer, status)
        if not peer.able and self._why is None and peer.reason is None:
            why = f"{self._doing} crashed: {why}"
        if not self._zygotes.over:
            what = "killed" if peer.reason is not None else "lost" if peer.able else "failed"
            self._event(what, module=None if peer.able else self._module, why=why)
        # Who waits for a fork is told of whom this is said: of one that was able, `why` tells its end only.
        self._zygotes.ended(self, f"its zygote ended: {why}" if peer.able else why, was_ready=peer.able)

    def _hear_helper(self) -> None:
        if self._launch is None:
            return
        with open(self._launch, "rb") as opened:
            said = opened.read()
        self._launch = None
        if said:
            failure = json.loads(said)
            self.errno, self._why = failure["errno"], failure["reason"]

    def _event(self, what: str, **fields: Any) -> None:
        spec = self.spec
        known = {"zygote": self.key, "pid": self.pid, "interpreter": spec["argv"][0], "preload": spec["preload"]}
        self._keeper.kept.event("zygote", what=what, **known, **fields)


def _raised(limits: dict[str, Any]) -> dict[str, list[int]]:
    """The hard limits above ours: forks of another user could not raise them. What is below is for the forks only."""
    raised: dict[str, list[int]] = {}
    for name, value in limits.items():
        kind = getattr(resource, "RLIMIT_" + name.upper(), None)
        if kind is not None:
            wanted = value[1] if isinstance(value, list) else value
            soft, hard = resource.getrlimit(kind)
            if hard != resource.RLIM_INFINITY and (wanted == resource.RLIM_INFINITY or wanted > hard):
                raised[name] = [soft, wanted]
    return raised
