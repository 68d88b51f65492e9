"""`supervisor-tree guard`, the drop-in for guardian_wrapper.sh: its logs, its words, its exit status, with and without
a tree."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually
from tests.system.recovery.scripts import DAEMONS, GUARDIAN, OUTCOMES, alerts, guard, log, put

LINE = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\] \[(INFO|WARN|ERROR|CRITICAL|OUTPUT)\] .*")


@pytest.fixture
def alone(tmp_path: Path) -> Tree:
    """A folder with scripts, without a tree file and without a tree."""
    t = Tree(tmp_path / "alone")
    put(t.dir)
    return t


def test_the_built_in_recipe_does_all_that_needs_no_tree(alone: Tree) -> None:
    held = open(alone.dir / "state" / "held.lock", "w")  # noqa: SIM115 - held for the test's life
    fcntl.flock(held, fcntl.LOCK_EX)
    done = guard(alone, "check.py", "2", "UW API: connection_error", "SIP Feed: Error, 40 s")
    held.close()
    assert done.returncode == 2
    text = log(alone)
    assert done.stdout == text  # cron's line sends it to logs/pre_market.log
    assert all(LINE.fullmatch(line) for line in text.splitlines())
    assert "Recovery triggered for exit code: 2" in text
    assert not (alone.dir / "state" / "dead.lock").exists()
    assert (alone.dir / "state" / "held.lock").exists()
    assert f"kept {alone.dir}/state/held.lock: locked by " in text
    assert "impossible: no tree is running that could restart uw-daemon" in text
    assert "impossible: no tree is running that could restart trading-bot" in text
    assert "Waiting 5 s" in text
    assert (alone.dir / "runs").read_text() == "2\n2\n"
    assert "Re-verification failed, exit code: 2" in text
    assert "the original exit code: 2 stands" in text
    # the four files of the document, by its names
    assert "UW API: connection_error" in (alone.dir / "logs" / "guardian_check_output.log").read_text()
    assert "UW API: connection_error" in (alone.dir / "logs" / "guardian_retry_check.log").read_text()
    (alert,) = alerts(alone)
    assert re.fullmatch(r"alpaca_sip_alert_\d{8}_\d{6}\.txt", alert)
    assert "CRITICAL ALERT" in (alone.dir / "logs" / alert).read_text()
    # again at once: not for ever
    again = guard(alone, "check.py", "2", "UW API: connection_error")
    assert again.returncode == 2
    assert "Recovery suppressed for check.py (rule guardian): cooldown" in again.stdout
    assert (alone.dir / "runs").read_text() == "2\n2\n2\n"


def quick(t: Tree, more: str = "") -> None:
    """The guardian's rule without its five seconds, in a tree that does not run."""
    t.write(
        f"[workers.uw-daemon]\ncommand = 'sleep 1000'\n[workers.trading-bot]\ncommand = 'sleep 1000'\n{GUARDIAN}{more}"
    )


def test_a_healthy_script_exits_0_and_nothing_is_done(alone: Tree) -> None:
    quick(alone)
    done = guard(alone, "check.py", "0", "connection_error")
    assert done.returncode == 0
    assert "check.py completed successfully, exit code: 0 (healthy)" in log(alone)
    assert "Recovery" not in log(alone)
    assert (alone.dir / "state" / "dead.lock").exists()


@pytest.mark.parametrize(("status", "named"), [("1", "degraded"), ("2", "unhealthy")])
def test_degraded_and_unhealthy_are_recovered_from_and_verified_again(alone: Tree, status: str, named: str) -> None:
    quick(alone)
    assert guard(alone, "check.py", status).returncode == int(status)
    text = log(alone)
    assert f"Recovery triggered for exit code: {status} (check.py, outcome {named}; rule guardian)" in text
    assert not (alone.dir / "state" / "dead.lock").exists()
    assert "Re-verification failed" in text
    assert "Restarting" not in text  # nothing matched


@pytest.mark.parametrize(("status", "code", "words"), [("3", 3, "exit code: 3"), ("SIGSEGV", 139, "signal: SIGSEGV")])
def test_another_end_is_logged_as_unexpected_and_not_recovered_from(
    alone: Tree, status: str, code: int, words: str
) -> None:
    quick(alone)
    assert guard(alone, "check.py", status).returncode == code
    assert f"[ERROR] Unexpected {words}; no recovery rule is for it" in log(alone)
    assert "Recovery triggered" not in log(alone)
    assert (alone.dir / "state" / "dead.lock").exists()


