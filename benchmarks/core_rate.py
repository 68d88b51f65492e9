"""How fast the core decides: restarts a second, and the cost of a decision by the size of the tree.

    python benchmarks/core_rate.py

The counterpart of OTP's decision rate (a permanent child that exits at once), without a process: an exit
and the answer of its spawn are one restart. OTP's figures beside it include spawning Erlang processes.
"""

from __future__ import annotations

import gc
import time
import tracemalloc

from supervisor_tree.core import effects as ef
from supervisor_tree.core import events as ev
from supervisor_tree.core.spec import SupervisorSpec, WorkerSpec
from supervisor_tree.core.tree import Tree

CRASH = ev.Exit(code=1, reason="exit status 1")
OTP = {100: "272,000", 1_000: "43,000 to 106,000", 5_000: "18,000 to 25,000", 20_000: "3,800 to 6,100"}


def grown(size: int, intensity: int | None = None, period: float = 5.0) -> Tree:
    """A tree of ``size`` running workers under a one_for_one root."""
    children = tuple(WorkerSpec(name=f"w{number}") for number in range(size))
    tree = Tree(SupervisorSpec(name="root", intensity=intensity, period=period, first_start="retry", children=children))
    for effect in tree.handle(ev.TreeStarted(), 0.0):
        if isinstance(effect, ef.SpawnChild):
            tree.handle(ev.ChildSpawned(effect.path, effect.incarnation, 1000), 0.0)
    tree.take_changes()
    return tree


def restart(tree: Tree, path: str, times: int, *, commit: bool = False) -> float:
    """Seconds for ``times`` restarts of one child, one a second of the core's time, with or without writing
    down what changed."""
    node = tree.nodes[path]
    first = tree.now
    begin = time.perf_counter()
    for number in range(times):
        now = first + number
        tree.handle(ev.ChildExited(path, node.incarnation, CRASH), now)
        if commit:
            tree.take_changes()
        tree.handle(ev.ChildSpawned(path, node.incarnation, 1000), now)
        if commit:
            tree.take_changes()
    return time.perf_counter() - begin


def quickest(tree: Tree, path: str, *, commit: bool = False) -> float:
    """Seconds for one restart, of the best of ten runs: other programs use the machine, too."""
    return min(restart(tree, path, 1_000, commit=commit) for _ in range(10)) / 1_000


def stop(tree: Tree, size: int) -> float:
    """Seconds for a whole stop in reverse order, each child waited for."""
    begin = time.perf_counter()
    effects = tree.handle(ev.ShutdownRequested(), tree.now)
    for _ in range(size):
        asked = next(effect for effect in effects if isinstance(effect, ef.StopChild))
        effects = tree.handle(ev.ChildExited(asked.path, asked.incarnation, CRASH), tree.now)
    return time.perf_counter() - begin


def main() -> None:
    print("restarts in the window   restarts/s   OTP, with its processes")
    for window, otp in OTP.items():
        tree = grown(1, intensity=3 * window, period=window)
        restart(tree, "root/w0", window)
        print(f"{window:22,}   {1 / quickest(tree, 'root/w0'):10,.0f}   {otp}")
    print()
    print("workers   µs/restart   µs with commit   bytes/worker   start ms   stop in order ms")
    for size in (10, 100, 1_000, 10_000):
        gc.collect()
        tracemalloc.start()
        tree = grown(size)
        gc.collect()
        memory = tracemalloc.get_traced_memory()[0] / size
        tracemalloc.stop()
        begin = time.perf_counter()
        tree = grown(size)
        start = time.perf_counter() - begin
        path = f"root/w{size // 2}"
        plain = quickest(tree, path)
        whole = quickest(tree, path, commit=True)
        print(
            f"{size:7,}   {plain * 1e6:10.1f}   {whole * 1e6:14.1f}   {memory:12,.0f}"
            f"   {start * 1e3:8.1f}   {stop(tree, size) * 1e3:16.1f}"
        )


if __name__ == "__main__":
    main()
