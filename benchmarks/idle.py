"""What a system costs while nothing happens: all systems side by side in the same minute, 1,000 children each."""

from __future__ import annotations

import contextlib
import time

from benchmarks import processes
from benchmarks.bench import Bench, Launched, say
from benchmarks.clock import pause

_QUIET = 8.0
"""Seconds after the last start; what a system still does afterwards is its idle cost."""


def idle(bench: Bench) -> None:
    """CPU seconds a minute of each system's own processes, from the scheduler's accounts, not from samples."""
    with contextlib.ExitStack() as stack:
        running: list[Launched] = []
        for kind in bench.systems:
            if kind.backoff or kind.logs_only:
                continue
            with bench.attempt("idle, 1,000 children", kind):
                running.append(stack.enter_context(bench.launched(kind, 1000)))
        pause(_QUIET)
        owned = [[process.pid for process in launched.system.own_processes()] for launched in running]
        say(f"idle: {bench.amounts.idle:.0f} s of {', '.join(launched.system.name for launched in running)}")
        begin = time.monotonic()
        before = [processes.cpu_seconds(pids) for pids in owned]
        pause(bench.amounts.idle)
        after = [processes.cpu_seconds(pids) for pids in owned]
        minutes = (time.monotonic() - begin) / 60
        for launched, used, now in zip(running, before, after, strict=True):
            bench.results.add("idle_1000_s", launched.system.name, (now - used) / minutes)
