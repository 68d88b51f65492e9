"""sd_notify from workers: one datagram socket for each incarnation, kept by the keeper (`processes.md` 24).

The socket is the attribution: whatever arrives on it came from that worker or from somebody it told. What it says is
read as systemd reads it (sd_notify(3)); the root gives it its meaning. A worker is never made to wait by us, and a
flood costs the others nothing: beyond the rate only the last word of each kind is kept, and told a little later.
"""

from __future__ import annotations

import os
import socket
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.table import Child

_MESSAGE = 4096
"""Bytes of one message, as in systemd. A longer one is ignored."""
_CREDENTIALS = struct.Struct("3i")
# No room for descriptors (FDSTORE=1, the pipe of BARRIER=1): the kernel closes those that come.
_ROOM = socket.CMSG_SPACE(_CREDENTIALS.size)
_BURST = 40
_PER_SECOND = 20.0
_AT_ONCE = 64
"""Messages read before others get their turn."""
_QUEUE_MOST = 1024
"""More do not wait in a socket (`net.unix.max_dgram_qlen` is 10 to 512)."""
_BEHIND_MOST = 10_000
"""Events that no root has acknowledged, from which on workers' words are gathered."""
_LATER = 0.1
"""Seconds until what was gathered is told."""
_STATUS_MOST = 500
_WORDS = frozenset({"READY=1", "RELOADING=1", "STOPPING=1", "WATCHDOG=1", "WATCHDOG=trigger"})
_NUMBERS = frozenset({"MAINPID", "EXTEND_TIMEOUT_USEC"})


