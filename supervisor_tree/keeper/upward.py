"""sd_notify to the service manager above the keeper (`processes.md` 24)."""

from __future__ import annotations

import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from supervisor_tree.keeper.loop import Loop


class Upward:
    """Silent where no service manager asked. Never blocks, never fails.

    ``vouched``: asked before each WATCHDOG=1: has the root answered or acknowledged since the last one?
    """

    def __init__(self, environ: Mapping[str, str], loop: Loop, vouched: Callable[[], bool]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        self._loop = loop
        self._vouched = vouched
        self.watchdog: float | None = None
        """Seconds between two WATCHDOG=1; None: not asked for."""
        if not self._address:
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        if usec.isdigit() and int(usec) > 0 and pid in ("", str(os.getpid())):
            self.watchdog = int(usec) / 2e6
            loop.later(self.watchdog, self._beat)

    def ready(self) -> None:
        self._send("READY=1")

    def status(self, text: str) -> None:
        self._send("STATUS=" + text.replace("\n", " "))

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def close(self) -> None:
        """Say nothing more."""
        self.watchdog = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _beat(self) -> None:
        if self._vouched():
            self._send("WATCHDOG=1")
        if self.watchdog is not None:
            self._loop.later(self.watchdog, self._beat)

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            self._socket.sendto(text.encode(), address)
        except OSError:
            return
