"""One close look at one process: what each of its threads does or waits for, as /proc tells.

For processes that are suspected to hang; a look costs some ten reads a thread. Reading these files can itself wait
(for memory that the process holds locked), so nobody does it on a loop that others depend on.
"""

from __future__ import annotations

import os

from supervisor_tree.system import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.system.means import Process

_THREADS = 64
"""Threads that are looked at; the others are only counted."""

# What a thread that is in a system call does there. Numbers as in <asm/unistd.h> of the two kinds of machine.
_DOES = {
    "lock": ({202, 449, 455}, {98, 449, 455}),
    "read": ({0, 17, 19}, {63, 67, 65}),
    "write": ({1, 18, 20}, {64, 68, 66}),
    "receive": ({45, 47}, {207, 212}),
    "send": ({44, 46}, {206, 211}),
    "connect": ({42}, {203}),
    "accept": ({43, 288}, {202, 242}),
    "events": ({7, 23, 232, 270, 271, 281, 426, 441}, {22, 72, 73, 426, 441}),
    "sleep": ({35, 230}, {101, 115}),
    "child": ({61, 247}, {260, 95}),
    "signal": ({34, 128, 130}, {133, 137}),
    "file lock": ({73}, {32}),
    "file": ({2, 257, 74, 75, 437}, {56, 82, 83, 437}),
}
_FCNTL = {"x86_64": 72, "aarch64": 25}
_WAITING_LOCKS = {7, 38}
"""F_SETLKW, F_OFD_SETLKW."""
_OF_A_DESCRIPTOR = {"read", "write", "receive", "send", "connect", "accept", "file lock"}
_PLACES = (
    # By the kernel's function that it waits in, where the call itself may not be seen. A signal would end all of these
    # waits, so one that shows as D in there is frozen (which since Linux 6.1 shows as D).
    ("futex", "lock"),
    ("hrtimer_nanosleep", "sleep"),
    ("do_epoll_wait", "events"),
    ("ep_poll", "events"),
    ("do_poll", "events"),
    ("poll_schedule_timeout", "events"),
    ("do_select", "events"),
    ("do_wait", "child"),
    ("kernel_waitid", "child"),
    ("pipe_read", "read"),
    ("anon_pipe_read", "read"),
    ("pipe_write", "write"),
    ("anon_pipe_write", "write"),
    ("do_freezer_trap", "frozen"),
    ("get_signal", "frozen"),  # the same, inlined; of a stopped process the state tells first
    ("__refrigerator", "frozen"),
    ("locks_lock_inode_wait", "file lock"),
    ("flock_lock_inode_wait", "file lock"),
)


class ThreadLook:
    """One thread. ``state``: one letter as in ``ps``; ``cpu``: seconds that it has used so far; ``queued``: seconds for
    which it was ready to run, and others had the processors; ``waits``: how often it has begun to wait for something,
    None: can't be told."""

    __slots__ = ("cpu", "does", "fd", "name", "queued", "state", "target", "tid", "waits", "where")

    def __init__(self, tid: int, name: str, state: str, cpu: float) -> None:
        self.tid = tid
        self.name = name
        self.state = state
        self.cpu = cpu
        self.queued = 0.0
        self.waits: int | None = None
        self.does = ""
        """lock, read, write, receive, send, connect, accept, events, sleep, child, signal, file lock, file, frozen;
        empty: runs, or not known."""
        self.fd: int | None = None
        self.target = ""
        """What that descriptor is: a path, ``pipe:[1]``, ``socket:[1]``."""
        self.where = ""
        """The kernel's function that it waits in."""


