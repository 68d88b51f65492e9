"""The foreign command: started in a process group of its own, told every signal once, its end reported as it was."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Sequence
from typing import NoReturn

from supervisor_tree.workers.shim.output import Copy

_TO_ALL = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
"""What ends a program goes to all that it has started, as the keeper sends a stop signal to a whole group."""

_LEFT_ALONE = frozenset(
    {
        *(signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE),
        *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),  # about a terminal: the command has none
        *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS, signal.SIGABRT),
        *(signal.SIGPROF, signal.SIGVTALRM),
    }
)
"""What is about this process itself, or can't be caught."""

_OUTPUT_REST = 0.2
"""Seconds after the command's end for what still comes from those it has left, as for any worker (processes.md 16)."""


class Command:
    """A command that runs. It lives in this process' session, so that what ends the worker finds it, and in a group of
    its own: a signal to the worker's group would else reach it twice, once directly and once passed on."""

    def __init__(self, loop: AbstractEventLoop, argv: Sequence[str], show: Callable[[list[str]], None] | None) -> None:
        """Start it. ``show`` is given the lines of its output; None: it writes where this process does.

        Raises:
            OSError: it can't be started.
        """
        self._copies: list[Copy] = []
        out = err = None
        if show is not None:
            out = self._copy(loop, 1, show)
            # One pipe where both go to one place, so that the order of what is written stays.
            err = out if os.path.sameopenfile(1, 2) else self._copy(loop, 2, show)
        try:
            self._process = subprocess.Popen(argv, stdout=out, stderr=err, process_group=0)
        except OSError:
            for copy in self._copies:
                copy.abandon()
            raise
        for copy in self._copies:
            copy.begin()
        self.pid = self._process.pid
        self._ended: Future[int] = loop.create_future()
        # A signal's handler runs in the loop, after whatever is under way.
        loop.add_signal_handler(signal.SIGCHLD, self._look)
        self._look()

    def _copy(self, loop: AbstractEventLoop, target: int, show: Callable[[list[str]], None]) -> int:
        self._copies.append(Copy(loop, target, show))
        return self._copies[-1].written_to

    def _look(self) -> None:
        status = self._process.poll()
        if status is not None and not self._ended.done():
            self._ended.set_result(status)

    def pass_on(self, number: int) -> None:
        """Give it a signal that came to this process. One that ends programs also wakes it up if it is stopped."""
        if self._ended.done():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if number in _TO_ALL:
                os.killpg(self.pid, number)
                os.killpg(self.pid, signal.SIGCONT)
            else:
                os.kill(self.pid, number)

    async def wait(self) -> int:
        """Its end, once its output has been copied: its exit status, or minus the number of the signal."""
        import asyncio

        status = await asyncio.shield(self._ended)
        for copy in self._copies:
            await copy.rest(_OUTPUT_REST)
        return status


def passed_on() -> list[int]:
    """The signals that a shim passes on."""
    return [number for number in signal.valid_signals() if number not in _LEFT_ALONE]


def end_as(status: int) -> NoReturn:
    """End this process as the command ended: with its exit status, or by the same signal, without a core of our own."""
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if -status not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-status, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-status})
        os.kill(os.getpid(), -status)
    os._exit(status if status >= 0 else 128 - status)
