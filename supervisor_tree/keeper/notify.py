"""sd_notify from workers: one datagram socket for each incarnation, kept by the keeper (`processes.md` 24).

The socket is the attribution: whatever arrives on it came from that worker or from somebody it told.
"""

from __future__ import annotations

import os
import socket
import struct
import time

from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.table import Child

_MESSAGE = 8192
_CREDENTIALS = struct.Struct("3i")
_BURST = 40
_PER_SECOND = 20.0


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
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.path = os.path.join(folder, f"n{NotifySocket._made}")
        self._tokens = float(_BURST)
        self._at = time.monotonic()
        self.dropped = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            if hasattr(socket, "SO_PASSCRED"):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._socket.setblocking(False)
            if os.path.lexists(self.path):
                os.unlink(self.path)
            self._socket.bind(self.path)
            if uid != os.geteuid():
                os.chown(folder, uid, -1)
                os.chown(self.path, uid, -1)
        except OSError:
            self._socket.close()
            raise

    def belongs_to(self, child: Child) -> None:
        self._child = child
        self._keeper.loop.watch(self._socket.fileno(), self._read)

    def close(self) -> None:
        """What has arrived is still reported: a program may say its last word and exit at once."""
        if self._child is not None:
            self._read(0)
        self._keeper.loop.unwatch(self._socket.fileno())
        self._socket.close()
        try:
            os.unlink(self.path)
        except OSError:
            return

    def _read(self, events: int) -> None:
        """Drain: a worker is never made to wait by us. Beyond the rate, what only repeats is dropped and counted."""
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_MESSAGE, socket.CMSG_SPACE(_CREDENTIALS.size))
            except (BlockingIOError, OSError):
                return
            pid = None
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == getattr(socket, "SCM_CREDENTIALS", -1):
                    pid = _CREDENTIALS.unpack(payload[: _CREDENTIALS.size])[0]
            self._forward(data.decode(errors="replace"), pid)

    def _forward(self, text: str, pid: int | None) -> None:
        child = self._child
        assert child is not None
        now = time.monotonic()
        self._tokens = min(float(_BURST), self._tokens + (now - self._at) * _PER_SECOND)
        self._at = now
        lines = text.split("\n")
        if self._tokens < 1 and all(each.startswith(("WATCHDOG=1", "STATUS=")) or not each for each in lines):
            self.dropped += 1
            return
        self._tokens = max(0.0, self._tokens - 1)
        kept = [each for each in lines if not each.startswith("MAINPID=") or self._of_child(each[8:])]
        self._keeper.kept.event("notify", name=child.name, inc=child.inc, pid=pid, text="\n".join(kept))

    def _of_child(self, text: str) -> bool:
        """MAINPID only for a process of that worker: its leader, its group or session, or adopted from it."""
        child = self._child
        assert child is not None
        if not text.isdigit():
            return False
        pid = int(text)
        if pid == child.pid or pid in child.rest:
            return True
        seen = means.process(pid)
        return seen is not None and child.pid in (seen.pgrp, seen.session) and seen.start >= child.start


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
