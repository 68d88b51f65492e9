"""What recoveries go by outlives the tree; what they have mended is no alert."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually
from tests.system.jobs.looking import wait_runs
from tests.system.recovery.test_jobs import job, make, run

RARE = """
[recover.rare]
cooldown = "1h"
steps = [{ command = "sh -c 'echo x >> healed'" }]
[recover.few]
max = 1
per = "1d"
steps = [{ command = "sh -c 'echo x >> few'" }]
"""


def at(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["time"]).timestamp()


def suppressed(t: Tree, rule: str) -> list[dict[str, Any]]:
    return [line for line in t.events("recovery_suppressed") if line["rule"] == rule]


def test_cooldown_and_max_hold_over_a_stop_and_a_start_of_the_tree(tree: MakeTree) -> None:
    t = make(tree, f"{RARE}{job('one', '2', rules=('rare', 'few'))}")
    run(t, "one", 2)
    (over,) = [line for line in t.events("recovery_ended") if line["rule"] == "rare"]
    t.stop()
    t.start()
    run(t, "one", 2)
    assert (t.dir / "healed").read_text() == (t.dir / "few").read_text() == "x\n"
    (said,) = suppressed(t, "rare")
    told = re.fullmatch(r"cooldown: ([\d.]+) min of 1 h left", said["reason"])
    assert told, said
    # As exact as it is written: in three digits.
    assert abs(float(told[1]) - (3600 - (at(said) - at(over))) / 60) < 0.1
    assert suppressed(t, "few")[0]["reason"] == "1 recoveries within 24 h: no more than max = 1"
    root = t.root_pid()
    t.kill(root)  # and over what follows, in this life
    t.wait_new_root(root)
    run(t, "one", 2)
    assert len(suppressed(t, "rare")) == len(suppressed(t, "few")) == 2


def test_a_file_that_nobody_can_read_begins_to_count_anew_and_is_said(tree: MakeTree) -> None:
    t = make(tree, f"{RARE}{job('one', '2', rules=('rare',))}")
    run(t, "one", 2)
    t.stop()
    (t.state_dir / "recovery.json").write_text('{"seen": 1')
    t.start()
    run(t, "one", 2)
    assert (t.dir / "healed").read_text() == "x\nx\n"
    (said,) = eventually(lambda: t.events("file_put_aside"), "it is said")
    assert said["path"].endswith("recovery.json")


FLAG = """
import os, sys
sys.exit(0 if os.path.exists("mended") else int(sys.argv[1]))
"""
MENDS = """
[recover.mends]
when = ["unhealthy", "unexpected"]
match = {}
steps = [{ command = "sh -c 'test -e may-mend && touch mended'" }, { alert = "warning" }, { rerun = true }]
"""


def test_a_run_that_its_recovery_has_mended_is_no_alert_but_what_the_rule_says(tree: MakeTree) -> None:
    t = make(tree, f"{MENDS}{job('check', '2', script='flag.py', rules=('mends',))}")
    (t.dir / "flag.py").write_text(FLAG)
    (t.dir / "may-mend").touch()
    record = run(t, "check", 2)
    assert (record["state"], record["exit"], record["outcome"]) == ("failed", 2, "unhealthy")
    assert [(each["kind"], each["severity"]) for each in t.events("alert_raised")] == [("alert", "warning")]
    assert t.events("job_failing") == []
    assert "a repetition of check succeeded" in eventually(
        lambda: text if "repetition" in (text := t.ctl("why", "check")) else "", "its end is written down"
    )


def test_one_exit_is_one_alert_that_says_all(tree: MakeTree) -> None:
    t = make(tree, f"{MENDS}{job('check', '7', script='flag.py', rules=('mends',))}")
    (t.dir / "flag.py").write_text(FLAG)
    run(t, "check", 7)
    run(t, "check", 7)
    assert [line["exit"] for line in t.events("job_unexpected_exit")] == [7, 7]
    lines = t.events("job_failing")
    assert [(line["failures"], line["exit"], line["unexpected"]) for line in lines] == [(1, 7, True), (2, 7, True)]
    titles = [each["title"] for each in t.events("alert_raised") if each["kind"] != "alert"]
    assert titles == [
        "check has failed: exit status 7 (unexpected: its `outcome` does not name it)",
        "check keeps failing, 2 times in a row: exit status 7 (unexpected: its `outcome` does not name it)",
    ]


SHARED = """
[recover.shared]
steps = [
  { command = "sh -c 'echo begun >> shared; while [ ! -e go ]; do sleep 0.05; done; echo ended >> shared'" },
  { rerun = true },
]
"""


def test_a_rule_of_two_runs_that_fail_at_once_answers_both_one_after_the_other(tree: MakeTree) -> None:
    t = make(tree, SHARED + "".join(job(name, "2", rules=("shared",)) for name in ("one", "two")))

    def shared() -> list[str]:
        file = t.dir / "shared"
        return file.read_text().splitlines() if file.exists() else []

    t.ctl("run", "one")
    eventually(lambda: shared() == ["begun"], "the first one is answered")
    t.ctl("run", "two")
    eventually(
        lambda: (t.ask("jobs", names=["two"])[0]["running"] or {}).get("exit") == 2, "the second one waits for its turn"
    )
    root = t.root_pid()
    t.kill(root)  # a new root knows whose turn it is
    t.wait_new_root(root)
    (t.dir / "go").touch()
    for name in ("one", "two"):
        (ended,) = wait_runs(t, name, 1, state="failed", cause="manual")
        assert [step["ok"] for step in ended["steps"]] == [True, False]
    assert shared() == ["begun", "ended", "begun", "ended"]
    assert t.events("recovery_suppressed") == []
