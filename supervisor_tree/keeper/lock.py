"""The lock of a state directory (`processes.md` 9): one flock, held by keeper, root and logger together."""

from __future__ import annotations

import fcntl
import json
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any


class Lock:
    """The lock, held. Its file says who holds it, for the start that is refused and for the next life."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def write(self, owner: dict[str, Any]) -> None:
        """Say whose it is. An empty object: a life that ended in order, nothing to sweep."""
        text = json.dumps(owner).encode()
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, text, 0)

    def owner(self) -> dict[str, Any]:
        return _owner(self.fd)

    def release(self) -> None:
        os.close(self.fd)


class Busy(Exception):
    """Another process holds it; ``owner`` is what the file says (empty when nothing readable)."""

    def __init__(self, owner: dict[str, Any]) -> None:
        super().__init__("locked")
        self.owner = owner


class _TooLong(Exception):
    pass


def take(path: str, wait: float = 0.0) -> Lock:
    """Take the lock, waiting up to ``wait`` seconds.

    Raises:
        Busy: it is held.
        OSError: the file can't be opened.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if wait <= 0 or not _wait(fd, wait):
            owner = _owner(fd)
            os.close(fd)
            raise Busy(owner) from None
    return Lock(fd)


def _wait(fd: int, seconds: float) -> bool:
    """Block in flock with an alarm: the lock is had the moment it is free, without asking again and again."""

    def alarm(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        fcntl.flock(fd, fcntl.LOCK_EX)
    except _TooLong:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return True


def _owner(fd: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(fd, 4096, 0))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
