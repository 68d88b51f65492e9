"""How cost grows with the number of workers: ours, and the floor beside it."""

from __future__ import annotations

import statistics
import time

from benchmarks import processes
from benchmarks.bench import Bench
from benchmarks.clock import pause
from benchmarks.sessions import SETTLE, restarts, status
from benchmarks.systems import Floor, Ours

_KINDS = (Floor, Ours)


def curve(bench: Bench) -> None:
    """Start, single restart, status, idle cost and memory at each size; one launch of each."""
    for number in bench.amounts.curve:
        for kind in _KINDS:
            if kind not in bench.systems:
                continue
            with bench.attempt(f"{number:,} children", kind), bench.launched(kind, number) as launched:
                pause(SETTLE + number / 2000)
                system = launched.system
                samples = restarts(bench, launched, 0, hot=False)
                point = {
                    "start": launched.start,
                    "restart": statistics.median(samples),
                    "status": statistics.median(status(system) for _ in range(3)),
                }
                own = [process.pid for process in system.own_processes()]
                point["memory_mb"] = sum(processes.memory(pid).pss for pid in own)
                pause(SETTLE + number / 1000)
                before, begin = processes.cpu_seconds(own), time.monotonic()
                pause(bench.amounts.curve_idle)
                point["idle_s"] = (processes.cpu_seconds(own) - before) * 60 / (time.monotonic() - begin)
                for name, value in point.items():
                    bench.results.add(f"curve_{number}_{name}", kind.name, value)
