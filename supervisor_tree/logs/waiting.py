"""Waiting for pipes: epoll, edge-triggered, so that what stays in a pipe on purpose wakes nobody; or what there is."""

from __future__ import annotations

import contextlib
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.logs.streams import Stream


class Wake:
    """A pipe to oneself: the writer thread and the main thread wake each other with it."""

    def __init__(self) -> None:
        self.fd, self._in = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._in, False)

    def set(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._in, b"\0")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self.fd, 4096)) == 4096:
                pass


class EdgeWaiter:
    """epoll."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wake = Wake()
        self._streams: dict[int, Stream] = {}
        self._epoll.register(self._wake.fd, select.EPOLLIN)
        self.wake = self._wake.set

    def add(self, stream: Stream) -> None:
        self._streams[stream.fd] = stream
        self._epoll.register(stream.fd, select.EPOLLIN | select.EPOLLET)

    def remove(self, stream: Stream) -> None:
        if self._streams.pop(stream.fd, None) is not None:
            self._epoll.unregister(stream.fd)

    def wait(self, timeout: float | None) -> list[Stream]:
        """Streams that something has happened to; empty after ``timeout`` seconds or `wake`."""
        ready = []
        for fd, what in self._epoll.poll(timeout):
            stream = self._streams.get(fd)
            if stream is None:
                self._wake.clear()
                continue
            if what & select.EPOLLHUP:
                stream.ended = True
            ready.append(stream)
        return ready


class LevelWaiter:
    """What `selectors` finds on this system."""

    def __init__(self) -> None:
        import selectors

        self._selector = selectors.DefaultSelector()
        self._wake = Wake()
        self._selector.register(self._wake.fd, selectors.EVENT_READ)
        self._read = selectors.EVENT_READ
        self.wake = self._wake.set

    def add(self, stream: Stream) -> None:
        self._selector.register(stream.fd, self._read, stream)

    def remove(self, stream: Stream) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(stream.fd)

    def wait(self, timeout: float | None) -> list[Stream]:
        ready = []
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                self._wake.clear()
            else:
                ready.append(key.data)
        return ready


Waiter = EdgeWaiter | LevelWaiter
