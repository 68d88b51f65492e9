"""A tree in which nothing happens does nothing, but for the keeper's ping of its root every 4 s."""

from __future__ import annotations

import threading

import psutil
import pytest

from tests.conftest import MakeTree
from tests.support.waiting import eventually


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
    seen: list[tuple[dict[str, int], float]] = []

    def sleeps() -> bool:
        before = {name: woken(pid) for name, pid in own.items()}
        spent = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in own.values())
        pause.wait(9)
        after = {name: woken(pid) - before[name] for name, pid in own.items()}
        spent = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in own.values()) - spent
        seen.append((after, spent))
        # 9 s have two pings, or three: each wakes the root once, the keeper for its timer and for the answer.
        # 0.02 s of a processor here; slower ones are given more.
        return after["logger"] == 0 and after["keeper"] <= 10 and after["root"] <= 8 and spent < 0.15

    # On a busy machine the start may leave more, for longer; what goes on for ever is in each of these looks.
    eventually(sleeps, lambda: f"they sleep; they were woken so often, and spent so much: {seen}", 30)
