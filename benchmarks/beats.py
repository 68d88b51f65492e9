"""10,000 workers that beat once a second: what the root and the keeper pay, and whether any beat or worker is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from benchmarks import processes
from benchmarks.bench import Bench, Launched
from benchmarks.build import ROOT
from benchmarks.clock import pause
from benchmarks.reports import Missing
from benchmarks.sessions import SETTLE, role_of
from benchmarks.systems import OursBeating


def beats(bench: Bench) -> None:
    """A real tree of children that are only there, and one process that speaks for them all."""
    if not any(kind.name == "supervisor-tree" for kind in bench.systems):
        return
    for number in bench.amounts.beating:
        with (
            bench.attempt(f"{number:,} workers that beat", OursBeating),
            bench.launched(OursBeating, number) as launched,
        ):
            pause(SETTLE + number / 5000)
            _measure(bench, launched)


def _measure(bench: Bench, launched: Launched) -> None:
    system, number = launched.system, launched.system.number
    pids = system.folder / "pids"
    pids.write_text(json.dumps([report.pid for report in launched.reports.latest.values()]))
    own = {role_of(process): process.pid for process in system.own_processes()}
    seconds = bench.amounts.idle
    driver = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.beating", str(pids), str(seconds + 4)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        connected = _line(driver)
        pause(2.0)
        before, begin = {role: processes.cpu_seconds([pid]) for role, pid in own.items()}, time.monotonic()
        pause(seconds)
        took = time.monotonic() - begin
        for role, pid in own.items():
            cores = (processes.cpu_seconds([pid]) - before[role]) / took
            bench.results.add(f"beats_{number}_{role}_cores", system.name, cores)
        said = _line(driver)
        bench.results.add(f"beats_{number}_root_mb", system.name, processes.memory(own["root"]).pss)
        pause(1.0)
        heard = _heard(launched)
    finally:
        driver.kill()
        driver.communicate()
    if own != {role_of(process): process.pid for process in system.own_processes()}:
        raise ValueError("the tree's own processes are not the same as before")
    facts = {
        "connect_s": round(connected["seconds"], 2),
        "rate": round(said["sent"] / (seconds + 4)),
        "sent": said["sent"],
        "held_back": said["held_back"],
        "heard": heard["beats"],
        "restarts": heard["restarts"],
        "verdicts": _verdicts(launched),
        "driver_late_s": round(said["late"], 3),
    }
    bench.results.fact("beats", str(number), facts)


def _line(driver: subprocess.Popen[str]) -> dict[str, Any]:
    assert driver.stdout is not None
    line = driver.stdout.readline()
    if not line:
        raise Missing(f"the process that beats has ended with status {driver.wait()}")
    said: dict[str, Any] = json.loads(line)
    return said


def _heard(launched: Launched) -> dict[str, int]:
    """The sum of the numbers of the last beats that the root knows of (a connection keeps the order, so that the last
    one proves all before it), and of all restarts."""
    system = launched.system
    done = subprocess.run(
        [*system.status_command()[:-1], "describe", "--json"],
        env=system.environment(),
        cwd=system.folder,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise ValueError(f"describe failed: {done.stderr.decode(errors='replace')[-300:]}")
    workers = [child for child in json.loads(done.stdout) if child["type"] == "worker"]
    return {
        "beats": sum(worker["said"]["fields"].get("n", 0) for worker in workers),
        "restarts": sum(worker["restarts"] for worker in workers),
    }


def _verdicts(launched: Launched) -> int:
    """Workers that were taken to hang, from the journal."""
    lines = [
        json.loads(line)
        for path in (launched.system.folder / "state" / "journal").glob("*.jsonl")
        for line in path.read_bytes().splitlines()
    ]
    return sum(line["event"] == "hung" for line in lines)
