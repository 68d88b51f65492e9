"""Who was killed for want of memory, from what the kernel counts and logs."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor_tree.keeper.oom import Counter, OomKills
from supervisor_tree.system import means

KILLED = (
    b"6,812,5098724,-;%s: Killed process %d (%s) total-vm:48668kB, anon-rss:38784kB, file-rss:5780kB, "
    b"shmem-rss:0kB, UID:0 pgtables:136kB oom_score_adj:0\n SUBSYSTEM=x\n"
)


class Kernel:
    """Counters in files, and a log that gives one record a read, as /dev/kmsg does."""

    def __init__(self, folder: Path, *, log: bool, own: bool) -> None:
        self._machine, self._own = folder / "vmstat", folder / "own" / "memory.events"
        self._own.parent.mkdir()
        self._counts = {self._machine: 0, self._own: 0} if own else {self._machine: 0}
        self._write()
        self._log, self.reader = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.reader.setblocking(False)
        counters = Counter(str(self._machine)), Counter(str(self._own))
        self.kills = OomKills(*counters, self.reader.fileno() if log else None)

    def close(self) -> None:
        self._log.close()
        self.reader.close()

    def _write(self) -> None:
        for file, count in self._counts.items():
            file.write_text(f"nr_free_pages 7\noom_kill {count}\noom_group_kill 99\n")

    def kill(self, pid: int, *, ours: bool = True, said: bool = True, name: bytes = b"python3") -> None:
        self._counts[self._machine] += 1
        if ours and self._own in self._counts:
            self._counts[self._own] += 1
        self._write()
        if said:
            self._log.send(b"4,811,5098723,-;oom-kill:constraint=CONSTRAINT_MEMCG,task=python3,pid=%d\n" % pid)
            self._log.send(KILLED % (b"Out of memory" if ours else b"Memory cgroup out of memory", pid, name))


MakeKernel = Callable[..., Kernel]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeKernel]:
    with contextlib.ExitStack() as made:
        yield lambda **what: made.enter_context(contextlib.closing(Kernel(tmp_path, **what)))


@pytest.fixture
def with_log(make: MakeKernel) -> Kernel:
    return make(log=True, own=False)


def test_the_log_names_the_victim_and_nobody_else_is_one(with_log: Kernel) -> None:
    assert with_log.kills.killed(5) is False
    with_log.kill(7, name=b"my (odd) name")
    with_log.kill(8, ours=False)
    with_log.kills.next_burst()
    assert with_log.kills.killed(5) is False
    assert with_log.kills.killed(7) == "the machine's memory was full, the kernel chose my (odd) name with 40 MB"
    assert with_log.kills.killed(7) is False
    with_log.kills.next_burst()
    assert with_log.kills.killed(8) == "its memory cgroup was full, the kernel chose python3 with 40 MB"


def test_a_kill_that_is_counted_and_not_logged_yet_is_believed_once(with_log: Kernel) -> None:
    with_log.kill(7, said=False)
    assert with_log.kills.killed(9) is True
    assert with_log.kills.killed(10) is False


def test_what_was_killed_long_ago_is_none_of_ours(with_log: Kernel) -> None:
    with_log.kill(7)
    with_log.kill(8, said=False)
    with_log.kills.forget()
    with_log.kills.next_burst()
    assert with_log.kills.killed(7) is False
    assert with_log.kills.killed(8) is False


def test_without_the_log_the_counter_of_our_own_cgroup_decides(make: MakeKernel) -> None:
    kernel = make(log=False, own=True)
    kernel.kill(7, ours=False)
    assert kernel.kills.killed(7) is False
    kernel.kill(8)
    kernel.kills.next_burst()
    assert kernel.kills.killed(8) is True


def test_without_both_the_machines_counter_decides_for_as_many_as_it_counted(make: MakeKernel) -> None:
    kernel = make(log=False, own=False)
    kernel.kill(7)
    kernel.kill(8)
    assert [kernel.kills.killed(pid) for pid in (8, 7, 6)] == [True, True, False]


def test_a_system_that_counts_nothing_does_not_know(tmp_path: Path) -> None:
    none = str(tmp_path / "none")
    assert OomKills(Counter(none), Counter(none), None).killed(7) is None


def test_this_system() -> None:
    assert OomKills.of_this_system(means.own_cgroup()).killed(os.getpid()) in (False, None)
