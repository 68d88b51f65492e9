"""`ctl recover --dry-run` and `--replay` show what would be done and do nothing; `ctl locks` who holds what."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually
from tests.system.recovery.scripts import DAEMONS, GUARDIAN, OUTCOMES, put


@pytest.fixture
def t(tree: MakeTree) -> Tree:
    """A tree that does not run: what is asked here is in its file and folders."""
    job = f"""
[jobs.pre-market]
command = "python3 check.py"
{OUTCOMES}
recover = ["guardian"]
"""
    made = tree(f"{DAEMONS}{GUARDIAN}{job}", start=False)
    put(made.dir)
    return made


def test_a_dry_run_shows_the_steps_and_does_none(t: Tree) -> None:
    (t.dir / "out.txt").write_text("UW API: connection_error\n")
    said = t.ctl("recover", "pre-market", "--dry-run", "--exit", "2", "--output", "out.txt")
    assert said.splitlines() == [
        "guardian: fires (outcome unhealthy, matched uw)",
        f"  1. clear locks {t.dir}/state/*.lock",
        "  2. restart uw-daemon",
        "  3. alert (critical): skipped, sip did not match",
        "  4. restart trading-bot: skipped, sip did not match",
        "  5. wait 0.05 s",
        "  6. rerun",
    ]
    assert (t.dir / "state" / "dead.lock").exists()
    assert not (t.dir / "logs").exists()
    assert not (t.dir / "runs").exists()


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("0", "guardian: does not fire (outcome healthy)"),
        ("3", "guardian: does not fire (outcome unexpected)"),
        ("SIGKILL", "guardian: does not fire (outcome unexpected)"),
        ("timeout", "guardian: does not fire (outcome unexpected)"),
    ],
)
def test_a_dry_run_of_what_no_rule_is_for(t: Tree, end: str, said: str) -> None:
    assert t.ctl("recover", "guardian", "--dry-run", "--exit", end).strip() == said


def test_a_job_that_names_no_outcome_fires_nothing_and_a_rule_alone_is_guards(t: Tree) -> None:
    t.file.write_text(t.file.read_text().replace(OUTCOMES, ""))
    assert "does not fire" in t.ctl("recover", "pre-market", "--dry-run", "--exit", "2")
    t.file.write_text(t.file.read_text().replace('recover = ["guardian"]', ""))
    assert "fires (outcome unhealthy" in t.ctl("recover", "guardian", "--dry-run", "--exit", "2")


def test_mistakes_are_told_with_their_mend(t: Tree) -> None:
    def mistake(*arguments: str, status: int) -> str:
        answer: dict[str, Any] = json.loads(t.ctl("recover", *arguments, "--json", status=status))
        return f"{answer['error']['message']} — {answer['error']['mend']}"

    assert "did you mean guardian?" in mistake("guardin", "--dry-run", "--exit", "2", status=4)
    assert "recover = " in mistake("uw-daemon", "--dry-run", "--exit", "2", status=1)
    assert "--dry-run needs --exit" in mistake("guardian", "--dry-run", status=2)
    assert "that is no end" in mistake("guardian", "--dry-run", "--exit", "999", status=2)
    assert "--replay JOB" in mistake("guardian", status=2)
    assert "no such job" in mistake("guardian", "--replay", "pre", status=4)


def test_a_replay_goes_over_past_runs_with_cooldown_and_output_as_they_were(t: Tree) -> None:
    t.file.write_text(t.file.read_text().replace("[recover.guardian]", '[recover.guardian]\ncooldown = "10m"'))
    folder = t.state_dir / "jobs" / "pre-market"
    folder.mkdir(parents=True)

    def run(number: int, at: str, state: str, exit_: int | None, **more: Any) -> str:
        record = {"job": "pre-market", "run": f"r{number}", "state": state, "exit": exit_, "signal": None, "log": None}
        return json.dumps({**record, "ended": f"2026-11-20T{at}Z", **more})

    (folder / "r2.log").write_text("SIP: delay of 40 s\n")
    records = [
        run(1, "09:15:00.000", "succeeded", 0),
        run(2, "09:20:00.000", "failed", 2, log=str(folder / "r2.log")),
        run(3, "09:25:00.000", "failed", 2, output_tail=["uw: timeout"]),
        run(4, "09:40:00.000", "failed", 1, output_tail=["uw: timeout"]),
        run(5, "09:41:00.000", "skipped", None),
        run(6, "09:50:00.000", "failed", None, signal="SIGKILL"),
    ]
    (folder / "runs.jsonl").write_text("\n".join(records) + '\n{"torn')
    found = json.loads(t.ctl("recover", "guardian", "--replay", "pre-market", "--json"))
    assert [(each["run"], each["fires"], each["matched"]) for each in found] == [
        ("r1", False, []),
        ("r2", True, ["sip"]),
        ("r3", False, ["uw"]),
        ("r4", True, ["uw"]),
        ("r6", False, []),
    ]
    assert found[2]["reason"] == "cooldown: 5 min of 10 min left"
    table = t.ctl("recover", "guardian", "--replay", "pre-market").splitlines()
    assert table[0].split() == ["RUN", "ENDED", "EXIT", "OUTCOME", "RULE", "WOULD"]
    assert len(table) == 6
    assert "nothing: cooldown: 5 min of 10 min left" in table[3]


@pytest.mark.parametrize("log", ["", 'log = { file = "logs/pre_market.log" }\n'])
def test_a_replay_of_real_runs(t: Tree, log: str) -> None:
    """A recovery that runs it again is none of them; what one wrote is known where a log file is shared by all."""
    command = '["python3", "check.py", "1", "SIP delay"]'
    t.file.write_text(t.file.read_text().replace('"python3 check.py"\n', command + "\n" + log))
    t.start()
    t.ctl("run", "pre-market", "--wait", status=1)
    assert {run["cause"] for run in json.loads(t.ctl("runs", "pre-market", "--json"))} == {"manual", "rerun"}
    records = t.state_dir / "jobs" / "pre-market" / "runs.jsonl"
    eventually(lambda: records.exists() and records.read_text().count("\n") == 2, "both runs are on the disk")
    found = json.loads(t.ctl("recover", "guardian", "--replay", "pre-market", "--json"))
    assert [(each["fires"], each["matched"]) for each in found] == [(True, ["sip"])]


def test_locks_are_shown_held_or_stale(t: Tree) -> None:
    with open(t.dir / "state" / "held.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = {Path(each["path"]).name: each for each in json.loads(t.ctl("locks", "--json"))}
        assert {name: each["state"] for name, each in found.items()} == {"dead.lock": "stale", "held.lock": "held"}
        if Path("/proc/locks").exists() and "SUPERVISOR_TREE_PORTABLE" not in os.environ:
            assert found["held.lock"]["pid"] == os.getpid()
            assert "python" in found["held.lock"]["program"]
        assert found["dead.lock"]["pid"] is None
        table = t.ctl("locks").splitlines()
    assert table[0].split() == ["PATH", "STATE", "PID", "WHY"]
    assert "its process 999999999 is gone" in table[1]
    assert t.ctl("locks", "nothing/*.lock").startswith("no lock files: ")
    assert (t.dir / "state" / "dead.lock").exists()
