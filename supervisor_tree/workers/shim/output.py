"""A command's output: copied byte for byte to where it would have gone, and shown line by line on the way."""

from __future__ import annotations

import contextlib
import os
import select
import stat
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable

_PART = 1 << 16
_LONGEST_LINE = 1 << 16
"""Bytes. Of a longer line its beginning is shown, and it is copied whole like any other."""


class Copy:
    """Copies from a pipe to the descriptor ``target``, and shows complete lines (without their ends) to ``show``.

    What can't be written yet is waited for, and nothing more is read meanwhile: the command feels a full pipe as if
    it wrote there itself, and this process' loop never hangs in a write. A target that nobody reads any more closes
    the pipe, so that the command learns that, too.
    """

    def __init__(self, loop: AbstractEventLoop, target: int, show: Callable[[list[str]], None]) -> None:
        self._loop = loop
        self._target = target
        self._show = show
        self._source, self.written_to = os.pipe()
        """``written_to``: the end for the command; `begin` closes it here."""
        os.set_blocking(self._source, False)
        self._waits = stat.S_ISFIFO(mode := os.fstat(target).st_mode) or stat.S_ISSOCK(mode)
        self._unwritten = memoryview(b"")
        self._line = b""
        self.ended: Future[None] = loop.create_future()

    def begin(self) -> None:
        """The command has its end: copy from now on."""
        os.close(self.written_to)
        self._loop.add_reader(self._source, self._read)

    def abandon(self) -> None:
        """There is no command after all."""
        os.close(self.written_to)
        os.close(self._source)

    async def rest(self, seconds: float) -> None:
        """Copy what is left: to the end of the pipe, or for ``seconds`` where somebody keeps it open."""
        import asyncio

        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.ended), seconds)
        if not self.ended.done():
            self._end()

    def _read(self) -> None:
        try:
            part = os.read(self._source, _PART)
        except BlockingIOError:
            return
        if not part:
            if self._line:
                self._show([_text(self._line)])
            self._end()
            return
        self._split(part)
        self._unwritten = memoryview(part)
        if not self._write():
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._target, self._go_on)

    def _split(self, part: bytes) -> None:
        *lines, rest = part.split(b"\n")
        if lines:
            lines[0] = self._line + lines[0]
            self._line = b""
            self._show([_text(line) for line in lines])
        self._line = (self._line + rest)[:_LONGEST_LINE]

    def _go_on(self) -> None:
        if self._write() and not self.ended.done():
            self._loop.remove_writer(self._target)
            self._loop.add_reader(self._source, self._read)

    def _write(self) -> bool:
        """True: all of it is written. A pipe that poll calls writable takes PIPE_BUF bytes without blocking."""
        poll = select.poll()
        poll.register(self._target, select.POLLOUT)
        while self._unwritten:
            if self._waits and not poll.poll(0):
                return False
            part = self._unwritten[: select.PIPE_BUF] if self._waits else self._unwritten
            try:
                done = os.write(self._target, part)
            except BlockingIOError:
                return False
            except OSError:
                self._end()
                return True
            self._unwritten = self._unwritten[done:]
        return True

    def _end(self) -> None:
        if self.ended.done():
            return
        self._loop.remove_reader(self._source)
        if self._waits:
            self._loop.remove_writer(self._target)
        os.close(self._source)
        self.ended.set_result(None)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")
