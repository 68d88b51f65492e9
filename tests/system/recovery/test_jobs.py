"""Recovery of jobs' runs: S1's document as a test, and what a rule does and does not do."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from typing import Any

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually
from tests.system.recovery.scripts import DAEMONS, GUARDIAN, OUTCOMES, alerts, logged, put


def job(
    name: str, *arguments: str, more: str = "", script: str = "check.py", rules: tuple[str, ...] = ("guardian",)
) -> str:
    command = json.dumps(["${tree.python}", script, *arguments])
    return f"""
[jobs.{name}]
command = {command}
{OUTCOMES}
recover = {json.dumps(rules)}
log = {{ file = "logs/{name}.log" }}
{more}
"""


def make(tree: MakeTree, text: str) -> Tree:
    t = tree(text, start=False)
    put(t.dir)
    return t.start()


def run(t: Tree, name: str, status: int) -> dict[str, Any]:
    """`ctl run NAME --wait`; the run's record."""
    t.ctl("run", name, "--wait", status=status)
    return [each for each in runs(t, name) if each["cause"] != "rerun"][-1]


def runs(t: Tree, name: str) -> list[dict[str, Any]]:
    """Newest last."""
    found: list[dict[str, Any]] = json.loads(t.ctl("runs", name, "--json"))
    return sorted(found, key=lambda each: str(each["created"]))


def rows(t: Tree) -> set[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(t.state_dir / "events.db")) as view:
        return set(view.execute("SELECT event_type, event_data ->> 'name' FROM system_events"))


def test_the_simulated_failure_of_the_document(tree: MakeTree) -> None:
    t = make(tree, f"{DAEMONS}{GUARDIAN}{job('pre-market', script='test_unhealthy.py')}")
    t.wait("uw-daemon")
    record = run(t, "pre-market", 2)
    # the log
    text = logged(t, "the original exit code: 2 stands")
    assert "Simulating unhealthy state" in re.findall(r"\[OUTPUT\] (.*)", text)
    assert "Recovery triggered for exit code: 2 (pre-market, outcome unhealthy; rule guardian)" in text
    assert re.search("recovery|restart|clear", text)
    assert f"removed {t.dir}/state/dead.lock: nobody has it locked, and its process 999999999 is gone" in text
    # the journal
    (triggered,) = t.events("recovery_triggered")
    assert (triggered["name"], triggered["rule"], triggered["run"]) == ("pre-market", "guardian", record["run"])
    (ended,) = t.events("recovery_ended")
    assert (ended["failures"], ended["exit"]) == (1, 2)
    assert "recovery guardian of pre-market was triggered: outcome unhealthy" in t.ctl("events")
    # SQL
    eventually(lambda: ("recovery_ended", "pre-market") in rows(t), lambda: f"the view has it; it has {rows(t)}")
    assert {("recovery_triggered", "pre-market"), ("recovery_step", "pre-market")} <= rows(t)
    # the record: the first exit status stands, the second run is recorded apart
    assert (record["exit"], record["outcome"], record["state"]) == (2, "unhealthy", "failed")
    done = [(step["verb"], step["ok"]) for step in record["steps"]]
    assert done == [
        ("clear_locks", True),
        ("restart", None),
        ("alert", None),
        ("restart", None),
        ("wait", True),
        ("rerun", False),
    ]
    again = [each for each in runs(t, "pre-market") if each["cause"] == "rerun"]
    assert [(each["of"], each["exit"]) for each in again] == [(record["run"], 2)]
    # the lock of the living daemon is where it was
    assert (t.dir / "state" / "uw_flow_daemon.lock").exists()


def test_both_patterns_and_the_order_of_the_steps(tree: MakeTree) -> None:
    text = job("both", "1", "uw api: Socket has failed", "SIP: 30 s delay")
    t = make(tree, f"{DAEMONS}{GUARDIAN}{text}")
    t.wait("uw-daemon", "trading-bot")
    bot = t.child("trading-bot")["incarnation"]
    record = run(t, "both", 1)
    assert [step["ok"] for step in record["steps"]] == [True, True, True, True, True, False]
    assert t.child("uw-daemon")["restarts"] == 0
    assert t.child("trading-bot")["incarnation"] == bot + 1
    assert len(alerts(t)) == 1
    (raised,) = [each for each in t.events("alert_raised") if each["severity"] == "critical"]
    assert raised["name"] == "both"
    kinds = [(each["event"], each.get("verb") or each["name"]) for each in t.events()]
    kinds = kinds[kinds.index(("recovery_triggered", "both")) :]
    order = [
        ("recovery_step", "clear_locks"),
        ("child_started", "uw-daemon"),
        ("alert_raised", "both"),
        ("child_started", "trading-bot"),
        ("recovery_step", "wait"),
        ("recovery_step", "rerun"),
    ]
    assert [kind for kind in dict.fromkeys(kinds) if kind in order] == order