class Gathered:
    """The sockets that have something to tell as soon as it may be told: too quick, or no root listens."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._waiting: dict[NotifySocket, None] = {}
        self._armed = False

    def listened_to(self) -> bool:
        root = self._keeper.brain.root
        return root is not None and root.able and len(self._keeper.kept.events) < _BEHIND_MOST

    def add(self, one: NotifySocket) -> None:
        self._waiting[one] = None
        if not self._armed:
            self._armed = True
            self._keeper.loop.later(_LATER, self._tell)

    def remove(self, one: NotifySocket) -> None:
        self._waiting.pop(one, None)

    def _tell(self) -> None:
        self._armed = False
        waiting, self._waiting = self._waiting, {}
        if not self.listened_to():
            self._waiting = waiting
        else:
            for one in waiting:
                one.tell()
        if self._waiting and not self._armed:
            self._armed = True
            self._keeper.loop.later(_LATER, self._tell)


class NotifySocket:
    """Bound before the spawn: its path goes into the child's environment.

    Raises:
        OSError: it can't be made.
    """

    _made = 0

    def __init__(self, keeper: Keeper, user: str | None) -> None:
        self._keeper = keeper
        self._child: Child | None = None
        NotifySocket._made += 1
        uid = _uid(user)
        folder = os.path.join(keeper.run_dir, f"u-{uid}")
        self.path = os.path.join(folder, f"n{NotifySocket._made}")
        self._tokens = float(_BURST)
        self._at = time.monotonic()
        self._said: dict[str, str] = {}
        """What was not told yet: the last line of each kind, in the order of their coming."""
        self._by: int | None = None
        self._told: set[str] = set()
        """What of this incarnation's was ignored, and has been reported."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            if not os.path.isdir(folder):
                os.mkdir(folder, 0o700)
                if uid != os.geteuid():
                    os.chown(folder, uid, -1)
            if hasattr(socket, "SO_PASSCRED"):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._socket.setblocking(False)
            if os.path.lexists(self.path):
                os.unlink(self.path)
            # Writable by all who may enter the folder, which is its user alone: to hand over a name in a folder
            # of somebody else's (chown) could be led astray by a link.
            before = os.umask(0)
            try:
                self._socket.bind(self.path)
            finally:
                os.umask(before)
        except OSError:
            self._socket.close()
            raise

    def belongs_to(self, child: Child) -> None:
        self._child = child
        self._keeper.loop.watch(self._socket.fileno(), lambda events: self._read(_AT_ONCE))

    def drain(self) -> None:
        """Read what has arrived: somebody has ended who may have said something before."""
        self._read(_QUEUE_MOST)

    def tell_all(self) -> None:
        """Report now what has arrived."""
        self.drain()
        self._report()

    def close(self) -> None:
        """What has arrived is still reported: a program may say its last word and exit at once."""
        if self._child is not None:
            self._read(_QUEUE_MOST)
            self._report()
        self._keeper.gathered.remove(self)
        self._keeper.loop.unwatch(self._socket.fileno())
        self._socket.close()
        try:
            os.unlink(self.path)
        except OSError:
            return

    def tell(self) -> None:
        """Report what was said, now or when it may be."""
        now = time.monotonic()
        self._tokens = min(float(_BURST), self._tokens + (now - self._at) * _PER_SECOND)
        self._at = now
        if self._tokens < 1 or not self._keeper.gathered.listened_to():
            self._keeper.gathered.add(self)
            return
        self._tokens -= 1
        self._report()

    def _read(self, most: int) -> None:
        for _ in range(most):
            try:
                data, ancillary, flags, _ = self._socket.recvmsg(_MESSAGE, _ROOM)
            except OSError:  # nothing more, above all
                return
            self._by = None
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == getattr(socket, "SCM_CREDENTIALS", -1):
                    self._by = _CREDENTIALS.unpack(payload[: _CREDENTIALS.size])[0]
            if flags & socket.MSG_TRUNC:
                self._ignore(f"a message of more than {_MESSAGE} bytes")
            elif b"\0" in data.rstrip(b"\0"):
                self._ignore("a message with a NUL byte in it")
            else:
                self._take(data.rstrip(b"\0").decode(errors="replace"))

    def _take(self, text: str) -> None:
        """One message. What is about the past only (WATCHDOG, STATUS) may be replaced by what follows it."""
        understood = False
        for line in text.split("\n"):
            key, equals, value = line.partition("=")
            understood = understood or bool(equals)
            if key == "STATUS":
                line = "STATUS=" + "".join(c if c.isprintable() else " " for c in value[:_STATUS_MOST])
            elif key in _NUMBERS:
                if not (value.isascii() and value.isdigit() and len(value) < 19):
                    self._ignore(f"{key} without a number")
                    continue
                if key == "MAINPID" and not self._name_main(int(value)):
                    continue
            elif line not in _WORDS:
                continue  # FDSTORE, BARRIER, ERRNO and what else there is: allowed, and nothing to us
            else:
                key = line
            self._said.pop(key, None)
            self._said[key] = line
        if not understood and text:
            self._ignore("a message that is none (KEY=VALUE lines)")
        if self._said:
            self.tell()

    def _name_main(self, pid: int) -> bool:
        assert self._child is not None
        refused = self._keeper.mains.name(self._child, pid)
        if refused is not None:
            self._ignore(f"MAINPID={pid}: {refused}", "MAINPID")
        return refused is None

    def _report(self) -> None:
        if self._said:
            child = self._child
            assert child is not None
            said, self._said = self._said, {}
            self._keeper.kept.event(
                "notify", name=child.name, inc=child.inc, pid=self._by, text="\n".join(said.values())
            )

    def _ignore(self, what: str, kind: str | None = None) -> None:
        """Say, once for each kind of mistake, that something was not heeded."""
        child = self._child
        if child is not None and (kind or what) not in self._told:
            self._told.add(kind or what)
            self._keeper.kept.event("notify_ignored", name=child.name, inc=child.inc, pid=self._by, what=what)


def _uid(user: str | None) -> int:
    if user is None:
        return os.geteuid()
    if user.isdigit():
        return int(user)
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return os.geteuid()
