"""The zygote's loop: import what was asked for, then fork on the keeper's word and tell of ends.

Frames of `ipc.link`, JSON heads only. From the keeper: ``fork`` (with three descriptors: standard output, standard
error, talk) and ``reap``. To the keeper: ``importing``, then ``ready`` or ``failed``; ``forked`` or ``fork_failed``;
``exited``, and ``reaped`` in answer to ``reap``. End of file means that the keeper is gone or has replaced this zygote:
it ends, and harms nobody. One thread, as what forks must be.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
import threading

from supervisor_tree.ipc.link import Link, LinkClosed, LinkError
from supervisor_tree.system import means
from supervisor_tree.workers.zygote.child import Child
from supervisor_tree.workers.zygote.forking import Fork, flush
from supervisor_tree.workers.zygote.naming import Names

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource
    from typing import Any

_HARNESS = ("supervisor_tree.workers.life.warm",)
"""What every worker needs. Its own module is imported after the fork, so that a restart takes new code."""
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Zygote:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._names = Names()
        self._forks: dict[int, Fork] = {}
        """Not reaped, by pid."""
        self._told: set[int] = set()
        """Those whose end the keeper has been told."""
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)

    def prepare(self, modules: list[str]) -> bool:
        """Import; False: one of them can't be, and the keeper has been told."""
        for name in (*_HARNESS, *modules):
            self._say({"t": "importing", "module": name})
            try:
                importlib.import_module(name)
            except BaseException as error:
                # SystemExit too: a module that calls sys.exit when it is imported is no reason to end in silence.
                import traceback

                traceback.print_exc()
                self._say({"t": "failed", "module": name, "error": _in_words(error)})
                return False
        gc.collect()
        # What is here stays: no collection in a fork walks over it and copies its pages by that.
        gc.freeze()
        gc.disable()
        signal.signal(signal.SIGCHLD, _wake)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        threads = [each.name for each in threading.enumerate() if each is not threading.main_thread()]
        self._say({"t": "ready", "python": sys.version.split()[0], "threads": threads})
        return True

    def run(self) -> None:
        """Until the link ends.

        Raises:
            LinkClosed, LinkError: it has.
        """
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        link = self._link.fileno()
        while True:
            poller.register(link, select.POLLIN | (select.POLLOUT if self._link.wants_write else 0))
            for fd, events in poller.poll():
                if fd == self._wake_read:
                    os.read(self._wake_read, 4096)
                    self._look()
                    continue
                if events & select.POLLOUT:
                    self._link.flush()
                if events & ~select.POLLOUT:
                    self._hear()

    def _hear(self) -> None:
        reaped: list[list[Any]] = []
        for head, _ in self._link.receive():
            if head["t"] == "fork":
                self._fork(head)
            elif head["t"] == "reap" and head["pid"] in self._told:
                reaped.append(self._reap(head["pid"]))
        if reaped:
            self._say({"t": "reaped", "ends": reaped})

    def _fork(self, order: dict[str, Any]) -> None:
        out, err, talk = (self._link.take_fd() for _ in range(3))
        fork = Fork(order["name"], Child(order, self._names, out, err, talk, self._forget_what_is_ours).live)
        told = {"name": order["name"], "inc": order["inc"]}
        try:
            fork.start()
        except OSError as error:
            self._say({"t": "fork_failed", **told, "errno": error.errno or 0, "reason": error.strerror})
        else:
            pid = fork.pid
            assert pid is not None
            self._forks[pid] = fork
            self._say({"t": "forked", **told, "pid": pid, "start": means.process_identity(pid) or 0})
        finally:
            for fd in (out, err, talk):
                os.close(fd)

    def _forget_what_is_ours(self) -> None:
        """In a fork: objects that would close their descriptors' numbers when they go, and signals."""
        self._link.sock.detach()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        gc.enable()

    # --- ends

    def _look(self) -> None:
        """Tell of every fork that is dead now, the first one at once."""
        try:
            if not means.sees_the_dead_before_reaping:
                self._look_by_reaping()
                return
            first = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if first is None:
                return
            self._tell(first)
            for pid in self._forks.keys() - self._told:
                seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if seen is not None:
                    self._tell(seen)
        except ChildProcessError:
            return

    def _tell(self, seen: os.waitid_result) -> None:
        pid = seen.si_pid
        if pid not in self._forks:
            os.waitpid(pid, 0)  # what a preloaded module has started
        elif pid not in self._told:
            self._told.add(pid)
            status = seen.si_status << 8
            if seen.si_code != os.CLD_EXITED:
                status = seen.si_status | (0x80 if seen.si_code == os.CLD_DUMPED else 0)
            self._say({"t": "exited", "pid": pid, "status": status})

    def _look_by_reaping(self) -> None:
        """Where a dead child can't be looked at without giving its number back."""
        while True:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if not pid:
                return
            fork = self._forks.pop(pid, None)
            if fork is not None:
                fork.reap(os.waitstatus_to_exitcode(status))
                self._say({"t": "exited", "pid": pid, "status": status})
                self._say({"t": "reaped", "ends": [[pid, *_cost(usage)]]})

    def _reap(self, pid: int) -> list[Any]:
        """pid, seconds of CPU, bytes."""
        _, status, usage = os.wait4(pid, 0)
        self._told.discard(pid)
        self._forks.pop(pid).reap(os.waitstatus_to_exitcode(status))
        return [pid, *_cost(usage)]

    def _say(self, head: dict[str, Any]) -> None:
        self._link.send(head)


def _cost(usage: resource.struct_rusage) -> tuple[float, int]:
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _MAXRSS_UNIT


def _in_words(error: BaseException) -> str:
    text = str(error).strip()
    return type(error).__name__ + (f": {text.splitlines()[0]}" if text else "")


def _wake(number: int, frame: object) -> None:
    """The wake-up descriptor has it."""


def main(link_fd: int, modules: list[str]) -> int:
    """Be a zygote until the keeper closes the link; returns the exit status where it never became one."""
    os.set_inheritable(link_fd, False)
    zygote = Zygote(Link(socket.socket(fileno=link_fd)))
    try:
        if not zygote.prepare(modules):
            return 1
        zygote.run()
    except (LinkClosed, LinkError):
        pass
    flush()
    # Handlers of atexit are the workers'; and multiprocess would wait for them.
    os._exit(0)