def test_no_rule_fires_for_a_success_another_status_or_a_signal(tree: MakeTree) -> None:
    ends = {"good": ("0", 0), "odd": ("3", 3), "crash": ("SIGSEGV", 139)}
    jobs = "".join(job(name, end, "connection_error") for name, (end, _) in ends.items())
    t = make(tree, f"{DAEMONS}{GUARDIAN}{jobs}")
    for name, (_, status) in ends.items():
        assert run(t, name, status)["steps"] == []
    assert t.events("recovery_triggered") == []
    assert (t.dir / "state" / "dead.lock").exists()
    text = logged(t, "[ERROR] Unexpected signal: SIGSEGV")
    assert "good completed successfully, exit code: 0 (healthy)" in text
    assert "[ERROR] Unexpected exit code: 3" in text


def test_a_failing_step_ends_it_only_where_that_is_asked_for(tree: MakeTree) -> None:
    rules = """
[recover.on]
steps = [{ command = "false" }, { restart = "gone" }, { command = "sh -c 'echo out; touch went-on'" }]
[recover.off]
stop_on_failure = true
steps = [{ command = "sleep 100", timeout = "100ms" }, { command = "touch never" }]
[workers.gone]
command = "sleep 1000"
autostart = false
"""
    t = make(tree, f"{rules}{job('one', '2', rules=('on', 'off'))}")
    record = run(t, "one", 2)
    assert [(step["rule"], step["ok"]) for step in record["steps"]] == [
        ("on", False),
        ("on", False),
        ("on", True),
        ("off", False),
    ]
    assert "timed out" in record["steps"][3]["text"]
    assert (t.dir / "went-on").exists()
    assert not (t.dir / "never").exists()
    assert t.child("gone")["state"] == "stopped"


def test_cooldown_and_max_hold_over_runs_and_are_said(tree: MakeTree) -> None:
    rules = """
[recover.rare]
max = 2
per = "1d"
steps = [{ command = "sh -c 'echo x >> healed'" }]
log = { file = "logs/${run.id}_${run.time}.log" }
[recover.once]
cooldown = "1h"
steps = [{ command = "sh -c 'echo ${run.id} >> once'" }]
"""
    t = make(tree, f"{rules}{job('one', '2', rules=('rare', 'once'))}")
    for _ in range(3):
        run(t, "one", 2)
    assert (t.dir / "healed").read_text() == "x\nx\n"
    first = runs(t, "one")[0]["run"]
    assert (t.dir / "once").read_text() == f"{first}\n"
    assert [each["rule"] for each in t.events("recovery_suppressed")] == ["once", "rare", "once"]
    third = runs(t, "one")[2]["run"]
    (said,) = eventually(lambda: list((t.dir / "logs").glob(f"{third}_2*_*.log")), "its log is there")
    words = "Recovery suppressed for one (rule rare): 2 recoveries within 24 h: no more than max = 2"
    eventually(lambda: words in said.read_text(), "it is said there")


def test_rules_are_tuned_by_a_reload(tree: MakeTree) -> None:
    rule = '[recover.r]\nwhen = "unhealthy"\nsteps = [{ command = "touch first" }]\n'
    t = make(tree, f"{rule}{job('one', '1', rules=('r',))}")
    run(t, "one", 1)
    assert t.events("recovery_triggered") == []
    t.write(
        f"{rule}{job('one', '1', rules=('r',))}".replace('"unhealthy"\n', '"degraded"\n').replace("first", "second")
    )
    t.ctl("reload")
    run(t, "one", 1)
    assert len(t.events("recovery_triggered")) == 1
    assert (t.dir / "second").exists()
    assert not (t.dir / "first").exists()


