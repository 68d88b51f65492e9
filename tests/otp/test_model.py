"""The core against the blocking model: any scenario, not only the recorded ones."""

from __future__ import annotations

import json

import pytest

from tests.otp.model import Runtime
from tests.otp.replay import World
from tests.otp.scenarios import Scenario
from tests.otp.test_traces import TRACES, compare, parents


def test_the_model_gives_the_recorded_traces() -> None:
    for path in TRACES:
        recorded = json.loads(path.read_text())
        compare(recorded["scenario"], recorded["trace"], Runtime(recorded["scenario"]).trace())


@pytest.mark.parametrize("hundred", range(8))
def test_the_core_gives_the_trace_of_the_model(hundred: int) -> None:
    for seed in range(hundred * 100, hundred * 100 + 100):
        scenario = Scenario(seed).json()
        try:
            compare(scenario, Runtime(scenario).trace(), World(scenario).trace())
        except AssertionError as different:
            different.add_note(f"seed {seed}: {json.dumps(scenario)}")
            raise


def test_the_scenarios_use_the_whole_language() -> None:
    scenarios = [Scenario(seed).json() for seed in range(100)]
    text = json.dumps(scenarios)
    for word in ("simple_one_for_one", "rest_for_one", "any_significant", "brutal_kill", "ignore", "calls", "burst"):
        assert word in text
    assert max(len(parents(scenario)) for scenario in scenarios) > 10
