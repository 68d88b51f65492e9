"""The interface: what the tree asks of the system, and what it gets where the system can't.

Everything that has no answer returns ``None``, ``False`` or an empty list; the caller then takes the
slower road. Nothing here keeps state about the tree.
"""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # not `typing.TYPE_CHECKING`: importing typing costs the keeper 4 ms and half a megabyte
    from collections.abc import Collection, Iterable

    from supervisor_tree.system.cgroup import Cgroup
    from supervisor_tree.system.look import Look
    from supervisor_tree.system.wall_timer import WallTimer
    from supervisor_tree.system.watch import FileWatcher


class SystemMeansError(Exception):
    """The system refused something that it should be able to do; the message says what and the mend."""


class Process:
    """One process as seen in one look: ``start`` is its start time in raw units of the system.

    ``state`` is one letter as in ``ps`` (``R S D T Z X``; ``?`` where unknown).
    """

    __slots__ = ("name", "pgrp", "pid", "ppid", "session", "start", "state")

    def __init__(self, pid: int, name: str, ppid: int, pgrp: int, session: int, start: int, state: str) -> None:
        self.pid = pid
        self.name = name
        """The short name (15 bytes): of the program, or what the process calls itself."""
        self.ppid = ppid
        self.pgrp = pgrp
        self.session = session
        self.start = start
        self.state = state

    @property
    def dead(self) -> bool:
        """True for a zombie: it runs nothing and holds nothing but its number."""
        return self.state in "ZX"


class Cost:
    """What one process has cost by now, as seen in one look: times in seconds of CPU, memory in bytes resident.

    ``spent`` is its own, ``reaped`` that of the children that it has waited for, and of theirs.
    """

    __slots__ = ("memory", "pid", "ppid", "reaped", "session", "spent", "start")

    def __init__(self, pid: int, ppid: int, session: int, start: int, spent: float, reaped: float, memory: int) -> None:
        self.pid = pid
        self.ppid = ppid
        self.session = session
        self.start = start
        """As of `Process`."""
        self.spent = spent
        self.reaped = reaped
        self.memory = memory


def one_line(command: bytes) -> str:
    """The words of a command, parted by NUL, for a human: none of them ends the line, or steers the terminal."""
    text = command.replace(b"\0", b" ").decode(errors="replace")
    return "".join(char if char.isprintable() else " " for char in text).strip()


