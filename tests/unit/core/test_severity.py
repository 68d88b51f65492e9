"""How bad a journal line is."""

from __future__ import annotations

from supervisor_tree.core.severity import LEVELS, at_least, severity


def test_a_line_that_says_its_severity_is_believed() -> None:
    assert severity("limit_exceeded", {"severity": "critical"}) == "critical"
    assert severity("child_exited", {"severity": "huge", "normal": True}) == "info"


def test_the_kind_decides_and_for_some_how_it_ended() -> None:
    assert severity("child_started", {}) == "info"
    assert severity("child_exited", {"normal": True}) == "info"
    assert severity("child_exited", {"normal": False}) == "warning"
    assert severity("gave_up", {"name": "market"}) == "error"
    assert severity("gave_up", {"name": "root"}) == "critical"
    assert severity("run_ended", {"run": {"state": "succeeded"}}) == "info"
    assert severity("run_ended", {"run": {"state": "failed"}}) == "error"
    assert severity("run_ended", {}) == "info"
    assert severity("tree_ended", {"why": "shutdown", "status": 0}) == "info"
    assert severity("tree_ended", {"why": "gave_up", "status": 1}) == "critical"
    assert severity("held", {"by": "alice"}) == "info"
    assert severity("held", {"by": None}) == "warning"
    assert severity("a kind of next year", {}) == "info"


def test_levels_are_ordered() -> None:
    assert [[at_least(one, other) for other in LEVELS] for one in LEVELS] == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]
