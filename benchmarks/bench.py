"""One run: which systems, which measures, how often, and the launches that they share."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.build import Tools
from benchmarks.reports import Missing, Reports
from benchmarks.results import Results
from benchmarks.systems import Capture, System

START_TIMEOUT = 90.0
"""Seconds for all children of a launch to report, for the slowest system and the largest tree."""


class Amounts(NamedTuple):
    """How much of everything a run does."""

    rounds: int
    large_rounds: int
    kills: int
    """Single restarts in a round, as long as they fit into `kill_budget` seconds."""
    kill_budget: float
    statuses: int
    idle: float
    """Seconds of idleness watched."""
    log_rounds: int
    curve: tuple[int, ...]
    curve_idle: float
    beating: tuple[int, ...]
    """Trees of so many workers that beat once a second."""


FULL = Amounts(3, 2, 40, 6.0, 6, 60.0, 4, (10, 100, 1000, 3000, 10000), 10.0, (1000, 10000))
QUICK = Amounts(1, 1, 25, 1.5, 5, 10.0, 1, (10, 100, 1000), 5.0, (1000,))


class Launched(NamedTuple):
    system: System
    reports: Reports
    start: float
    """Milliseconds from the command to the last child's first instruction."""


class Bench:
    """A run, and everything that it started: `close` ends it."""

    def __init__(
        self,
        tools: Tools,
        folder: Path,
        systems: list[type[System]],
        measures: set[str],
        amounts: Amounts,
    ) -> None:
        self.tools = tools
        self.folder = folder
        self.systems = systems
        self.measures = measures
        self.amounts = amounts
        self.results = Results()
        self._numbers = itertools.count()

    def turn(self, number: int) -> list[type[System]]:
        """The order of a round: every second one backwards, so that nobody always follows the same neighbour."""
        systems = [kind for kind in self.systems if not kind.logs_only]
        return systems[::-1] if number % 2 else systems

    @contextlib.contextmanager
    def launched(
        self, kind: type[System], number: int, capture: Capture | None = None, tools: Tools | None = None
    ) -> Iterator[Launched]:
        """A system with all its children running; nothing of it is left behind afterwards. ``tools``: other ones."""
        with self.prepared(kind, number, capture, tools) as (system, reports):
            yield Launched(system, reports, self.launch(system, reports))

    @contextlib.contextmanager
    def prepared(
        self, kind: type[System], number: int, capture: Capture | None = None, tools: Tools | None = None
    ) -> Iterator[tuple[System, Reports]]:
        """A system with its configuration written, not launched."""
        name = f"{next(self._numbers):05d}"
        system = kind(tools or self.tools, self.folder / name, self.folder / name / "reports", number, capture)
        reports = Reports(system.fifo)
        try:
            yield system, reports
        finally:
            reports.close()
            system.cleanup()

    def launch(self, system: System, reports: Reports) -> float:
        """Launch and wait for all children; milliseconds from the command to the last first instruction.

        Raises:
            Missing: they don't all come; the message has what the system said.
        """
        begin = time.monotonic_ns()
        system.launch()
        try:
            arrived = reports.wait_number(system.number, START_TIMEOUT, system.has_failed)
        except Missing as error:
            said = (system.folder / "launch.out").read_text(errors="replace").strip()
            raise Missing(f"{error}; it said: {said[-600:]}") from error
        return (max(report.at for report in arrived) - begin) / 1e6

    def attempt(self, what: str, kind: type[System]) -> contextlib.AbstractContextManager[None]:
        """A failure in here is one system's in one measure: it is told in the results, and the run goes on."""
        return self._attempt(f"{kind.name}: {what}")

    @contextlib.contextmanager
    def _attempt(self, what: str) -> Iterator[None]:
        say(what)
        try:
            yield
        except (Missing, OSError, AssertionError, ValueError, TimeoutError) as error:
            self.results.failures.append(f"{what}: {error}")
            say(f"  failed: {error}")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
