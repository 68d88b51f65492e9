"""Saying that a program is ready, as systemd's services do (sd_notify(3)): `ready = { notify = true }` waits for it."""

from __future__ import annotations

import contextlib
import os
import socket


def ready() -> None:
    """Send READY=1 to whoever started this program; nothing where nobody asked for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
        told.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)
