"""One process at the other end of a link: a root, a standby root, a logger, or a zygote."""

from __future__ import annotations

import os
import signal
import socket
import time

from supervisor_tree.ipc.link import MAX_FRAME, Link, LinkClosed, LinkError, encode
from supervisor_tree.keeper.loop import READ, WRITE
from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.loop import Timer

    Frame = Callable[["Peer", dict[str, Any], bytes], None]


class Peer:
    """Spawned when it is made.

    Args:
        make_argv: given the number of the link's descriptor in the child.
        on_frame: called for each frame, also for those found in the link after its death.
        on_end: called once, after its death was reaped and its link drained.
        start: starts a command that inherits these descriptors and tells its pid; default: with the keeper's own
            folder, standard output and error.
        largest: bytes of the longest frame that is taken from it.
        alone: a kill is for it and not for its group, in which there may be others' processes.

    Raises:
        SpawnError: it could not be started.
        OSError: out of descriptors.
    """

    def __init__(
        self,
        keeper: Keeper,
        make_argv: Callable[[int], list[str]],
        env: Mapping[str, str],
        pass_fds: Sequence[int],
        on_frame: Frame,
        on_end: Callable[[Peer, int], None],
        *,
        start: Callable[[list[str], Sequence[int]], int] | None = None,
        largest: int = MAX_FRAME,
        alone: bool = False,
    ) -> None:
        self._keeper = keeper
        self._on_frame = on_frame
        self._on_end = on_end
        self.alone = alone
        self.able = False
        self.reason: str | None = None
        """Why the keeper killed it."""
        self.stack = b""
        self._stopped: Timer | None = None
        self._limit: Timer | None = None
        ours, theirs = socket.socketpair()
        try:
            argv, fds = make_argv(theirs.fileno()), (theirs.fileno(), *pass_fds)
            if start is None:
                self.pid = keeper.spawner.start(argv[0], argv, env, 1, 2, pass_fds=fds)
            else:
                self.pid = start(argv, fds)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.start = means.process_identity(self.pid) or 0
        self.since = time.monotonic()
        self.link: Link | None = Link(ours, takes_fds=False, largest=largest)
        keeper.table.others[self.pid] = self
        keeper.loop.watch(ours.fileno(), self._ready)
        self.expect_able()

    @property
    def alive(self) -> bool:
        return self.pid in self._keeper.table.others

    @property
    def wants_write(self) -> bool:
        """Something was sent that its link has not taken yet."""
        return self.link is not None and self.link.wants_write

    @property
    def unsent(self) -> int:
        """Bytes of it."""
        return 0 if self.link is None else self.link.queued

    def send(self, head: dict[str, Any], blob: bytes = b"", fds: Sequence[int] = ()) -> None:
        """Queue a frame; to a dead peer: nothing. Never blocks."""
        self.send_bytes(encode(head, blob), fds)

    def send_bytes(self, frames: bytes, fds: Sequence[int] = ()) -> None:
        """`send` for encoded frames, several at once."""
        link = self.link
        if link is None:
            return
        waited = link.wants_write
        try:
            link.send_bytes(frames, fds)
        except LinkClosed:
            self._hung_up()
            return
        if link.wants_write and not waited:
            self._keeper.loop.watch(link.fileno(), self._ready, READ | WRITE)

    def expect_able(self) -> None:
        """From now on it has so long to say that it is able."""
        self.able = False
        if self._limit is not None:
            self._limit.cancel()
        self._limit = self._keeper.loop.later(self._keeper.limits.able, self._not_able)

    def take_its_time(self) -> None:
        """It may take as long as it likes to become able: nothing depends on it yet."""
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def became_able(self) -> None:
        self.able = True
        if self._limit is not None:
            self._limit.cancel()

    def kill(self, reason: str) -> None:
        """SIGKILL it and its group (not if it is ``alone``). `on_end` follows when it has been reaped."""
        if self.reason is None:
            self.reason = reason
        if self.alive and self.alone:
            os.kill(self.pid, signal.SIGKILL)
        elif self.alive:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                # Not yet a group leader: the setsid of a spawn that failed half way.
                os.kill(self.pid, signal.SIGKILL)

    def look_stopped(self) -> None:
        """After a SIGCHLD: if it is stopped now and still is a little later, it is replaced."""
        if self._stopped is None and self._is_stopped():
            self._stopped = self._keeper.loop.later(self._keeper.limits.stopped, self._still_stopped)

    def limits_start_again(self) -> None:
        """The keeper itself was late: what did not happen meanwhile is nobody's fault."""
        if not self.able and self._limit is not None:
            self.expect_able()
        if self._stopped is not None:
            self._stopped.cancel()
            self._stopped = None
            self.look_stopped()

    def close_link(self) -> None:
        if self.link is not None:
            self._keeper.loop.unwatch(self.link.fileno())
            self.link.close()
            self.link = None

    def ended(self, status: int) -> None:
        """Reaped: what it had sent whole before still counts."""
        for timer in (self._limit, self._stopped):
            if timer is not None:
                timer.cancel()
        while self.link is not None:
            try:
                frames = self.link.receive()
            except (LinkClosed, LinkError):
                break
            if not frames:
                break
            for head, blob in frames:
                self._hear(head, blob)
        self.close_link()
        self._on_end(self, status)

    def _ready(self, events: int) -> None:
        link = self.link
        if link is None:
            return
        try:
            if events & WRITE:
                link.flush()
                if not link.wants_write:
                    self._keeper.loop.watch(link.fileno(), self._ready)
            if not events & ~WRITE:
                return
            for head, blob in link.receive():
                self._hear(head, blob)
        except LinkClosed:
            self._hung_up()
        except LinkError as error:
            self.kill(f"garbage on its link: {error}")
            self.close_link()

    def _hear(self, head: dict[str, Any], blob: bytes) -> None:
        """A frame that is JSON but no message of ours is garbage too: what can't be trusted is replaced."""
        try:
            self._on_frame(self, head, blob)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            self.kill(f"garbage on its link: {type(error).__name__} {error}")

    def _hung_up(self) -> None:
        """Its end is closed: it is dead or dying, else broken."""
        if self.link is not None:
            self._keeper.loop.unwatch(self.link.fileno())
        self._keeper.loop.later(1.0, lambda: self.kill("closed its link"))

    def _is_stopped(self) -> bool:
        return means.child_is_stopped(self.pid)

    def _still_stopped(self) -> None:
        self._stopped = None
        if self.alive and self._is_stopped():
            self.kill("stopped")

    def _not_able(self) -> None:
        if not self.able:
            self.kill("not able in time")


def describe(peer: Peer, status: int) -> str:
    """Why it ended: ``killed``, ``stopped``, ``blocked``, ``exit status N``, ``killed by SIGNAME`` …"""
    if peer.reason is not None:
        return peer.reason
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    if code == -signal.SIGKILL:
        return "killed"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"  # a real-time one


class Ladder:
    """At once after one that had become able, else after 1, 2, 4 … 30 s."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._failures = 0

    def delay(self, was_able: bool) -> float:
        if was_able:
            self._failures = 0
            return 0.0
        limits = self._keeper.limits
        self._failures += 1
        return float(min(limits.retry_most, limits.retry_first * 2 ** (self._failures - 1)))
