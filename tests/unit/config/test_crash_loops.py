"""How `check` says a crash loop ends."""

from __future__ import annotations

import pytest

from supervisor_tree.config.crash_loops import delay, fates
from supervisor_tree.config.reference_page import duration_text
from supervisor_tree.core.spec import Backoff
from tests.unit.config.conftest import Good


@pytest.mark.parametrize(
    ("tree", "worker", "expected"),
    [
        ("", "", "never given up: a try every 5m"),
        ("", "backoff = '10s'", "never given up: a try every 10s"),
        ("", "backoff = 0", "never given up: tried again at once, each time"),
        ("", "backoff = { factor = 1 }", "never given up: a try every 1s"),
        ("", "restart = 'temporary'", "not restarted"),
        ("", "restart = 'transient'", "never given up: a try every 5m"),
        ("intensity = 5", "", "root gives up after 6 starts in 15s, then it holds it: failed until `ctl start`"),
        ("intensity = 5\non_give_up = 'exit'", "backoff = 0",
         "root gives up after 6 starts at once, and the tree ends with status 1"),
        ("intensity = 2\non_give_up = '10m'", "backoff = '2s'",
         "root gives up after 3 starts in 4s, then it holds it and tries once more after 10m"),
        ("intensity = 5\nperiod = '10s'", "backoff = '2s'",
         "root gives up after 6 starts in 10s, then it holds it: failed until `ctl start`"),
        ("intensity = 5\nperiod = '9s'", "backoff = '2s'", "never given up: a try every 2s"),
        ("intensity = 0", "", "root gives up after 1 start at once, then it holds it: failed until `ctl start`"),
    ],
)  # fmt: skip
def test_under_the_root(good: Good, tree: str, worker: str, expected: str) -> None:
    plan = good(f"[tree]\n{tree}\n[workers.a]\ncommand = 'x'\n{worker}\n")
    assert [fate.text for fate in fates(plan)] == [expected]


def test_below_a_supervisor(good: Good) -> None:
    text = "[tree]\n{}\n[supervisors.s]\nintensity = 2\nchildren = 'a'\n[workers.a]\ncommand = 'x'\nbackoff = '1s'\n"
    assert (
        fates(good(text.format("")))[0].text
        == "s gives up after 3 starts in 2s and is restarted; never given up: a try every 1s"
    )
    ends = fates(good(text.format("intensity = 1")))[0]
    assert ends.text == "s gives up after 3 starts in 2s, then root holds it: failed until `ctl start`"
    assert ends.given_up


def test_the_ladder() -> None:
    ladder = Backoff(first=0, initial=1, factor=2, max=300, jitter=0.1, reset=300)
    assert [delay(ladder, restart) for restart in (1, 2, 3, 4, 10, 11, 5000)] == [0, 1, 2, 4, 256, 300, 300]


@pytest.mark.parametrize(
    ("seconds", "text"), [(300, "5m"), (90, "90s"), (0.25, "250ms"), (86400, "1d"), (0, "0s"), (1.5, "1.5s")]
)
def test_durations_as_a_person_writes_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_thousands_of_workers_are_quick(good: Good) -> None:
    plan = good("[workers.a]\ncommand = 'x'\ninstances = 2000\n")
    assert len(fates(plan)) == 2000