def test_a_root_that_dies_goes_on_with_the_step_and_begins_nothing_again(tree: MakeTree) -> None:
    rule = """
[recover.long]
steps = [
  { command = "sh -c 'echo a >> steps'" },
  { command = "sh -c 'echo b >> steps; while [ ! -e go ]; do sleep 0.05; done'" },
  { wait = "100ms" },
  { command = "sh -c 'echo c >> steps'" },
  { rerun = true },
]
log = { file = "logs/guardian.log" }
"""
    t = make(tree, f"{rule}{job('one', '2', rules=('long',))}")
    t.ctl("run", "one")
    steps = t.dir / "steps"
    eventually(lambda: steps.exists() and steps.read_text() == "a\nb\n", "the second step runs")
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    (t.dir / "go").touch()
    eventually(lambda: t.events("recovery_ended"), lambda: f"the recovery ends: {t.events()[-12:]}")
    assert steps.read_text() == "a\nb\nc\n"
    assert len(t.events("recovery_triggered")) == 1
    assert [each["step"] for each in t.events("recovery_step")] == [1, 2, 3, 4, 5]
    eventually(lambda: [e for e in t.events("run_ended") if e["run"]["cause"] != "rerun"], "the run ends")
    record = next(each for each in runs(t, "one") if each["cause"] != "rerun")
    assert [step["ok"] for step in record["steps"]] == [True, True, True, True, False]
    assert (t.dir / "runs").read_text() == "2\n2\n"


def test_a_root_that_dies_while_it_restarts_a_worker_waits_for_that_restart(tree: MakeTree) -> None:
    slow = """
[workers.slow]
command = "sh -c 'echo up >> ups; while [ ! -e ready ]; do sleep 0.05; done; echo now; exec sleep 1000'"
ready = { output = "now" }
shutdown = "brutal_kill"
[recover.r]
steps = [{ restart = "slow" }, { command = "touch after" }]
"""
    t = make(tree, f"{slow}{job('one', '2', rules=('r',))}")
    (t.dir / "ready").touch()
    t.wait_until("slow", ready=True)
    (t.dir / "ready").unlink()
    t.ctl("run", "one")
    eventually(lambda: (t.dir / "ups").read_text() == "up\nup\n", "it is restarted")
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    assert not (t.dir / "after").exists()  # waits until ready
    (t.dir / "ready").touch()
    eventually((t.dir / "after").exists, "the step after it")
    assert (t.dir / "ups").read_text() == "up\nup\n"
    (step,) = [each for each in t.events("recovery_step") if each["verb"] == "restart"]
    assert (step["ok"], step["text"]) == (True, "slow restarted and ready")


def test_locks_of_the_trees_own_are_never_cleared(tree: MakeTree) -> None:
    rule = '[recover.r]\nsteps = [{ clear_locks = [".supervisor-tree/**/*", "state/*.lock"] }]\n'
    t = make(tree, f"{rule}{job('one', '2', rules=('r',))}")
    # No others: some come and go with a write.
    mine = {"lock", "run.json", "journal", "logs", "logs.json"}
    eventually(lambda: mine <= set(os.listdir(t.state_dir)), lambda: f"all are there; {os.listdir(t.state_dir)}")
    run(t, "one", 2)
    assert mine <= set(os.listdir(t.state_dir))
    assert t.status()["state"] == "running"
    assert not (t.dir / "state" / "dead.lock").exists()


def test_one_run_at_once_is_enough_for_a_rerun(tree: MakeTree) -> None:
    text = f"[tree]\nmax_runs = 1\n[recover.r]\nsteps = [{{ rerun = true }}]\n{job('one', '2', rules=('r',))}"
    t = make(tree, text)
    record = run(t, "one", 2)
    assert [step["verb"] for step in record["steps"]] == ["rerun"]
    assert (t.dir / "runs").read_text() == "2\n2\n"


def test_a_job_that_is_stopped_and_a_tree_that_ends_wait_for_no_recovery(tree: MakeTree) -> None:
    rule = """
[recover.long]
steps = [{ command = "sh -c 'touch begun; sleep 1000'" }, { wait = "1h" }]
[recover.wait]
steps = [{ wait = "1h" }]
"""
    t = make(tree, f"{rule}{job('one', '2', rules=('long',))}{job('two', '2', rules=('wait',))}")
    t.ctl("run", "one")
    eventually((t.dir / "begun").exists, "its step runs")
    t.ctl("stop", "one")
    (ended,) = t.events("recovery_ended")
    assert (ended["cancelled"], ended["ok"]) == (True, False)
    t.ctl("run", "two")
    eventually(lambda: len(t.events("recovery_triggered")) == 2, "the other one's runs")
    assert t.stop() == 0
