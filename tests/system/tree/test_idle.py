"""A tree in which nothing happens does nothing, but for the keeper's ping of its root every 4 s."""

from __future__ import annotations

import threading

import psutil
import pytest

from tests.conftest import MakeTree


def woken(pid: int) -> int:
    """How often all threads of a process went to sleep of their own accord, so far."""
    total = 0
    for thread in psutil.Process(pid).threads():
        with open(f"/proc/{pid}/task/{thread.id}/status") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
    return total


@pytest.mark.linux
@pytest.mark.slow
def test_no_wakeups_but_the_ping(tree: MakeTree) -> None:
    workers = "".join(f'    [workers.w{n}]\n    command = "sleep 1000"\n    max_age = "1d"\n' for n in range(40))
    # Nobody who has a limit runs, so nothing is sampled.
    held = '    [workers.off]\n    command = "sleep 1"\n    autostart = false\n    memory_max = "1GB"\n'
    t = tree(workers + held)
    t.wait(*(f"w{n}" for n in range(40)))
    assert t.keeper is not None
    own = {"keeper": t.keeper.pid, "root": t.root_pid(), "logger": t.logger_pid()}
    pause = threading.Event()
    pause.wait(1.5)  # what the start leaves to be done: the journal is told of, pipes are looked at
    before = {name: woken(pid) for name, pid in own.items()}
    spent = {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in own.items()}
    pause.wait(9)
    after = {name: woken(pid) - before[name] for name, pid in own.items()}
    spent = {name: sum(psutil.Process(pid).cpu_times()[:2]) - spent[name] for name, pid in own.items()}
    # 9 s have two pings, or three: each wakes the root once, the keeper for its timer and for the answer.
    assert after["logger"] == 0
    assert after["keeper"] <= 10
    assert after["root"] <= 8
    assert sum(spent.values()) < 0.15  # 0.02 s here; slower processors are given more
