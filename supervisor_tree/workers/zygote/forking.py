"""Forking with `multiprocess`, without what it does for a parent that waits for its children itself."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    import multiprocessing as multiprocess
    from collections.abc import Callable
    from multiprocessing import popen_fork, process, util
    from multiprocessing.context import ForkProcess
else:
    try:
        import multiprocess
        from multiprocess import popen_fork, process, util
        from multiprocess.context import ForkProcess
    except ImportError:  # an interpreter of the user's own: the standard library's does the same, but for closures
        import multiprocessing as multiprocess
        from multiprocessing import popen_fork, process, util
        from multiprocessing.context import ForkProcess


_main = process.current_process()


class _Popen(popen_fork.Popen):
    """A fork whose zombie stays until `Fork.reap`: the number is the worker's as long as the keeper needs it."""

    def _launch(self, process_obj: process.BaseProcess) -> None:
        before = _descriptors()
        try:
            super()._launch(process_obj)  # type: ignore[misc]
        except OSError:
            # Its pipes: multiprocess expects a program to end of that.
            for fd in _descriptors() - before:
                os.close(fd)
            raise
        # Two descriptors a worker, which tell of a death no sooner than SIGCHLD does.
        self.close()

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Each start asks this of all earlier processes, to reap those that have ended: none has, for it."""
        return self.returncode


class Fork(ForkProcess):
    """One forked process that calls ``body`` and exits with its result, an exception's traceback being printed."""

    def __init__(self, name: str, body: Callable[[], int]) -> None:
        super().__init__(name=name)
        self._body = body
        self._stdin = sys.stdin

    def start(self) -> None:
        """Fork.

        Raises:
            OSError: the system refuses.
        """
        # Both are on /dev/null: that the fork closes this one and opens another would be a fifth of its work.
        sys.stdin = None
        try:
            super().start()
        finally:
            sys.stdin = self._stdin

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> _Popen:  # noqa: N802 - multiprocess calls it so
        return _Popen(process_obj)

    def run(self) -> None:
        """In the child. For the program that runs here this is a main process: no parent, no method chosen."""
        sys.stdin = self._stdin
        process._current_process = _main  # type: ignore[attr-defined]
        _main.authkey = os.urandom(32)
        process._parent_process = None  # type: ignore[attr-defined]
        multiprocess.set_start_method(None, force=True)
        try:
            raise SystemExit(self._body())
        finally:
            # As at the end of an interpreter; multiprocess leaves it out, for its forks are parts of a program.
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()

    def reap(self, code: int) -> None:
        """Its end has been waited for: forget it."""
        popen = self._popen  # type: ignore[attr-defined]
        popen.returncode = code
        self.join()


def _descriptors() -> set[int]:
    """Those that are open: without the one by which they were listed."""
    found = set()
    for fd in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):
            os.fstat(fd)
            found.add(fd)
    return found


def flush() -> None:
    """Nothing that was printed here is printed again by a fork."""
    util._flush_std_streams()  # type: ignore[attr-defined]