def test_a_crash_of_the_check_itself_is_told_from_what_it_finds(alone: Tree) -> None:
    quick(alone)
    finding = '[recover.finding]\nwhen = "degraded"\nmatch = { finding = "STATUS: DEGRADED" }\n'
    steps = "steps = { command = 'touch healed', if = 'finding' }\nlog = { file = 'logs/guardian.log' }\n"
    alone.file.write_text(alone.file.read_text() + finding + steps)
    (alone.dir / "crashes.py").write_text("import no_such_package\n")
    assert guard(alone, "--recover", "finding", "crashes.py").returncode == 1
    text = log(alone)
    assert (
        "The output ends with a Python traceback: it may be the program itself that failed (ModuleNotFoundError" in text
    )
    assert not (alone.dir / "healed").exists()
    assert guard(alone, "--recover", "finding", "check.py", "1", "STATUS: DEGRADED").returncode == 1
    assert (alone.dir / "healed").exists()
    assert log(alone).count("traceback") == 1


def test_the_greps_of_the_document_hit(alone: Tree) -> None:
    quick(alone)
    assert guard(alone, "test_unhealthy.py").returncode == 2
    for pattern in (r"-i recovery\|restart\|clear", "exit code", "Recovery triggered"):
        found = subprocess.run(
            ["grep", *pattern.split(" ", pattern.startswith("-")), "logs/guardian.log"],
            cwd=alone.dir,
            check=False,
            capture_output=True,
        )
        assert found.returncode == 0, pattern


def test_the_last_50_lines_of_what_failed_are_in_the_log(alone: Tree) -> None:
    quick(alone)
    guard(alone, "check.py", "2", *(f"line {number}" for number in range(100)))
    assert re.findall(r"\[OUTPUT\] (.*)", log(alone)) == [f"line {number}" for number in range(50, 100)]


def test_arguments_are_the_scripts_own_options_too(alone: Tree) -> None:
    (alone.dir / "tell.py").write_text("import sys, json; print(json.dumps(sys.argv[1:]))")
    quick(alone)
    assert guard(alone, "tell.py", "--json", "-c", "x", "--help", "--", "-t").returncode == 0
    told = (alone.dir / "logs" / "guardian_tell_output.log").read_text()
    assert json.loads(told) == ["--json", "-c", "x", "--help", "--", "-t"]


def test_what_is_no_script_is_ours_125(alone: Tree) -> None:
    done = guard(alone, "nothere.py")
    assert done.returncode == 125
    assert "Script not found: nothere.py" in log(alone)
    assert "nothere.py: there is no such script" in done.stderr
    quick(alone)
    unknown = guard(alone, "--recover", "guardin", "check.py", "2")
    assert unknown.returncode == 125
    assert "did you mean guardian?" in unknown.stderr


def test_a_tree_file_with_a_mistake_keeps_no_check_from_being_run(alone: Tree) -> None:
    alone.write("[workers.a]\ncomand = 'x'\n")
    done = guard(alone, "check.py", "2")
    assert done.returncode == 2
    assert "No recovery is possible: the tree file can't be used: tree.toml:1: workers.a" in log(alone)
    assert (alone.dir / "runs").read_text() == "2\n"


def test_the_rules_are_those_of_the_job_that_runs_the_script(alone: Tree) -> None:
    job = f"""
[jobs.of-its-run]
command = "echo ${{run.id}}"
cwd = "${{run.id}}"
[jobs.pre-market]
command = ["{sys.executable}", "check.py", "0"]
{OUTCOMES.replace("other", '7 = "no quota", other')}
recover = ["quota"]
[recover.quota]
when = "no quota"
steps = [{{ command = "touch healed" }}, {{ command = "false" }}, {{ command = "touch after" }}]
log = {{ file = "logs/quota.log", tail = 1 }}
"""
    quick(alone, job)
    assert guard(alone, "check.py", "7").returncode == 7
    text = (alone.dir / "logs" / "quota.log").read_text()
    assert "Recovery triggered for exit code: 7 (pre-market, outcome no quota; rule quota)" in text
    # a failing step ends nothing
    assert "[ERROR] Step 2/3 command failed: exit code: 1" in text
    assert (alone.dir / "healed").exists()
    assert (alone.dir / "after").exists()
    assert (alone.dir / "logs" / "guardian_check_output.log").exists()


def test_a_script_whose_command_tells_its_run_is_run_by_its_own_interpreter(alone: Tree) -> None:
    quick(alone, '[jobs.check]\ncommand = "env RUN=${run.id} python3 check.py"\n')
    assert guard(alone, "check.py", "0").returncode == 0
    assert (alone.dir / "runs").read_text() == "0\n"


