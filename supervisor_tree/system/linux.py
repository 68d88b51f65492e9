"""The Linux means: subreaper, pidfd, splice, memfd, inotify, cgroups, /proc."""

from __future__ import annotations

import os
import signal
import time

from supervisor_tree.system import libc, procfs
from supervisor_tree.system.means import Cost, Means, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from supervisor_tree.system.cgroup import Cgroup
    from supervisor_tree.system.look import Look
    from supervisor_tree.system.wall_timer import WallTimer
    from supervisor_tree.system.watch import FileWatcher

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_SPLICE_F_NONBLOCK = 2
_PART = 65536
_SHORT = 2048
"""Bytes: the kernel fills a page before it says that there is more."""


class LinuxMeans(Means):
    name = "linux"
    splices = True
    sees_the_dead_before_reaping = True
    orphans_come_to_us = True

    def __init__(self) -> None:
        self._children = -1
        self._children_of = 0

    def become_subreaper(self) -> bool:
        try:
            libc.call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        except OSError:
            return False
        return True

    def call_self(self, name: str) -> None:
        libc.call("prctl", _PR_SET_NAME, name.encode()[:15] + b"\0", 0, 0, 0)

    def boot_id(self) -> str:
        return procfs.boot_id()

    def pid_namespace(self) -> str:
        return procfs.pid_namespace()

    def own_children(self) -> list[int] | None:
        # Of the main thread: it alone starts children, and orphans come to it.
        text = procfs.read(f"/proc/self/task/{os.getpid()}/children")
        return None if text is None else [int(each) for each in text.split()]

    def number_of_children(self) -> int | None:
        # By process: a fork must not ask about its parent's.
        whose = os.getpid()
        if whose != self._children_of:
            try:
                self._children = os.open(f"/proc/self/task/{whose}/children", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return None
            self._children_of = whose
        found = at = 0
        while data := os.pread(self._children, _PART, at):
            found += data.count(b" ")
            at += len(data)
            if len(data) < _SHORT:
                break
        return found

    def child_is_stopped(self, pid: int) -> bool:
        try:
            # Left in place (WNOWAIT), it is told until the child goes on.
            return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return False

    def memory_file(self, name: str, size: int) -> int:
        fd = os.memfd_create(name)
        os.ftruncate(fd, size)
        return fd

    def process(self, pid: int) -> Process | None:
        return procfs.process(pid)

    def usage(self, pid: int) -> tuple[float, int, float] | None:
        seen = procfs.usage(pid)
        return None if seen is None else (seen[0], seen[1], time.clock_gettime(time.CLOCK_BOOTTIME) - seen[2])

    def look(self, pid: int) -> Look | None:
        from supervisor_tree.system.look import look

        return look(pid)

    def costs(self, pids: Iterable[int] | None = None) -> list[Cost] | None:
        return procfs.costs(pids)

    def processes(self) -> list[Process]:
        return procfs.processes()

    def environment(self, pid: int) -> bytes | None:
        return procfs.environment(pid)

    def command(self, pid: int) -> str:
        return procfs.command(pid)

    def descendants(self, pid: int) -> list[Process]:
        found: list[Process] = []
        waiting = [pid]
        while waiting:
            for child in procfs.children(waiting.pop()):
                seen = procfs.process(child)
                if seen is not None:
                    found.append(seen)
                    waiting.append(child)
        return found

    def watch_process(self, pid: int) -> int | None:
        try:
            return os.pidfd_open(pid)
        except OSError:
            return None

    def signal_process(self, pid: int, start: int | None, number: int) -> bool:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        except OSError:
            # Out of descriptors, or a kernel before 5.3: the checked kill leaves a window of microseconds.
            return super().signal_process(pid, start, number)
        try:
            # The order matters: the descriptor pins the process, so the check below is about the one signalled.
            if start is not None and self.process_identity(pid) != start:
                return False
            signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True

    def holders(self, pipe: int) -> list[int]:
        return procfs.writers(os.readlink(f"/proc/self/fd/{pipe}"))

    def lock_holders(self, device: int, inode: int) -> list[int]:
        return procfs.lock_holders(device, inode)

    def openers(self, device: int, inode: int, names: Collection[str]) -> list[int]:
        return procfs.openers(device, inode, names)

    def open_elsewhere(self, fd: int) -> bool:
        import fcntl

        try:
            # A lease for writing is given only to the one who alone has the file open. Who opens it meanwhile waits
            # for the microseconds until it is given back, and we are told by a signal: by one that does no harm.
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return True
        except OSError:  # not our file, or a file system without leases
            return False
        return False

    def time_with_sleep(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_timer(self) -> WallTimer | None:
        from supervisor_tree.system.wall_timer import WallTimer

        try:
            return WallTimer()
        except OSError:  # a kernel that is none, as in some sandboxes
            return None

    def own_cgroup(self) -> Cgroup | None:
        from supervisor_tree.system import cgroup

        return cgroup.own()

    def cgroup_line(self, pid: int) -> str | None:
        from supervisor_tree.system import cgroup

        return cgroup.line_of(pid)

    def tee(self, source: int, target: int, count: int) -> int | None:
        return libc.call("tee", source, target, count, _SPLICE_F_NONBLOCK)

    def force(self, fd: int) -> None:
        os.fdatasync(fd)  # all that is needed to read it again, its length too

    def watch_files(self) -> FileWatcher:
        from supervisor_tree.system.watch import InotifyWatcher

        return InotifyWatcher()
