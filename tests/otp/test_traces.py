"""The traces of the real OTP supervisor, replayed. Each file in `traces` holds a scenario and its trace."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.otp.replay import World

HERE = Path(__file__).parent
TRACES = sorted((HERE / "traces").glob("*.json"))

Event = dict[str, Any]


def parents(scenario: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Of each id: its supervisor's id, and whether that is a `simple_one_for_one`."""
    found: dict[str, tuple[str, bool]] = {}

    def specs(spec: dict[str, Any]) -> None:
        for child in spec.get("children", []):
            found[child["id"]] = (spec["id"], spec.get("strategy") == "simple_one_for_one")
            specs(child)

    def calls(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("op") == "start_child" and "child" in part:
                found[part["child"]["id"]] = (part["sup"], False)
                specs(part["child"])
            elif part.get("op") == "start_child":
                found[part["id"]] = (part["sup"], True)
            part = list(part.values())
        for inner in part if isinstance(part, list) else ():
            calls(inner)

    specs(scenario["root"])
    calls(scenario)
    return found


def canonical(events: list[Event], above: dict[str, tuple[str, bool]]) -> list[Event]:
    """The two concurrent cases by id: stops of a simple supervisor's children, and of a killed supervisor's."""
    rest, out = list(events), []
    while rest:
        first = rest.pop(0)
        group = [first]
        supervisor, simple = above.get(first["id"], ("", False))
        if first["ev"] == "stop" and simple:
            while rest and rest[0]["ev"] == "stop" and above.get(rest[0]["id"], ("",))[0] == supervisor:
                group.append(rest.pop(0))
            group.sort(key=lambda event: (event["id"], event["n"]))
        elif first["ev"] == "stop" and first["reason"] == "killed":
            below = []
            while rest and rest[0].get("reason") == "killed" and above.get(rest[0]["id"], ("",))[0] == first["id"]:
                below.append(rest.pop(0))
            group += sorted(below, key=lambda event: (event["id"], event["n"]))
        out += group
    return out


def compare(scenario: dict[str, Any], expected: dict[str, Any], ours: dict[str, Any]) -> None:
    """Fail at the first step that differs."""
    above = parents(scenario)
    steps = [{"op": "start"}, *scenario["steps"], {"op": "shutdown"}]
    for step, want, got in zip(steps, expected["steps"], ours["steps"], strict=True):
        want = {**want, "events": canonical(want["events"], above), "replies": want.get("replies", [])}
        got = {**got, "events": canonical(got["events"], above), "replies": got.get("replies", [])}
        assert got == want, f"{scenario['rule']}: at {json.dumps(step)}"


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_as_otp(path: Path) -> None:
    recorded = json.loads(path.read_text())
    compare(recorded["scenario"], recorded["trace"], World(recorded["scenario"]).trace())


def test_as_a_program() -> None:
    scenarios = [json.loads(path.read_text())["scenario"] for path in TRACES[:2]]
    lines = "".join(json.dumps(scenario) + "\n" for scenario in scenarios)
    done = subprocess.run(
        [sys.executable, HERE / "replay.py"], input=lines, capture_output=True, text=True, check=True, cwd="/"
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [World(one).trace() for one in scenarios]