def test_a_disk_that_takes_no_log_changes_no_exit_status(alone: Tree) -> None:
    (alone.dir / "logs").write_text("in the way")
    with open("/dev/full" if os.path.exists("/dev/full") else os.devnull, "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "supervisor_tree", "guard", "check.py", "3", "x"],
            cwd=alone.dir,
            env=alone.environ,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 3, done.stderr
    assert (alone.dir / "runs").read_text() == "3\n"
    assert "logs" in done.stderr


def test_how_often_is_bounded_over_many_invocations_without_a_tree(alone: Tree) -> None:
    quick(alone)
    text = alone.file.read_text().replace("[recover.guardian]", "[recover.guardian]\nmax = 2\nper = '1d'")
    alone.file.write_text(text)
    for _ in range(4):
        assert guard(alone, "check.py", "2").returncode == 2
    assert log(alone).count("Recovery triggered") == 2
    assert log(alone).count("Recovery suppressed") == 2
    assert "no more than max = 2" in log(alone)


def test_asked_to_end_it_ends_the_script_first(alone: Tree) -> None:
    quick(alone)
    (alone.dir / "slow.py").write_text(
        "import os, threading\n"
        "open('pid', 'w').write(str(os.getpid()))\n"
        "os.rename('pid', 'there')\n"
        "threading.Event().wait()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor_tree", "guard", "slow.py"],
        cwd=alone.dir,
        env=alone.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    there = alone.dir / "there"
    eventually(there.exists, "the script runs", 30)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(there.read_text()), 0)
    assert "Ended by SIGTERM" in log(alone)


def test_logs_are_turned_when_they_are_large(alone: Tree) -> None:
    quick(alone)
    alone.file.write_text(alone.file.read_text().replace("tail = 50", "tail = 50, max_size = 1000, keep = 2"))
    for _ in range(4):
        guard(alone, "check.py", "2", "x" * 500)
    names = sorted(name for name in os.listdir(alone.dir / "logs") if name.startswith("guardian.log"))
    assert names == ["guardian.log", "guardian.log.1", "guardian.log.2"]
    assert all(LINE.fullmatch(line) for name in names for line in (alone.dir / "logs" / name).read_text().splitlines())


# With a running tree


def test_with_a_tree_the_tree_restarts_and_knows_of_it(tree: MakeTree) -> None:
    t = tree(f"{DAEMONS}{GUARDIAN}", start=False)
    put(t.dir)
    t.start()
    t.wait("trading-bot")
    before = t.wait_until("uw-daemon", ready=True)
    bot = t.child("trading-bot")["pid"]
    done = guard(t, "check.py", "2", "UW API: connection_error")
    assert done.returncode == 2, done.stderr
    text = log(t)
    assert "Step 2/6 restart: uw-daemon restarted and ready" in text
    after = t.child("uw-daemon")
    assert (after["incarnation"], after["restarts"]) == (before["incarnation"] + 1, 0)  # counted in no intensity
    assert t.child("trading-bot")["pid"] == bot
    # its lock is held by the daemon all the time, the dead one goes (seed weakness §1d 4)
    assert (t.dir / "state" / "uw_flow_daemon.lock").exists()
    assert not (t.dir / "state" / "dead.lock").exists()
    assert "another instance" not in t.log("uw-daemon").lower()
    (triggered,) = t.events("recovery_triggered")
    assert (triggered["name"], triggered["rule"], triggered["exit"]) == ("check.py", "guardian", 2)
    assert triggered["matched"] == ["uw"]
    steps = t.events("recovery_step")
    assert [(step["verb"], step["ok"]) for step in steps] == [
        ("clear_locks", True),
        ("restart", True),
        ("wait", True),
        ("rerun", False),
    ]
    (ended,) = t.events("recovery_ended")
    assert (ended["ok"], ended["failures"]) == (False, 1)


def test_another_tree_that_happens_to_run_is_not_meant(tree: MakeTree, alone: Tree) -> None:
    t = tree(f"{DAEMONS}{GUARDIAN}", start=False)
    put(t.dir)
    t.start()
    assert guard(alone, "check.py", "3").returncode == 3
    assert "(no tree is running)" in log(alone)
    assert log(t) == ""


def test_with_a_tree_an_alert_is_the_trees_and_the_file_is_written(tree: MakeTree) -> None:
    t = tree(f"{DAEMONS}{GUARDIAN}", start=False)
    put(t.dir)
    t.start()
    t.wait("trading-bot")
    before = t.child("trading-bot")["incarnation"]
    assert guard(t, "check.py", "1", "sip_feed: error").returncode == 1
    assert "the tree raised it" in log(t)
    (raised,) = t.events("alert_raised")
    assert raised["severity"] == "critical"
    assert len(alerts(t)) == 1
    assert t.child("trading-bot")["incarnation"] == before + 1


def test_the_tree_counts_how_often_and_a_stopped_worker_stays_stopped(tree: MakeTree) -> None:
    rule = GUARDIAN.replace("[recover.guardian]", '[recover.guardian]\ncooldown = "1h"')
    t = tree(f"{DAEMONS}{rule}", start=False)
    put(t.dir)
    t.start()
    t.ctl("stop", "uw-daemon", "--reason", "maintenance")
    assert guard(t, "check.py", "2", "connection_error").returncode == 2
    assert "Step 2/6 restart failed: uw-daemon was stopped by " in log(t)
    assert t.child("uw-daemon")["state"] == "stopped"
    assert guard(t, "check.py", "2", "connection_error").returncode == 2
    assert "Recovery suppressed for check.py (rule guardian): cooldown" in log(t)
    assert [event["rule"] for event in t.events("recovery_suppressed")] == ["guardian"]