class Look:
    """One process, once."""

    __slots__ = (
        "caught",
        "command",
        "cpu",
        "major_faults",
        "process",
        "resident",
        "swapped",
        "threads",
        "tracer",
        "uncounted",
    )

    def __init__(self, process: Process) -> None:
        self.process = process
        self.command = ""
        self.cpu = 0.0
        """Seconds that it has used so far, threads that ended included."""
        self.threads: list[ThreadLook] = []
        self.uncounted = 0
        """Threads that were not looked at: there are too many."""
        self.resident = 0
        self.swapped = 0
        """Bytes of it that are in the swap."""
        self.major_faults = 0
        """How often it had to wait for memory to come from a disk."""
        self.tracer = 0
        """pid of the debugger that holds it."""
        self.caught: int | None = None
        """The signals that it has handlers for, as a mask; None: can't be told."""

    def catches(self, number: int) -> bool | None:
        return None if self.caught is None else bool(self.caught >> (number - 1) & 1)


def look(pid: int) -> Look | None:
    """None: it is gone."""
    seen = procfs.process(pid)
    if seen is None:
        return None
    found = Look(seen)
    found.command = procfs.command(pid)
    status = _fields(procfs.read(f"/proc/{pid}/status") or b"")
    found.resident = _kilobytes(status.get(b"VmRSS"))
    found.swapped = _kilobytes(status.get(b"VmSwap"))
    found.tracer = int(status.get(b"TracerPid", b"0"))
    if b"SigCgt" in status:
        found.caught = int(status[b"SigCgt"], 16)
    stat = procfs.read(f"/proc/{pid}/stat")
    if stat is not None:
        fields = stat[stat.rindex(b")") + 2 :].split(None, 14)
        found.major_faults = int(fields[9])
        found.cpu = (int(fields[11]) + int(fields[12])) / procfs.TICKS
    try:
        tids = sorted(int(tid) for tid in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return None
    found.uncounted = max(0, len(tids) - _THREADS)
    for tid in tids[:_THREADS]:
        thread = _thread(pid, tid)
        if thread is not None:
            found.threads.append(thread)
    return found


def _thread(pid: int, tid: int) -> ThreadLook | None:
    folder = f"/proc/{pid}/task/{tid}"
    stat = procfs.read(f"{folder}/stat")
    if stat is None:
        return None
    end = stat.rindex(b")")
    fields = stat[end + 2 :].split(None, 14)
    name = stat[stat.index(b"(") + 1 : end].decode(errors="replace")
    thread = ThreadLook(tid, name, fields[0].decode(), (int(fields[11]) + int(fields[12])) / procfs.TICKS)
    times = (procfs.read(f"{folder}/schedstat") or b"").split()  # a kernel may be built without
    if len(times) > 1:
        thread.queued = int(times[1]) / 1e9
    waits = _fields(procfs.read(f"{folder}/status") or b"").get(b"voluntary_ctxt_switches")
    thread.waits = None if waits is None else int(waits)
    where = (procfs.read(f"{folder}/wchan") or b"").decode(errors="replace").strip()
    thread.where = "" if where == "0" else where
    call = (procfs.read(f"{folder}/syscall") or b"").split()
    if len(call) > 2 and call[0] != b"-1":
        arguments = [int(each, 16) for each in call[1:-2]]
        thread.does = _does(int(call[0]), arguments)
        if thread.does in _OF_A_DESCRIPTOR:
            thread.fd = arguments[0]
            try:
                thread.target = os.readlink(f"{folder}/fd/{thread.fd}")
            except OSError:
                thread.target = ""
    by_place = next((does for place, does in _PLACES if thread.where.startswith(place)), "")
    if by_place == "frozen" or (by_place and thread.state == "D"):
        thread.does = "frozen"
    elif not thread.does:
        thread.does = by_place
    return thread


def _does(call: int, arguments: list[int]) -> str:
    machine = os.uname().machine
    if machine not in _FCNTL:
        return ""
    if call == _FCNTL[machine]:
        return "file lock" if arguments[1] in _WAITING_LOCKS else ""
    column = list(_FCNTL).index(machine)
    return next((does for does, numbers in _DOES.items() if call in numbers[column]), "")


def _fields(text: bytes) -> dict[bytes, bytes]:
    return {key: value.strip() for key, _, value in (line.partition(b":") for line in text.splitlines())}


def _kilobytes(value: bytes | None) -> int:
    return int(value.split()[0]) * 1024 if value else 0
