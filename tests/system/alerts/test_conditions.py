"""What is told by itself: crash loops, failing jobs, probes, recovery steps; and that it is over."""

from __future__ import annotations

from typing import Any

from tests.conftest import MakeTree
from tests.support.reading import json_lines
from tests.support.tree import Tree
from tests.support.waiting import eventually

ALERTS = """
    [alerts]
    command = "cat >> events.jsonl"
    shell = true
"""


def events(t: Tree) -> list[dict[str, Any]]:
    """What `alerts.command` was given, in order."""
    return json_lines(t.dir / "events.jsonl")


def told(t: Tree) -> list[dict[str, Any]]:
    """Every alert that `alerts.command` was told of, in order."""
    return [each for event in events(t) for each in event["alerts"]]


def wait_told(t: Tree, event: str, kind: str, name: str, timeout: float = 30.0) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        fits = [each for each in told(t) if (each["event"], each["kind"], each["name"]) == (event, kind, name)]
        return fits[0] if fits else None

    answer = eventually(found, lambda: f"{event} {kind} {name}; told was {told(t)}", timeout)
    assert answer is not None
    return answer


def test_a_crash_loop_is_told_once_and_over_when_it_stays_up(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.bad]
        command = "test -e well && exec sleep 1000; echo no; exit 3"
        shell = true
        backoff = { first = "10ms", initial = "10ms", max = "50ms", reset = "1s" }
        """
        + ALERTS
    )
    with t.follow("ctl", "events", "-f", "--json", "--type", "alert_raised", "--type", "alert_resolved") as f:
        raised = wait_told(t, "alert_raised", "crash_loop", "bad")
        assert raised["severity"] == "error"
        assert "bad does not stay up: restart" in raised["title"]
        assert "exit status 3" in raised["title"]
        assert f.event("alert_raised", "bad")["kind"] == "crash_loop"  # alerts are events that anybody can follow
        (t.dir / "well").touch()
        over = wait_told(t, "alert_resolved", "crash_loop", "bad")
        assert over["seconds"] >= 1.0
        f.event("alert_resolved", "bad")
    assert len(t.events("alert_raised", "bad")) == 1  # however often it was restarted
    assert [each["event"] for each in told(t)] == ["alert_raised", "alert_resolved"]


def test_one_that_is_stopped_by_hand_needs_nobody_any_more(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.bad]
        command = "sh -c 'exit 3'"
        backoff = { first = "10ms", initial = "10ms", max = "50ms", reset = "1h" }
        """
        + ALERTS
    )
    wait_told(t, "alert_raised", "crash_loop", "bad")
    t.ctl("stop", "bad")
    wait_told(t, "alert_resolved", "crash_loop", "bad")


def test_a_job_that_keeps_failing_is_told_after_so_many_times_and_over_when_it_succeeds(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.nightly]
        command = "sh -c 'echo exporting; test -e ok'"
        alert_after = 2
        """
        + ALERTS
    )
    t.ctl("run", "nightly", "--wait", status=1)
    eventually(lambda: t.events("run_ended", "nightly"))
    assert t.events("alert_raised") == []
    t.ctl("run", "nightly", "--wait", status=1)
    raised = wait_told(t, "alert_raised", "job_failing", "nightly")
    assert raised["severity"] == "error"
    assert "nightly" in raised["title"]
    second = t.events("run_started", "nightly")[1]
    assert t.events("alert_raised", "nightly")[0]["seq"] > second["seq"]  # not after the first time
    text = events(t)[0]["text"]
    assert "last lines of its output:\n  exporting" in text
    assert f"supervisor-tree ctl runs nightly -c {t.file}" in text
    (t.dir / "ok").touch()
    t.ctl("run", "nightly", "--wait")
    wait_told(t, "alert_resolved", "job_failing", "nightly")


def test_a_probe_that_only_alerts_and_one_that_holds(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.flagged]
        command = "sleep 1000"
        health = { file = "freeze.flag", exists = false, then = "alert", every = "100ms", failures = 1 }
        [workers.risky]
        command = "sleep 1000"
        health = { file = "freeze.flag", exists = false, then = "hold", every = "100ms", failures = 1 }
        """
        + ALERTS
    )
    t.wait("flagged", "risky")
    pid = t.pids()["flagged"]
    (t.dir / "freeze.flag").touch()
    assert wait_told(t, "alert_raised", "probe", "flagged")["severity"] == "warning"
    assert wait_told(t, "alert_raised", "probe", "risky")["severity"] == "error"
    t.wait_until("risky", state="held")
    (t.dir / "freeze.flag").unlink()
    wait_told(t, "alert_resolved", "probe", "flagged")
    assert t.pids()["flagged"] == pid


