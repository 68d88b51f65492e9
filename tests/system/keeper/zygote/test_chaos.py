"""Zygotes, workers and starts at random, all at once: each start has one answer, each end is told once and truly."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

import pytest

from supervisor_tree.system import means
from tests.system.keeper.conftest import lives
from tests.system.keeper.zygote.conftest import Python

NAMES = [f"w{number}" for number in range(12)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_chaos(python: Python, seed: int) -> None:
    brain, dice = python.brain, random.Random(seed)
    incs = dict.fromkeys(NAMES, 0)
    said: dict[tuple[str, int], list[str]] = {}
    alive: dict[str, int] = {}
    asked: set[str] = set()
    zygotes: set[int] = set()
    losses: list[int] = []
    before: dict[tuple[str, int], int] = {}
    """How many zygotes had been lost, as far as was heard, when a start was asked for."""

    def hear() -> None:
        while brain.events:
            event = brain.events.pop(0)
            if event["kind"] == "zygote":
                if event["what"] == "ready":
                    zygotes.add(event["pid"])
                elif event["what"] in ("lost", "killed"):
                    zygotes.discard(event["pid"])
                    losses.append(event["pid"])
                continue
            assert event["kind"] in ("spawned", "exited", "spawn_failed"), event
            said.setdefault((event["name"], event["inc"]), []).append(event["kind"])
            if event["kind"] == "spawned":
                alive[event["name"]] = event["pid"]
                continue
            alive.pop(event["name"], None)
            asked.discard(event["name"])
            if event["kind"] == "spawn_failed":
                # A start is given up when two zygotes were lost over it, which takes a machine that is slow to fork.
                known = ["stopped before it was started"]
                if len(losses) - before[event["name"], event["inc"]] >= 2:
                    known += ["its zygote ended: killed", "its zygote ended: stopped", "its zygote died twice "]
                assert event["reason"].startswith(tuple(known)) or not means.orphans_come_to_us, event
            elif means.orphans_come_to_us:
                assert event["signal"] in (signal.SIGKILL, signal.SIGTERM), event

    def quiet(name: str) -> bool:
        return incs[name] == 0 or said.get((name, incs[name]), [""])[-1] in ("exited", "spawn_failed")

    end = time.monotonic() + 6
    while time.monotonic() < end:
        effects = []
        for name in dice.sample(NAMES, 4):
            if quiet(name):
                incs[name] += 1
                before[name, incs[name]] = len(losses)
                effects.append(
                    python.spec(name, "sleep", {"file": name}, inc=incs[name], preload=dice.choice([(), ("json",)]))
                )
            elif name not in asked and dice.random() < 0.3:
                asked.add(name)
                effects.append({"op": "stop", "name": name, "inc": incs[name], "grace": dice.choice([0, 5])})
            elif name in alive and dice.random() < 0.5:
                with contextlib.suppress(ProcessLookupError):  # it was dead already, and we had not heard
                    os.kill(alive[name], signal.SIGKILL)
        brain.commit(*effects)
        if zygotes and dice.random() < 0.1:
            with contextlib.suppress(ProcessLookupError):
                os.kill(dice.choice(sorted(zygotes)), dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP]))
        for _ in range(dice.randrange(4)):
            brain.sync()
        hear()
    brain.commit(*[{"op": "stop", "name": name, "inc": incs[name], "grace": 0} for name in NAMES if not quiet(name)])
    while not all(map(quiet, NAMES)):
        brain.frame("event")
        hear()
        brain.commit()
    for key, kinds in said.items():
        assert kinds in (["spawned", "exited"], ["spawn_failed"]), key
    assert len(said) == sum(incs.values())
    assert not any(map(lives, alive.values()))
    assert brain.exit() == 0