class Means:
    """The portable answers that need nothing; `LinuxMeans` and `PortableMeans` give the rest."""

    name = "none"
    sees_the_dead_before_reaping = False
    """waitid with WNOWAIT works: a dead child can be asked about, and its group signalled, before its pid is free."""
    orphans_come_to_us = False
    """True: a process whose parent dies becomes a child of the keeper, and its end raises SIGCHLD there."""

    # --- this process

    def become_subreaper(self) -> bool:
        """Let orphaned descendants become children of this process. False: the system can't."""
        return False

    def call_self(self, name: str) -> None:
        """Take a short name (15 bytes), which a fork has too until it executes a program."""

    def boot_id(self) -> str:
        """Which boot of the machine this is; pids and start times of another boot mean nothing."""
        return ""

    def pid_namespace(self) -> str:
        """Which numbering of pids this process lives in."""
        return ""

    def own_children(self) -> list[int] | None:
        """pids of all children of this process, adopted ones and zombies too; None: the system can't say."""
        return None

    def number_of_children(self) -> int | None:
        """How many `own_children` there are: asked after each exit, and cheaper."""
        children = self.own_children()
        return None if children is None else len(children)

    def child_is_stopped(self, pid: int) -> bool:
        """Whether a child of this process, not reaped, is stopped at present (SIGSTOP, ^Z)."""
        seen = self.process(pid)
        return seen is not None and seen.state == "T"

    def memory_file(self, name: str, size: int) -> int:
        """A descriptor of ``size`` zero bytes in memory, close-on-exec, that outlives no machine."""
        import tempfile

        fd, path = tempfile.mkstemp(prefix=name)
        os.unlink(path)
        os.ftruncate(fd, size)
        return fd

    # --- other processes

    def process(self, pid: int) -> Process | None:
        """A look at one process (zombies too); None: there is none, or it may not be seen."""
        raise NotImplementedError

    def usage(self, pid: int) -> tuple[float, int, float] | None:
        """What a process has cost: seconds of CPU, bytes resident now, seconds since its start. None: ask psutil."""
        return None

    def look(self, pid: int) -> Look | None:
        """What each thread of a process does. None: gone, or the system can't say (then ask psutil)."""
        return None

    def costs(self, pids: Iterable[int] | None = None) -> list[Cost] | None:
        """What these processes have cost, zombies too. None for ``pids``: all that can be seen, a full walk. Returns
        None: ask psutil."""
        return None

    def process_identity(self, pid: int) -> int | None:
        """Start time in raw units, which with the pid, boot and namespace names a process for good."""
        seen = self.process(pid)
        return None if seen is None else seen.start

    def processes(self) -> list[Process]:
        """Every process that can be seen. A full walk: 26 ms at 1,000 processes."""
        raise NotImplementedError

    def environment(self, pid: int) -> bytes | None:
        """The environment at exec, ``KEY=VALUE`` separated by NUL; None: gone, or not ours to read."""
        raise NotImplementedError

    def command(self, pid: int) -> str:
        """The command line for a human; empty when unknown."""
        raise NotImplementedError

    def descendants(self, pid: int) -> list[Process]:
        """Children of a process, their children and so on; without those whose parents are gone already."""
        children: dict[int, list[Process]] = {}
        for each in self.processes():
            children.setdefault(each.ppid, []).append(each)
        found = children.get(pid, [])
        for each in found:
            found += children.get(each.pid, ())
        return found

    def processes_of(self, tree_id: str) -> list[Process]:
        """Every living process whose environment at exec names this tree (`SUPERVISOR_TREE_ID`)."""
        wanted = b"SUPERVISOR_TREE_ID=" + tree_id.encode()
        found = []
        for each in self.processes():
            if each.dead:
                continue
            text = self.environment(each.pid)
            if text is not None and wanted in text and wanted in text.split(b"\0"):
                found.append(each)
        return found

    def watch_process(self, pid: int) -> int | None:
        """A descriptor that becomes readable when that process is dead; None: the system can't, or it is gone."""
        return None

    def signal_process(self, pid: int, start: int | None, number: int) -> bool:
        """Signal exactly the process that started at ``start`` (None: whoever has the pid now).

        Returns False when it is gone. Never signals a successor of the pid where the system can rule
        that out.

        Raises:
            PermissionError: it is not ours.
        """
        if start is not None and self.process_identity(pid) != start:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def holders(self, pipe: int) -> list[int]:
        """pids of the processes that can still write into a pipe; empty where that can't be told. A full walk."""
        return []

    # --- lock files

    def lock_holders(self, device: int, inode: int) -> list[int]:
        """pids of processes that have a file locked, as far as the system tells: trying to lock it is the proof."""
        return []

    def openers(self, device: int, inode: int, names: Collection[str]) -> list[int]:
        """pids of processes that have a file open, seen from here; ``names``: what its last part is, or was. A full
        walk."""
        return []

    def open_elsewhere(self, fd: int) -> bool:
        """Whether somebody else has this regular file open, too, as far as the system tells. False: it can't."""
        return False

    # --- time

    def time_with_sleep(self) -> float:
        """Seconds since some moment of this boot, those for which the machine slept included where the system counts
        them; no setting of the wall clock moves it."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    def wall_timer(self) -> WallTimer | None:
        """A timer that goes by the wall clock, and rings when that is set, too. None: the system has none; look at the
        clock every now and then."""
        return None

    # --- cgroups (v2)

    def own_cgroup(self) -> Cgroup | None:
        """The one that this process is in; None: there are none here."""
        return None

    def cgroup_line(self, pid: int) -> str | None:
        """What the system calls the one that a process is in (`Cgroup.line`)."""
        return None

    # --- bytes without user memory

    splices = False
    """`tee` and `os.splice` work here."""

    def tee(self, source: int, target: int, count: int) -> int | None:
        """Copy bytes from one pipe to another, leaving them in ``source``. None: the system can't."""
        return None

    # --- files

    def force(self, fd: int) -> None:
        """Return once what was written to a file is on the disk, behind the disk's own cache.

        Raises:
            OSError: it could not be written. To ask again says nothing: the system tells it once.
        """
        import fcntl

        full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS, where fsync does not ask the disk
        if full is not None:
            try:
                fcntl.fcntl(fd, full)
                return
            except OSError:  # not on this file system
                pass
        os.fsync(fd)

    def watch_files(self) -> FileWatcher:
        """A `FileWatcher`: events about paths on one descriptor."""
        raise NotImplementedError


def signal_number(name: str | int) -> int:
    """``"TERM"``, ``"SIGTERM"`` or 15 as a number.

    Raises:
        SystemMeansError: there is no such signal here.
    """
    if isinstance(name, int):
        return name
    text = name.upper()
    if text.isdigit():
        return int(text)
    if not text.startswith("SIG"):
        text = "SIG" + text
    number = getattr(signal, text, None)
    if not isinstance(number, signal.Signals):
        raise SystemMeansError(f"no signal is named {name}; `kill -l` lists them")
    return int(number)


def signal_group(number: int, what: int) -> None:
    """Send signal ``what`` to a process group of that number; one that is gone or not ours is ignored."""
    try:
        os.killpg(number, what)
    except (ProcessLookupError, PermissionError):
        return


def group_exists(number: int) -> bool:
    """True while a process group of that number has members (zombies count)."""
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