def test_a_step_of_a_recovery_tells_with_what_it_knows(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.trading-bot]
        command = "sleep 1000"
        [jobs.pre-market]
        command = "sh -c 'echo SIP feed delay; exit 2'"
        outcome = { 1 = "degraded", 2 = "unhealthy" }
        recover = "guardian"
        [recover.guardian]
        match = { sip = "SIP.*delay" }
        steps = [
          { alert = "critical", if = "sip", file = "logs/alpaca_sip_alert_${run.time}.txt" },
          { restart = "trading-bot", if = "sip" },
        ]
        """
        + ALERTS
    )
    t.ctl("run", "pre-market", "--wait", status=2)
    raised = wait_told(t, "alert_raised", "alert", "pre-market")
    assert raised["severity"] == "critical"
    assert raised["context"]["rule"] == "guardian"
    assert raised["context"]["matched"] == ["sip"]
    assert any("matched  sip\n" in event["text"] for event in events(t))
    assert raised["context"]["tail"] == ["SIP feed delay"]
    # The step writes its file beside the telling.
    (file,) = eventually(lambda: list((t.dir / "logs").glob("alpaca_sip_alert_*.txt")), "the file is there")
    eventually(lambda: "SIP feed delay" in file.read_text(), "it is written")


def test_what_is_wrong_is_remembered_by_the_next_tree_and_not_told_again(tree: MakeTree) -> None:
    text = (
        """
        [workers.migrate]
        command = "sh -c 'test -e well && sleep 1000; exit 1'"
        restart = "temporary"
        backoff = { reset = "0s" }
        """
        + ALERTS
        + '    repeat = "6h"\n'
    )
    t = tree(text)
    wait_told(t, "alert_raised", "failed", "migrate")
    assert t.stop() == 0
    assert [each["event"] for each in told(t)] == ["alert_raised"]  # the tree's own end is no end of the trouble
    t.start()
    eventually(lambda: t.events("failed", "migrate")[1:], "it fails again")
    assert t.stop() == 0
    (t.dir / "well").touch()
    t.start()
    wait_told(t, "alert_resolved", "failed", "migrate")
    assert [each["event"] for each in told(t)] == ["alert_raised", "alert_resolved"]


def test_a_tree_that_was_cut_off_says_so_at_the_next_start(tree: MakeTree) -> None:
    t = tree('[workers.good]\ncommand = "sleep 1000"\n' + ALERTS)
    assert t.keeper is not None
    t.kill(t.keeper.pid)
    t.keeper.wait()
    t.assert_nothing_left(10)
    t.start()
    eventually(lambda: [each for each in told(t) if each["kind"] == "last_life_cut_off"])
    assert t.stop() == 0
    t.start()
    assert len(t.events("last_life_cut_off")) == 1  # an orderly end is none


def test_below_the_level_it_is_in_the_journal_only(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.flagged]
        command = "sleep 1000"
        health = { file = "freeze.flag", exists = false, then = "alert", every = "100ms", failures = 1 }
        [workers.migrate]
        command = "sh -c 'exit 1'"
        restart = "temporary"
        autostart = false
        """
        + ALERTS
        + '    level = "error"\n',
        start=False,
    )
    (t.dir / "freeze.flag").touch()
    t.start()
    eventually(lambda: t.events("probe_failed", "flagged"))
    t.ctl("start", "migrate")  # later than that, so told after it, were that told
    wait_told(t, "alert_raised", "failed", "migrate")
    assert {each["name"] for each in told(t)} == {"migrate"}
