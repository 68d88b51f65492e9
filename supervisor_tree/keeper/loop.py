"""The keeper's event loop: descriptors, signals, timers. One thread, no beat of its own."""

from __future__ import annotations

import heapq
import os
import select
import signal
import time

from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

READ = select.POLLIN
WRITE = select.POLLOUT


_MISTAKES_MOST = 100
_MANY = 64


class Timer:
    """A call at a time on `time.monotonic`; `cancel` may be called at any time, also after it."""

    __slots__ = ("call", "when")

    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self.when = when
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when


class Loop:
    """Runs callbacks until `stop`.

    ``on_signals`` is called with the numbers of the signals that arrived, at least once for each burst of
    a number; ``on_late`` with the seconds for which the loop heard nothing though it should have: it woke too late, or
    was stopped in the midst of a turn; ``on_turn`` at the end of each turn, for what is sent in batches.
    """

    def __init__(self) -> None:
        # poll where there is no epoll or the Linux means are off: the keeper watches a handful of descriptors only.
        self._poller = select.epoll() if means.name == "linux" else _Poll()
        self._calls: dict[int, Callable[[int], object]] = {}
        self._timers: list[Timer] = []
        self._status: int | None = None
        self.late_by = 1.0
        self.on_signals: Callable[[list[int]], object] = lambda numbers: None
        self.on_late: Callable[[float], object] = lambda seconds: None
        self.on_turn: Callable[[], object] = lambda: None
        self._awake = time.monotonic()
        """When it last looked what had come."""
        self._pending: list[int] = []
        self._many = _MANY
        """Timers from which on the cancelled ones are looked for."""
        self._mistakes = 0
        self._wake_read, self._wake_write = _pipe()
        self._poller.register(self._wake_read, READ)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def catch(self, *numbers: int) -> None:
        """Deliver these signals to ``on_signals``."""
        for number in numbers:
            signal.signal(number, self._note)

    def watch(self, fd: int, call: Callable[[int], object], events: int = READ) -> None:
        """Call ``call(ready)`` whenever the descriptor is ready."""
        if fd in self._calls:
            self._poller.modify(fd, events)
        else:
            self._poller.register(fd, events)
        self._calls[fd] = call

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor; call it before closing. Unknown ones are ignored."""
        if self._calls.pop(fd, None) is not None:
            self._poller.unregister(fd)

    def later(self, seconds: float, call: Callable[[], object]) -> Timer:
        return self.at(time.monotonic() + seconds, call)

    def at(self, when: float, call: Callable[[], object]) -> Timer:
        timers = self._timers
        if len(timers) >= self._many:
            # Those that were cancelled would stay until they are due: ten minutes, and one for each restart.
            timers[:] = [timer for timer in timers if timer.call is not None]
            heapq.heapify(timers)
            self._many = 2 * len(timers) + _MANY
        timer = Timer(when, call)
        heapq.heappush(timers, timer)
        return timer

    def stop(self, status: int) -> None:
        """End `run` after this turn."""
        self._status = status

    def run(self) -> int:
        """Turn until `stop`; returns its status."""
        while self._status is None:
            self.turn()
        return self._status

    def close(self) -> None:
        """Give back its descriptors; it can't run again."""
        signal.set_wakeup_fd(-1)
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._poller.close()

    def turn(self) -> None:
        """Wait for one burst of events and handle it."""
        busy = time.monotonic() - self._awake
        if busy > self.late_by:
            self.on_late(busy)
        timeout = -1.0
        timers = self._timers
        while timers and timers[0].call is None:
            heapq.heappop(timers)
        due = float("inf")
        if timers:
            due = timers[0].when
            timeout = max(0.0, due - time.monotonic())
        ready = self._poller.poll(timeout)
        now = self._awake = time.monotonic()
        if now - due > self.late_by:
            self.on_late(now - due)
        # What has come is heard before what is due: nobody is late whose answer is here.
        for fd, events in ready:
            if fd == self._wake_read:
                self._guard(self._signals)
                continue
            # An earlier callback of this turn may have unwatched it.
            watcher = self._calls.get(fd)
            if watcher is not None:
                self._guard(watcher, events)
        while timers and timers[0].when <= now:
            call = heapq.heappop(timers).call
            if call is not None:
                self._guard(call)
        self._guard(self.on_turn)

    def _guard(self, call: Callable[..., object], *arguments: object) -> None:
        """A mistake of ours in one callback must not end the tree: it is said, and the next callback is called.

        Raises:
            Exception: the same again and again: better dead, so that a new start is possible.
        """
        try:
            call(*arguments)
        except Exception:
            self._mistakes += 1
            if self._mistakes > _MISTAKES_MOST:
                raise
            import traceback

            say("a mistake in the keeper, please report it:\n" + traceback.format_exc())

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._pending.append(number)

    def _signals(self) -> None:
        raw = b""
        try:
            raw = os.read(self._wake_read, 65536)
        except BlockingIOError:
            return
        numbers = self._pending
        self._pending = []
        if signal.SIGCHLD in raw:
            numbers.append(signal.SIGCHLD)
        if numbers:
            self.on_signals(numbers)


def say(text: str) -> None:
    """One message on standard error; when nobody can hear it: nothing."""
    try:
        os.write(2, f"supervisor-tree: {text}\n".encode(errors="replace"))
    except OSError:
        return


class _Poll:
    """`select.poll` with epoll's seconds."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self.modify = self._poll.modify
        self.unregister = self._poll.unregister

    def close(self) -> None:
        """Nothing is held."""

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        return self._poll.poll(None if timeout < 0 else timeout * 1000 + 0.5)


def _pipe() -> tuple[int, int]:
    """Close-on-exec and non-blocking at both ends."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write
