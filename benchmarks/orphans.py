"""What is left when a supervisor is killed, and what runs twice after it was started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import Counter

from benchmarks import processes
from benchmarks.bench import Bench
from benchmarks.clock import pause
from benchmarks.sessions import SETTLE
from benchmarks.systems import Ours, System

_CHILDREN = 20
_TIME_TO_START = 6.0
"""Seconds after which a new start has started what it will start: runsvdir, for one, looks every 5 s."""


def orphans(bench: Bench) -> None:
    """SIGKILL of the supervisor with 20 children, all systems side by side; for ours also of the root alone."""
    with contextlib.ExitStack() as stack:
        running: list[System] = []
        for kind in bench.systems:
            if not kind.backoff and not kind.logs_only:
                with bench.attempt("SIGKILL of the supervisor", kind):
                    running.append(stack.enter_context(bench.launched(kind, _CHILDREN)).system)
        pause(SETTLE)
        for system in running:
            _kill_supervisor(bench, system)
        for system in running:
            system.launch()
        pause(_TIME_TO_START)
        for system in running:
            _count(bench, system)
    if Ours in bench.systems:
        for _ in range(bench.amounts.rounds):
            with bench.attempt("SIGKILL of the root", Ours):
                _kill_root(bench)


def _kill_supervisor(bench: Bench, system: System) -> None:
    watch = processes.Watch(process.pid for process in system.living_children())
    begin = time.monotonic_ns()
    os.kill(system.main_pid(), signal.SIGKILL)
    gone = watch.wait(2.0)
    bench.results.fact("alive_after_2_s", system.name, watch.alive())
    watch.close()
    if gone is not None:
        bench.results.add("all_gone", system.name, (gone - begin) / 1e6)


def _count(bench: Bench, system: System) -> None:
    running = Counter(process.command.split()[1] for process in system.living_children())
    bench.results.fact("running_after_restart", system.name, len(running))
    bench.results.fact("running_twice", system.name, sum(1 for times in running.values() if times > 1))


def _kill_root(bench: Bench) -> None:
    """Untouched means: the same 20 pids afterwards, and no further report of a first instruction."""
    with bench.launched(Ours, _CHILDREN) as launched:
        system, reports = launched.system, launched.reports
        pause(SETTLE)
        before = {process.pid for process in system.living_children()}
        root = _root_pid(system)
        begin = time.monotonic_ns()
        os.kill(root, signal.SIGKILL)
        successor = _root_pid(system)
        took = (time.monotonic_ns() - begin) / 1e6
        pause(0.5)
        after = {process.pid for process in system.living_children()}
        if successor == root:
            raise ValueError("the dead root was still named")
        bench.results.add("new_root_answers", system.name, took)
        bench.results.fact("untouched_by_root_kill", system.name, len(before & after))
        bench.results.fact("started_by_root_kill", system.name, len(reports.read()))


def _root_pid(system: System) -> int:
    """As the status command says: a whole process, so the time of it is what a user waits."""
    done = subprocess.run(
        [*system.status_command(), "--json"],
        env=system.environment(),
        cwd=system.folder,
        capture_output=True,
        timeout=30,
        check=False,
    )
    if done.returncode != 0:
        raise ValueError(f"status failed: {(done.stdout + done.stderr).decode(errors='replace')[-300:]}")
    return int(json.loads(done.stdout)["root"])
