"""The succession of roots: first, takeover, standby; and when one is no longer believed (`processes.md` 3, 4)."""

from __future__ import annotations

import os
import signal
import time

from supervisor_tree.ipc.link import encode
from supervisor_tree.keeper.limits import DEATHS_ON_ONE_EVENT
from supervisor_tree.keeper.loop import say
from supervisor_tree.keeper.peer import Ladder, Peer, describe
from supervisor_tree.keeper.spawn import SpawnError
from supervisor_tree.keeper.sweep import ROLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.loop import Timer

PROTOCOL = 1
_STACK_MOST = 64 * 1024


class Brain:
    def __init__(self, keeper: Keeper, argv: list[str]) -> None:
        self._keeper = keeper
        self._argv = argv
        self.root: Peer | None = None
        self.standby: Peer | None = None
        self._standby_argv: list[str] = []
        self._upgrade_request: Any = None
        self._ladder = Ladder(keeper)
        self._lost: dict[str, Any] | None = None
        self._stacks: dict[Peer, int] = {}
        self._deaths: tuple[int, int] = (0, 0)
        """Number of the event first in line, and how many roots have died of it."""
        self.over = False
        """No root will follow."""
        self.acknowledged = False
        """It has answered or acknowledged since the last WATCHDOG=1."""
        self._heard = 0.0
        self._pinged: float | None = None
        self._pings = 0
        self._since = 0.0
        """When the root of now became able, or the limits last began anew."""
        self._check: Timer | None = None

    # --- succession

    def start(self) -> None:
        """Start a root: the first, or one that takes over."""
        if self.over:
            return
        try:
            self.root = self._spawn(self._argv)
        except (SpawnError, OSError) as error:
            if self._keeper.kept.seq == 0 and not self._keeper.prepared:
                say(f"the root can't be started: {error}")
                self._keeper.never_began(1)
                return
            self._keeper.loop.later(self._ladder.delay(False), self.start)
            return
        if self._keeper.kept.seq:
            self._hello(self.root, "takeover")
        else:
            # A first root reads the user's files; its user sees it and has ^C.
            self.root.take_its_time()
            self._hello(self.root, "first")

    def _spawn(self, argv: list[str]) -> Peer:
        keeper = self._keeper
        env = {**keeper.spawner.environ, "SUPERVISOR_TREE_ID": keeper.tree_id, ROLE: "root"}
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        try:
            peer = Peer(
                keeper,
                lambda link: [*argv, "--link", str(link), "--stack", str(write)],
                env,
                (write,),
                self._frame,
                self._ended,
            )
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        self._stacks[peer] = read
        keeper.logger.note_process("root", keeper.next_role_number(), peer)
        return peer

    def _hello(self, peer: Peer, mode: str, *, lock: bool = True) -> None:
        keeper = self._keeper
        handed, blob = keeper.kept.handed()
        head = {
            "t": "hello",
            "mode": mode,
            "version": PROTOCOL,
            "id": keeper.tree_id,
            "keeper": os.getpid(),
            "keeper_start": keeper.start,
            "table": keeper.table.rows(),
            "lost": self._lost,
            "lock": False,
            **handed,
        }
        fds: tuple[int, ...] = ()
        if mode != "first" and lock and keeper.lock is not None:
            head["lock"] = True
            fds = (keeper.lock.fd,)
        if mode == "takeover":
            # They are in the hello.
            keeper.kept.unsent.clear()
        peer.send(head, blob, fds)

    def _ended(self, peer: Peer, status: int) -> None:
        keeper = self._keeper
        stack = self._read_stack(peer)
        reason = describe(peer, status)
        keeper.logger.note_gone(peer)
        if peer is self.standby:
            self.standby = None
            self._refuse(f"the new root {_in_words(reason)} before it was able")
            return
        if peer is not self.root:
            return
        self.root = None
        if self._check is not None:
            self._check.cancel()
        if self.over:
            keeper.root_is_gone()
            return
        if keeper.kept.seq == 0 and (not keeper.prepared or os.WIFEXITED(status)) and peer.reason is None:
            self.over = True
            code = os.waitstatus_to_exitcode(status)
            keeper.never_began(code if code >= 0 else 1)
            return
        self._lost = {"reason": reason, "pid": peer.pid}
        if reason == "upgrade" and self.standby is not None:
            self._promote()
            return
        keeper.kept.event("root_lost", pid=peer.pid, reason=reason, stack=stack or None)
        self._blame(reason)
        if self.standby is not None:
            # The old one is gone before the new one said able: nobody to go on, so the old version does.
            self.standby.kill("the old root died meanwhile")
        delay = self._ladder.delay(peer.able)
        if delay == 0:
            self.start()
        else:
            keeper.loop.later(delay, self.start)

    def _blame(self, reason: str) -> None:
        """Three roots dead of their own doing with one event first in line: it is set aside.

        A kill from outside says nothing about the event.
        """
        kept = self._keeper.kept
        first = next((each for each in kept.events if each["kind"] != "root_lost"), None)
        if first is None or reason in ("killed", "stopped"):
            return
        number, deaths = self._deaths
        deaths = deaths + 1 if number == first["n"] else 1
        self._deaths = first["n"], deaths
        if deaths >= DEATHS_ON_ONE_EVENT:
            kept.set_aside(first)
            kept.event("event_set_aside", n=first["n"], what=first["kind"], event=first, deaths=deaths)

    # --- upgrade

    def upgrade(self, argv: list[str] | None, request: Any) -> None:
        """Start a root in standby; the one of now is ended when that one is able."""
        if self.standby is not None:
            self._keeper.kept.event("upgrade_refused", why="an upgrade is under way", request=request)
            return
        self._upgrade_request = request
        self._standby_argv = argv or self._argv
        try:
            self.standby = self._spawn(self._standby_argv)
        except (SpawnError, OSError) as error:
            self._refuse(f"the new root can't be started: {error}")
            return
        self._hello(self.standby, "standby")

    def _refuse(self, why: str) -> None:
        if not self.over:
            self._keeper.kept.event("upgrade_refused", why=why, request=self._upgrade_request)

    def _promote(self) -> None:
        assert self.standby is not None
        self.root, self.standby = self.standby, None
        self._argv = self._standby_argv
        self.root.expect_able()
        self._keeper.kept.event("upgraded", request=self._upgrade_request)
        self._hello(self.root, "takeover", lock=False)

    # --- frames

    def _frame(self, peer: Peer, head: dict[str, Any], blob: bytes) -> None:
        kind = head.get("t")
        if peer is self.standby:
            if kind == "able" and self.root is not None:
                peer.became_able()
                self.root.kill("upgrade")
            return
        if peer is not self.root or (peer.reason is not None and peer.alive):
            # Killed but not yet reaped: its link is drained when it is.
            if peer is self.root and kind == "commit":
                self._commit(head, blob)
            return
        self._heard = time.monotonic()
        if kind == "commit":
            self._commit(head, blob)
        elif kind == "pong":
            self._pinged = None
            self.acknowledged = True
        elif kind == "able":
            peer.became_able()
            self._since = self._heard
            self._pinged = None
            self._schedule()
            self._keeper.root_is_able()
        elif kind == "prepare":
            self._keeper.prepare(head)

    def _commit(self, head: dict[str, Any], blob: bytes) -> None:
        self._keeper.commit(head, blob)
        if head.get("ack"):
            self.acknowledged = True

    def prepared(self, swept: list[dict[str, Any]], lock: int) -> None:
        if self.root is not None:
            self.root.send({"t": "locked", "swept": swept}, fds=(lock,))

    def flush(self) -> None:
        """Send the events that the root has not been sent, in one write."""
        kept = self._keeper.kept
        if not kept.unsent or self.root is None or not self.root.able:
            return
        frames = b"".join([encode(event) for event in kept.unsent])
        kept.unsent.clear()
        self.root.send_bytes(frames)
        if self._check is not None and self._check.when > time.monotonic() + self._keeper.limits.answer:
            self._schedule()

    # --- is it alive?

    def _schedule(self) -> None:
        if self._check is not None:
            self._check.cancel()
        self._check = self._keeper.loop.at(self._next_check(), self._look)

    def _next_check(self) -> float:
        limits = self._keeper.limits
        when = self._heard + limits.ping if self._pinged is None else self._pinged + limits.answer
        return max(min(when, self._event_limit()), time.monotonic())

    def _event_limit(self) -> float:
        events = self._keeper.kept.events
        if not events:
            return float("inf")
        return float(max(events[0]["at"], self._since)) + self._keeper.limits.answer

    def _look(self) -> None:
        root = self.root
        if root is None or not root.able or root.reason is not None:
            return
        now = time.monotonic()
        limits = self._keeper.limits
        if now >= self._event_limit() or (self._pinged is not None and now >= self._pinged + limits.answer):
            self._blocked(root)
            return
        if self._pinged is None and now >= self._heard + limits.ping:
            self._pinged = now
            self._pings += 1
            root.send({"t": "ping", "n": self._pings})
            self._keeper.reaper.refresh()
        self._schedule()

    def _blocked(self, root: Peer) -> None:
        """Ask for its stacks (faulthandler answers even where Python code does not), then kill it."""
        try:
            os.kill(root.pid, signal.SIGUSR2)
        except ProcessLookupError:
            return
        self._keeper.loop.later(self._keeper.limits.stack, lambda: root.kill("blocked"))

    def _read_stack(self, peer: Peer) -> str:
        fd = self._stacks.pop(peer)
        try:
            return os.read(fd, _STACK_MOST).decode(errors="replace")
        except BlockingIOError:
            return ""
        finally:
            os.close(fd)

    def look_stopped(self) -> None:
        for peer in (self.root, self.standby):
            if peer is not None:
                peer.look_stopped()

    def limits_start_again(self) -> None:
        """The keeper was late (suspend, ^Z)."""
        self._since = self._heard = time.monotonic()
        self._pinged = None
        for peer in (self.root, self.standby):
            if peer is not None:
                peer.limits_start_again()
        if self._check is not None and self._check.call is not None:
            self._schedule()

    # --- the end

    def end(self, *, at_once: bool) -> None:
        """No root follows. It sees its link close and exits, or is killed at once."""
        self.over = True
        if self.standby is not None:
            self.standby.kill("the tree ends")
        if self.root is None:
            return
        root = self.root
        if at_once:
            root.kill("the tree ends")
        else:
            root.close_link()
            self._keeper.loop.later(self._keeper.limits.last, lambda: root.kill("did not end with the tree"))


def _in_words(reason: str) -> str:
    if reason.startswith("exit status "):
        return f"ended with {reason}"
    if reason.startswith("killed by "):
        return f"was {reason}"
    return {"killed": "was killed", "stopped": "was stopped"}.get(reason, f"was killed ({reason})")
