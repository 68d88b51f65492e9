"""The measures that share a launch: start, restart, storm, status, memory, stop; with 100 and with 1,000 children."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from benchmarks import processes
from benchmarks.bench import Bench, Launched
from benchmarks.clock import pause
from benchmarks.reports import Reports
from benchmarks.systems import Floor, Ours, System

SETTLE = 1.5
"""Seconds before a child counts as having been up for long: over the 1 s within which runit sees a crash loop."""
_SLOW_STOP = 5_000.0
"""Milliseconds; a system that needs longer to stop is stopped in two rounds only."""
_PAUSE = 0.02


def warm_up(bench: Bench) -> None:
    """One launch of each that counts nowhere: programs and libraries are in memory, and who fails is out."""
    able = []
    for kind in bench.systems:
        with bench.attempt("warm-up", kind), bench.launched(kind, 10) as launched:
            bench.results.systems[kind.name] = {
                "version": kind.version(bench.tools),
                "bound": kind.bound,
                "configuration": _without_places(launched.system.configuration, bench),
            }
            able.append(kind)
    bench.systems = able


def _without_places(configuration: str, bench: Bench) -> str:
    """Where this machine keeps things is nobody's business."""
    for place in (bench.folder, bench.tools.child.parent):
        configuration = configuration.replace(str(place), "…")
    return configuration


def small(bench: Bench) -> None:
    """Rounds over all systems with 100 children each."""
    for number in range(bench.amounts.rounds):
        for kind in bench.turn(number):
            with bench.attempt(f"100 children, round {number + 1}", kind), bench.launched(kind, 100) as launched:
                _round(bench, launched, number)


def large(bench: Bench) -> None:
    """Rounds over all systems with 1,000 children each."""
    for number in range(bench.amounts.large_rounds):
        for kind in bench.turn(number):
            if kind.backoff:
                continue
            with bench.attempt(f"1,000 children, round {number + 1}", kind), bench.launched(kind, 1000) as launched:
                results = bench.results
                results.add("start_1000", kind.name, launched.start)
                pause(SETTLE)
                if "memory" in bench.measures:
                    measure_memory(bench, launched, "memory_1000_mb")
                if "storm" in bench.measures:
                    results.add("storm_1000", kind.name, storm(launched))


def _round(bench: Bench, launched: Launched, number: int) -> None:
    system, results, measures = launched.system, bench.results, bench.measures
    name = system.name
    results.add("start_100", name, launched.start)
    pause(SETTLE)
    if "memory" in measures:
        measure_memory(bench, launched, "memory_100_mb")
    if "restart" in measures:
        first = number * bench.amounts.kills
        results.add("restart", name, *restarts(bench, launched, first, hot=False))
        # Other children: of ours with defaults, the first death of each costs nothing, the second a second.
        results.add("restart_hot", name, *restarts(bench, launched, first + 50, hot=True))
    if system.backoff:
        return
    if "status" in measures:
        for _ in range(bench.amounts.statuses):
            results.add("status", name, status(system))
    if "storm" in measures:
        pause(SETTLE)
        results.add("storm_100", name, storm(launched))
    slow = (results.median("stop_100", name) or 0) > _SLOW_STOP
    if "stop" in measures and not (slow and number > 1):
        pause(SETTLE)
        took, left = stop(launched, timeout=60)
        if took is not None:
            results.add("stop_100", name, took)
        results.fact("left_after_stop", name, left)


def restarts(bench: Bench, launched: Launched, first: int, hot: bool) -> list[float]:
    """Milliseconds from SIGKILL of one child to its replacement's first instruction, one child after the other.

    ``hot``: the replacement is killed at once, and the time of *its* replacement counts.
    """
    reports, number = launched.reports, launched.system.number
    reports.read()
    samples: list[float] = []
    deadline = time.monotonic() + bench.amounts.kill_budget
    for step in range(bench.amounts.kills):
        if time.monotonic() > deadline and len(samples) >= 3:
            break
        child = (first + step) % number
        sample = _restart(reports, child)
        samples.append(_restart(reports, child) if hot else sample)
        pause(SETTLE if launched.system.backoff and hot else _PAUSE)
    return samples


def _restart(reports: Reports, child: int) -> float:
    begin = time.monotonic_ns()
    os.kill(reports.latest[child].pid, signal.SIGKILL)
    return (reports.wait_one(child, 30).at - begin) / 1e6


def storm(launched: Launched) -> float:
    """Milliseconds from SIGKILL of all children to the last replacement's first instruction."""
    reports = launched.reports
    reports.read()
    pids = [report.pid for report in reports.latest.values()]
    begin = time.monotonic_ns()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    arrived = reports.wait_number(len(pids), 90)
    return (max(report.at for report in arrived) - begin) / 1e6


def stop(launched: Launched, timeout: float) -> tuple[float | None, int]:
    """Milliseconds from the request until neither a child nor a process of the system is left, and how many are."""
    system = launched.system
    launched.reports.read()
    main = system.main_pid()
    pids = sorted((process.pid for process in system.own_processes()), key=lambda pid: pid != main)
    pids += [report.pid for report in launched.reports.latest.values()]
    watch = processes.Watch(pids)
    begin = time.monotonic_ns()
    system.stop()
    end = watch.wait(timeout)
    left = watch.alive()
    watch.close()
    return (None if end is None else (end - begin) / 1e6), left


def status(system: System) -> float:
    """Milliseconds of the whole process that shows the state of all children."""
    begin = time.monotonic_ns()
    done = subprocess.run(
        system.status_command(),
        env=system.environment(),
        cwd=system.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    took = (time.monotonic_ns() - begin) / 1e6
    # The floor shows nothing. Exit statuses differ; the last child in the output is the proof that it worked.
    shown = f"w{system.number - 1}".encode() in done.stdout or done.stdout.count(b"\n") >= system.number
    if not shown and not isinstance(system, Floor):
        raise ValueError(f"its status does not show all children: {done.stdout[-300:].decode(errors='replace')}")
    return took


def measure_memory(bench: Bench, launched: Launched, measure: str) -> None:
    """PSS in MB of all processes of the system itself, and of ours what it is made of."""
    system = launched.system
    parts = {process: processes.memory(process.pid) for process in system.own_processes()}
    bench.results.add(measure, system.name, sum(part.pss for part in parts.values()))
    bench.results.fact(f"{measure}_processes", system.name, len(parts))
    if isinstance(system, Ours):
        made_of = {
            role_of(process): [round(part.anonymous, 1), round(part.pss - part.anonymous, 1)]
            for process, part in parts.items()
        }
        bench.results.fact(f"{measure}_parts", system.name, made_of)


def role_of(process: processes.Process) -> str:
    """Which process of ours it is, from its arguments."""
    for part, role in (
        ("supervisor_tree.root", "root"),
        ("supervisor_tree.logs", "logger"),
        ("zygote/boot.py", "zygote"),
    ):
        if part in process.command:
            return role
    return "keeper"
