"""Crash loops: intensity, escalation, what the root does when it gives up; and a tree that ends by itself."""

from __future__ import annotations

import os
import time

import pytest

from tests.conftest import MakeTree

pytestmark = pytest.mark.same

LOOP = """
    [tree]
    intensity = 2
    period = "1m"
    on_give_up = {on_give_up}
    [workers.good]
    command = "sleep 1000"
    [workers.bad]
    command = "sh -c 'test -e go && exec sleep 1000; exit 3'"
    backoff = "0s"
"""


def test_a_root_that_holds_lives_on(tree: MakeTree) -> None:
    t = tree(LOOP.format(on_give_up='"hold"'))
    t.wait("bad", state="failed")
    bad = t.child("bad")
    assert (bad["incarnation"], bad["last_exit"]["code"], bad["next_attempt"]) == (3, 3, None)
    assert t.child("good")["state"] == "running"
    assert t.child("good")["restarts"] == 0
    assert t.status()["state"] == "degraded"
    # Its restarts are not charged to others.
    for restarts in (1, 2):
        t.kill(t.pids()["good"])
        t.wait_until("good", state="running", restarts=restarts)
    (t.dir / "go").touch()
    assert t.ask("start", names=["bad"])["state"] == "done"
    t.wait("good", "bad")


def test_a_root_that_gives_up_exits(tree: MakeTree) -> None:
    t = tree(LOOP.format(on_give_up='"exit"'), start=False)
    t.start(wait=False)
    assert t.wait_end() == 1
    t.assert_nothing_left(0.5)
    assert [line["name"] for line in t.journal("gave_up")] == ["root"]
    assert t.journal("tree_ended")[0]["status"] == 1


def test_a_root_that_tries_again_after_a_while(tree: MakeTree) -> None:
    t = tree(LOOP.format(on_give_up='"500ms"'))
    t.wait("bad", state="failed")
    (t.dir / "go").touch()
    t.wait("bad")
    assert t.child("good")["restarts"] == 0


def test_escalation_through_nested_supervisors(tree: MakeTree) -> None:
    """The innermost gives up at once, so do those above it, until one may restart all that is below it."""
    t = tree(
        """
        [defaults]
        backoff = "0s"
        [workers.outside]
        command = "sleep 1000"
        [supervisors.top]
        children = ["brother", "mid"]
        intensity = 1
        backoff = "0s"
        [workers.brother]
        command = "sleep 1000"
        [supervisors.mid]
        strategy = "one_for_all"
        children = ["cousin", "low"]
        intensity = 0
        [workers.cousin]
        command = "sleep 1000"
        [supervisors.low]
        children = ["nephew", "bad"]
        intensity = 0
        [workers.nephew]
        command = "sleep 1000"
        [workers.bad]
        command = "sh -c 'test -e stop-it && exec sleep 1000; read x < go; exit 3'"
        """,
        start=False,
    )
    os.mkfifo(t.dir / "go")
    t.start()
    t.wait("outside", "brother", "cousin", "nephew", "bad")
    before = t.pids()
    (t.dir / "go").write_text("1\n")
    t.wait_until("bad", state="running", pid=lambda pid: pid != before["bad"])
    t.wait("cousin", "nephew")
    after = t.pids()
    assert {name for name in before if after[name] != before[name]} == {"cousin", "nephew", "bad"}
    assert [line["name"] for line in t.events("gave_up")] == ["low", "mid"]
    (t.dir / "go").write_text("2\n")
    t.wait_until("bad", state="running", pid=lambda pid: pid != after["bad"])
    t.wait("outside", "brother", "cousin", "nephew")
    assert [line["name"] for line in t.events("gave_up")] == ["low", "mid", "low", "mid", "top"]
    last = t.pids()
    assert {name for name in before if last[name] == before[name]} == {"outside"}


POD = """
    [tree]
    name = "pod"
    auto_shutdown = "any_significant"
    intensity = 2
    on_give_up = "exit"
    [defaults]
    backoff = "0s"
    [workers.app]
    command = {app}
    restart = "temporary"
    significant = true
    [workers.proxy]
    command = {proxy}
"""


@pytest.mark.parametrize(("app", "status"), [("exit 0", 0), ("exit 42", 42), ("kill -KILL $$$$", 137)])
def test_a_container_ends_with_its_app(tree: MakeTree, app: str, status: int) -> None:
    t = tree(POD.format(app=f'["sh", "-c", "sleep 0.1; {app}"]', proxy='"sleep 1000"'), start=False)
    t.start(wait=False)
    assert t.wait_end() == status
    t.assert_nothing_left(0.5)


def test_a_container_ends_when_its_proxy_crash_loops(tree: MakeTree) -> None:
    t = tree(POD.format(app='"sleep 1000"', proxy='"false"'), start=False)
    t.start(wait=False)
    assert t.wait_end() == 1
    t.assert_nothing_left(0.5)


def test_the_apps_status_survives_the_roots_death(tree: MakeTree) -> None:
    t = tree(POD.format(app="\"sh -c 'read x < go; exit 42'\"", proxy='"sleep 1000"'), start=False)
    os.mkfifo(t.dir / "go")
    t.start()
    t.wait("app", "proxy")
    t.kill(t.root_pid())
    (t.dir / "go").write_text("1\n")
    assert t.wait_end() == 42


def test_temporary_ones_complete_or_fail_and_start_again(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.good]
        command = "true"
        restart = "temporary"
        [workers.bad]
        command = "sh -c 'exit 3'"
        restart = "temporary"
        [workers.three]
        command = "sh -c 'exit 3'"
        restart = "transient"
        success = [0, 3]
        [workers.killed]
        command = "sh -c 'kill -USR1 $$$$'"
        restart = "transient"
        success = ["USR1"]
        """
    )
    t.wait("good", "three", "killed", state="completed")
    t.wait("bad", state="failed")
    bad = t.child("bad")
    assert (bad["last_exit"]["code"], bad["restarts"]) == (3, 0)
    assert t.status()["state"] in ("running", "degraded")
    t.ask("start", names=["good", "bad"])
    t.wait_until("good", state="completed", incarnation=2)
    t.wait_until("bad", state="failed", incarnation=2)
    assert [child["name"] for child in t.status()["children"]] == ["good", "bad", "three", "killed"]


def test_a_program_that_is_not_there_is_a_failed_start(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.none]
        command = "no-such-program-here"
        [workers.good]
        command = "sleep 1000"
        """
    )
    t.wait("good")
    none = t.wait_until("none", state="backoff")
    assert "no-such-program-here" in none["reason"] or "No such file" in none["reason"]
    assert none["pid"] is None
    assert t.events("start_failed", "none")


def test_backoff_climbs(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        command = "false"
        backoff = { first = "0s", initial = "200ms", factor = 3.0, max = "10s", jitter = 0 }
        """
    )
    t.wait_until("a", restarts=lambda number: number >= 4)
    delays = [line["delay"] for line in t.events("restart_scheduled", "a")]
    assert delays[:4] == pytest.approx([0, 0.2, 0.6, 1.8])
    began = time.monotonic()
    t.ask("restart", names=["a"])
    assert time.monotonic() - began < 4  # the next one would come after 5.4 s
