"""Who waits for a worker's connection: the asyncio loop of the worker, or, where it has none, a thread that only
carries.

A beat is made by the worker's own code or by its own loop, in both. The thread carries what a plain function has
said, and says `hello` again after the root was replaced; it never says anything by itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import deque

from supervisor_tree.ipc import zmtp

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from typing import Protocol

    from supervisor_tree.ipc.zmtp import Dealer, Message

    class Carrier(Protocol):
        """Drives one `Dealer`. `send` may be called from any thread, and never blocks."""

        def carry(self, dealer: Dealer) -> None: ...
        def send(self, message: Message, now: bool = False) -> None:
            """``now``: only if it can go out at once."""

        def close(self, linger: float) -> None:
            """The last that it does. Waits at most ``linger`` seconds, and only while something is unsent."""

        def abandon(self) -> None: ...


_MOMENT = 0.1
"""Seconds for a thread to come to its end."""


class LoopCarrier:
    """On the worker's loop. While that is blocked nothing is heard, and what its own thread says still goes out."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._dealer: Dealer | None = None
        self._fd = -1
        self._writing = False
        self._retry: asyncio.TimerHandle | None = None

    def carry(self, dealer: Dealer) -> None:
        self._dealer = dealer
        self._pump()

    def send(self, message: Message, now: bool = False) -> None:
        if threading.get_ident() == self._thread:
            self._send(message, now)
            return
        try:
            self._loop.call_soon_threadsafe(self._send, message, now)
        except RuntimeError:
            return  # the loop has ended: nobody listens any more

    def close(self, linger: float) -> None:
        if self._dealer is not None:
            self._unwatch()
            _drain(self._dealer, linger)
            self._dealer.close()
            self._dealer = None

    def abandon(self) -> None:
        """Without touching the loop: its selector is the parent's, too."""
        if self._dealer is not None:
            self._dealer.abandon()
            self._dealer = None

    def _send(self, message: Message, now: bool) -> None:
        if self._dealer is not None and (self._dealer.is_open or not now):
            self._dealer.send(message)
            self._watch()

    def _pump(self) -> None:
        if self._dealer is not None:
            try:
                self._dealer.pump()
            finally:
                self._watch()

    def _watch(self) -> None:
        """Watch what there is to watch now. After each step: a closed descriptor's number is soon another one's."""
        dealer = self._dealer
        if dealer is None:
            return
        fd = dealer.fileno()
        if fd != self._fd:
            self._unwatch()
            if fd >= 0:
                self._loop.add_reader(fd, self._pump)
                self._fd = fd
        if dealer.wants_write != self._writing:
            self._writing = dealer.wants_write
            if self._writing:
                self._loop.add_writer(fd, self._pump)
            elif fd >= 0:
                self._loop.remove_writer(fd)
        if dealer.retry_at is not None and self._retry is None:
            self._retry = self._loop.call_later(max(0.0, dealer.retry_at - time.monotonic()), self._try_again)

    def _unwatch(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = -1
            self._writing = False

    def _try_again(self) -> None:
        self._retry = None
        self._pump()


class ThreadCarrier:
    """On a thread of its own, which is parked in `poll` until there is something to carry. A daemon: no exit waits."""

    def __init__(self) -> None:
        self._todo: deque[tuple[Message, bool]] = deque()
        self._dealer: Dealer | None = None
        self._wake = self._written = -1
        self._inodes: tuple[int | None, int | None] = (None, None)
        self._linger: float | None = None
        self._thread = threading.Thread(target=self._carry, name="supervisor-tree", daemon=True)

    def carry(self, dealer: Dealer) -> None:
        self._dealer = dealer
        self._open()
        self._thread.start()

    def _open(self) -> None:
        self._wake, self._written = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._written, False)
        self._inodes = zmtp.inode(self._wake), zmtp.inode(self._written)

    def send(self, message: Message, now: bool = False) -> None:
        if self._dealer is not None:
            self._todo.append((message, now))
            self._rouse()

    def close(self, linger: float) -> None:
        if self._dealer is not None:
            self._linger = linger
            self._rouse()
            self._thread.join(linger + _MOMENT)

    def abandon(self) -> None:
        """In a fork there is no thread, and the pipe is the parent's, too."""
        if self._dealer is not None:
            self._dealer.abandon()
            self._dealer = None
            os.close(self._wake)
            os.close(self._written)

    def _rouse(self) -> None:
        if zmtp.inode(self._written) != self._inodes[1]:
            return  # the program has closed it: the thread has noticed, and this number may be a file of its own
        with contextlib.suppress(OSError):  # full: it is awake already; closed at this very moment: as above
            os.write(self._written, b".")

    def _carry(self) -> None:
        dealer = self._dealer
        assert dealer is not None
        # Signals are for the program's own threads: one that waits in sigwait must get them.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            ends = self._linger is not None
            while self._todo:
                message, now = self._todo.popleft()
                if dealer.is_open or not now:
                    dealer.send(message)
            if ends:
                break
            dealer.pump()
            zmtp.wait(dealer, None, self._wake)
            if zmtp.inode(self._wake) != self._inodes[0]:
                self._open()
                continue
            with contextlib.suppress(OSError):  # closed at this very moment: the next turn finds out
                os.read(self._wake, 4096)
        _drain(dealer, self._linger or 0.0)
        dealer.close()


def _drain(dealer: Dealer, seconds: float) -> None:
    """Until all is sent, for so long at most."""
    until = time.monotonic() + seconds
    while dealer.has_unsent and (left := until - time.monotonic()) > 0:
        dealer.pump()
        if dealer.has_unsent:
            zmtp.wait(dealer, left)
