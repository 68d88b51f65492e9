"""How soon a worker that needs numpy and pandas can work again after it was killed, and what memory is its own."""

from __future__ import annotations

from benchmarks import processes
from benchmarks.bench import Bench, Launched
from benchmarks.clock import pause
from benchmarks.sessions import SETTLE, restarts
from benchmarks.systems import Ours, OursPython, System

_CHILDREN = 3


def python_restart(bench: Bench) -> None:
    """SIGKILL of one child to the moment when its replacement has imported and used both: every system runs the same
    program in the same interpreter, and ours also as a Python worker that a zygote forks."""
    for number in range(bench.amounts.rounds):
        for kind in _kinds(bench, number):
            with (
                bench.attempt(f"numpy and pandas, round {number + 1}", kind),
                bench.launched(kind, _CHILDREN, tools=bench.tools.with_python_child()) as launched,
            ):
                pause(SETTLE)
                bench.results.add("python_own_mb", kind.name, *_own(launched))
                bench.results.add("python_restart", kind.name, *restarts(bench, launched, 0, hot=False))


def _kinds(bench: Bench, number: int) -> list[type[System]]:
    kinds = [kind for kind in bench.turn(number) if not kind.backoff]
    if Ours in kinds:
        kinds.insert(kinds.index(Ours), OursPython)
    return kinds


def _own(launched: Launched) -> list[float]:
    """Megabytes of each child that would be free if it ended: what it shares with nobody."""
    return [processes.private(report.pid) for report in launched.reports.latest.values()]
