"""The figures of a run: samples by measure and system, and what is made of them."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any


def percentile(samples: list[float], share: float) -> float:
    """The nearest-rank percentile: of few samples, p95 is the maximum."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Results:
    """Samples are milliseconds unless the measure's name says otherwise (``…_s``, ``…_mb``, ``…_mbs``)."""

    def __init__(self) -> None:
        self.about: dict[str, Any] = {}
        self.systems: dict[str, dict[str, str]] = {}
        self.absent: dict[str, str] = {}
        self.failures: list[str] = []
        self.samples: dict[str, dict[str, list[float]]] = {}
        self.facts: dict[str, dict[str, Any]] = {}

    def add(self, measure: str, system: str, *values: float) -> None:
        self.samples.setdefault(measure, {}).setdefault(system, []).extend(values)

    def fact(self, measure: str, system: str, value: Any) -> None:
        """Something that is no sample: a count, a composition."""
        self.facts.setdefault(measure, {})[system] = value

    def of(self, measure: str, system: str) -> list[float]:
        return self.samples.get(measure, {}).get(system, [])

    def median(self, measure: str, system: str) -> float | None:
        samples = self.of(measure, system)
        return statistics.median(samples) if samples else None

    def p95(self, measure: str, system: str) -> float | None:
        samples = self.of(measure, system)
        return percentile(samples, 0.95) if samples else None

    def added_to(self, path: Path) -> Results:
        """The results in the file, with the measures and facts of these; `about` tells of both runs."""
        there = json.loads(path.read_text())
        both = Results()
        both.about, both.absent, both.facts = there["about"], there["absent"], {**there["facts"], **self.facts}
        both.systems = {**self.systems, **there["systems"]}
        both.failures = there["failures"] + self.failures
        before = {
            measure: {system: figures["samples"] for system, figures in systems.items()}
            for measure, systems in there["measures"].items()
        }
        both.samples = {**before, **self.samples}
        both.about.setdefault("added", []).append(self.about)
        return both

    def write(self, path: Path) -> None:
        figures = {
            measure: {
                system: {
                    "median": self.median(measure, system),
                    "p95": self.p95(measure, system),
                    "max": max(samples),
                    "samples": [round(sample, 4) for sample in samples],
                }
                for system, samples in systems.items()
            }
            for measure, systems in self.samples.items()
        }
        everything = {
            "about": self.about,
            "systems": self.systems,
            "absent": self.absent,
            "failures": self.failures,
            "measures": figures,
            "facts": self.facts,
        }
        path.write_text(json.dumps(everything, indent=1) + "\n")
