"""Did the kernel kill this process for want of memory? A SIGKILL does not say who sent it.

What tells, from the surest to the least sure: the kernel's log, which names the process (/dev/kmsg: needs rights, and
the numbers of processes are ours only outside of containers); the counter of our own cgroup, which others do not
touch (v2, with the memory controller); a counter of the whole machine, by which a worker that somebody killed
within 4 s of another program's end for want of memory is taken for one.
"""

from __future__ import annotations

import os

from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.system.cgroup import Cgroup

_FIRST_NAMESPACE = "pid:[4026531836]"
"""Of pids: the kernel's log counts in this one. The number is fixed in the kernel (PROC_PID_INIT_INO)."""


class OomKills:
    """Asked about children that were killed by SIGKILL and not by us."""

    def __init__(self, machine: Counter, own: Counter, log: int | None) -> None:
        """``log``: a descriptor of the kernel's log, to be read from where it stands; None: it can't be."""
        self._machine = machine
        self._own = own
        self._log = log
        self._named: dict[int, str] = {}
        """What the log says of processes that it names, by pid."""
        self._unnamed = 0
        """Kills that were counted and whose victims are not known."""
        self._asked = False

    @classmethod
    def of_this_system(cls, own: Cgroup | None) -> OomKills:
        """``own``: the cgroup that all of the tree is in, however deep."""
        log = _open("/dev/kmsg") if means.pid_namespace() == _FIRST_NAMESPACE else None
        if log is not None:
            os.lseek(log, 0, os.SEEK_END)
        return cls(Counter("/proc/vmstat"), Counter("" if own is None else f"{own.path}/memory.events"), log)

    def next_burst(self) -> None:
        """More exits are handled from here on: the next question is one to the kernel."""
        self._asked = False

    def forget(self) -> None:
        """What was killed before now was none of the next exits."""
        self._look()
        self._named.clear()
        self._unnamed = 0

    def killed(self, pid: int) -> str | bool | None:
        """Whether it was; in the kernel's words, where it says. None: the system does not tell."""
        if not self._asked:
            self._asked = True
            self._look()
        if pid in self._named:
            return self._named.pop(pid)
        if self._unnamed:
            self._unnamed -= 1
            return True
        return False if self._machine.known or self._own.known else None

    def _look(self) -> None:
        risen, own = self._machine.risen(), self._own.risen()
        if self._log is not None and (risen or own):
            named = _victims(self._log)
            self._named.update(named)
            # The kernel writes the line after it has killed: one that is not there yet may be about us.
            self._unnamed += max(0, max(risen, own) - len(named))
        else:
            self._unnamed += own if self._own.known else risen


class Counter:
    """``oom_kill`` of a file of lines "name number"."""

    def __init__(self, path: str) -> None:
        self._fd = _open(path)
        self._before = self._read()

    @property
    def known(self) -> bool:
        return self._before is not None

    def risen(self) -> int:
        """By how much since the last call."""
        before, self._before = self._before, self._read()
        return 0 if before is None or self._before is None else self._before - before

    def _read(self) -> int | None:
        if self._fd is None:
            return None
        try:
            text = b"\n" + os.pread(self._fd, 65536, 0)
        except OSError:  # the cgroup is gone
            return None
        at = text.find(b"\noom_kill ")
        return None if at < 0 else int(text[at + 10 :].split(b"\n", 1)[0])


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def _victims(log: int) -> dict[int, str]:
    """The processes that the kernel's log names since it was read last, with what it says of each.

    "…,…,…,-;Memory cgroup out of memory: Killed process 812 (python3) total-vm:…kB, anon-rss:51200kB, …".
    """
    found: dict[int, str] = {}
    while True:
        try:
            record = os.read(log, 8192)
        except BrokenPipeError:
            continue  # older ones were overwritten before we came; the next read goes on with what there is
        except OSError:
            return found
        if not record:
            return found
        text = record.partition(b";")[2].partition(b"\n")[0]
        if b"ut of memory" not in text or b": Killed process " not in text:
            continue
        number, _, rest = text.partition(b": Killed process ")[2].partition(b" ")
        if number.isdigit():
            found[int(number)] = _words(text, rest)


def _words(text: bytes, rest: bytes) -> str:
    name = rest.partition(b"(")[2].partition(b") total-vm")[0].decode(errors="replace")
    resident = rest.partition(b"anon-rss:")[2].partition(b"kB")[0]
    whose = "its memory cgroup was full" if text.startswith(b"Memory cgroup") else "the machine's memory was full"
    size = f" with {int(resident) / 1000 * 1.024:.0f} MB" if resident.isdigit() else ""
    return f"{whose}, the kernel chose {name}{size}"
