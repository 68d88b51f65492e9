"""`max_age`: planned restarts of real workers, counted in no intensity."""

from __future__ import annotations

import pytest

from tests.conftest import MakeTree


@pytest.mark.slow
def test_a_worker_is_restarted_when_it_is_old_enough_again_and_again_also_by_a_new_root(tree: MakeTree) -> None:
    t = tree(
        """
        [supervisors.strict]
        children = ["short"]
        intensity = 0
        [workers.short]
        command = "sleep 1000"
        max_age = "2s"
        [workers.long]
        command = "sleep 1000"
        """
    )
    with t.follow("ctl", "events", "-f", "--json") as f:
        first = f.event("planned_restart", "short")
        assert (first["reason"], first["by"], first["incarnation"]) == ("older than 2 s", "max_age", 1)
        f.event("child_started", "short")
        root = t.root_pid()
        t.kill(root)
        t.wait_new_root(root)
        assert f.event("planned_restart", "short")["incarnation"] == 2
    t.wait_until("short", incarnation=lambda number: number >= 3, state="running", restarts=0)
    assert t.child("long")["incarnation"] == 1
    assert "short is restarted as planned: older than 2 s" in t.ctl("why", "short")


@pytest.mark.slow
def test_one_that_is_held_is_restarted_once_it_is_released_and_one_that_is_stopped_never(tree: MakeTree) -> None:
    t = tree(
        """
        [supervisors.group]
        children = ["a", "b", "c"]
        [workers.a]
        command = "sleep 1000"
        max_age = "1s"
        jitter = "100ms"
        [workers.b]
        command = "sleep 1000"
        max_age = "1s"
        [workers.c]
        command = "sleep 1000"
        max_age = "2s"
        """
    )
    t.ctl("hold", "a", "group")
    t.ctl("stop", "b")
    restarted = len(t.events("planned_restart", "b"))  # by then, on a slow machine
    before = t.pids()
    with t.follow("ctl", "events", "-f", "--json") as f:
        t.ctl("release", "group")  # c is not held by itself
        f.event("planned_restart", "c")
        f.event("child_started", "c")
        assert t.pids()["a"] == before["a"]
        t.ctl("release", "a")
        assert f.event("planned_restart", "a")["reason"] == "older than 1 s"
    assert len(t.events("planned_restart", "b")) == restarted
    t.ctl("stop", "c")


def test_a_new_max_age_holds_for_what_runs(tree: MakeTree) -> None:
    text = """
        [workers.a]
        command = "sleep 1000"
        max_age = "{}"
        """
    t = tree(text.format("1h"))
    with t.follow("ctl", "events", "-f", "--json") as f:
        t.write(text.format("10ms"))
        t.ctl("reload")
        f.event("planned_restart", "a")
        t.write(text.format("1h"))
        t.ctl("reload")
