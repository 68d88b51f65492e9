"""Pipelines: stages in order, instances, what is critical, resume from the failed stage, verify; seen live."""

from __future__ import annotations

import json

from tests.conftest import MakeTree
from tests.support.processes import commands
from tests.support.waiting import eventually
from tests.system.jobs.looking import lines, runs, status, wait_runs


def test_stages_in_order_with_instances_and_one_that_is_not_critical(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.nightly]
        env = { WHO = "job", STAGE = "job" }
        stages = [
          { name = "export", command = "sh -c 'echo export $WHO $STAGE >> said'", env = { STAGE = "own" } },
          { name = "train", instances = ["1w", "3m", "6m"], at_least = 1, command = "sh t.sh ${self.instance}" },
          { name = "evaluate", command = "sh -c 'echo evaluate >> said; exit 5'", critical = false },
          { name = "upload", command = ["sh", "-c", "echo upload $SUPERVISOR_TREE_NAME >> said"] },
        ]
        """,
        start=False,
    )
    (t.dir / "t.sh").write_text("echo train $1 >> said\ntest $1 != 3m\n")
    t.start()
    run = json.loads(t.ctl("run", "nightly", "--wait", "--json"))
    assert (run["state"], run["exit"]) == ("succeeded", 0)
    said = lines(t, "said")
    assert said[0] == "export job own"
    assert sorted(said[1:4]) == ["train 1w", "train 3m", "train 6m"]
    assert said[4:] == ["evaluate", "upload nightly:upload"]
    export, train, evaluate, upload = run["stages"]
    assert [each["success"] for each in (export, train, evaluate, upload)] == [True, True, False, True]
    assert {task["instance"]: task["state"] for task in train["instances"]} == {
        "1w": "succeeded", "3m": "failed", "6m": "succeeded",
    }  # fmt: skip
    assert evaluate["exit"] == 5
    told = eventually(lambda: one if (one := status(t, "nightly")).get("end_time") else None, "the end's status")
    assert told is not None
    assert (told["success"], told["failed_stage"]) == (True, None)
    assert [(stage["name"], stage["success"]) for stage in told["stages"]] == [
        ("export", True), ("train", True), ("evaluate", False), ("upload", True),
    ]  # fmt: skip


def test_a_failed_critical_stage_ends_the_run_and_a_retry_begins_there(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.nightly]
        retries = 1
        backoff = "100ms"
        stages = [
          { name = "export", command = "sh -c 'echo export >> said'" },
          { name = "train", retries = 1, backoff = "50ms", command = "sh train.sh" },
          { name = "upload", command = "sh -c 'echo upload >> said'" },
        ]
        """,
        start=False,
    )
    (t.dir / "train.sh").write_text("echo train >> said\ntest $(wc -l < said) -ge 5\n")
    t.start()
    run = json.loads(t.ctl("run", "nightly", "--wait", "--json"))
    assert (run["state"], run["attempt"]) == ("succeeded", 2)
    assert lines(t, "said") == ["export", "train", "train", "train", "train", "upload"]
    assert [stage["kept"] for stage in run["stages"]] == [True, False, False]
    assert run["stages"][1]["tries"] == 2
    assert [line["run"] for line in t.events("run_retried", "nightly")] == [run["run"]]


def test_what_failed_is_said_in_the_form_that_watchdogs_read(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.nightly]
        stages = [
          { name = "export", command = "true" },
          { name = "train", command = "sh -c 'echo no space left; exit 3'", timeout = "20s" },
          { name = "upload", command = "true" },
        ]
        """
    )
    t.ctl("run", "nightly", "--wait", status=3)
    told = eventually(lambda: one if (one := status(t, "nightly")).get("end_time") else None, "its end")
    assert told is not None
    assert (told["success"], told["failed_stage"]) == (False, "train")
    assert "exit status 3" in told["error"]
    assert [stage["success"] for stage in told["stages"]] == [True, False, None]
    assert told["stages"][1]["duration_seconds"] >= 0
    eventually(lambda: t.events("run_ended", "nightly"), "its last lines were read")
    assert "no space left" in t.ctl("why", "nightly")
    shown = t.ctl("runs", "nightly")
    assert "train" in shown
    assert "exit status 3" in shown


def test_a_stage_that_takes_too_long_is_killed_whole(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.nightly]
        stages = [
          { name = "hangs", command = "sh -c 'sleep 1000 & wait'", timeout = "200ms" },
          { name = "never", command = "touch never" },
        ]
        """
    )
    t.ctl("run", "nightly", "--wait", status=137)
    (run,) = runs(t, "nightly")
    assert (run["state"], run["stages"][0]["state"]) == ("timed_out", "timed_out")
    assert not (t.dir / "never").exists()
    assert not commands(t.processes(), "sleep")


def test_verify_makes_a_success_a_failure(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.nightly]
        command = ["sh", "-c", 'echo "$1"', "sh"]
        verify = [{ output = "COMPLETED SUCCESSFULLY" }]
        log = { file = "nightly.log" }
        [jobs.staged]
        retries = 1
        backoff = "50ms"
        stages = [
          { name = "a", command = "sh -c 'echo a >> said'" },
          { name = "b", verify = [{ file = "result" }], command = "sh -c 'test ! -e x || touch result; touch x'" },
        ]
        """
    )
    t.ctl("run", "nightly", "--wait", "--", "COMPLETED SUCCESSFULLY")
    # In an appended log the words of the run before don't count.
    t.ctl("run", "nightly", "--wait", "--", "done", status=1)
    ended = runs(t, "nightly")
    assert [run["state"] for run in ended] == ["succeeded", "failed"]
    assert ended[1]["reason"].startswith("verify: ")
    assert ended[1]["exit"] == 0
    eventually(
        lambda: status(t, "nightly").get("success") is False, "its status is on the disk, which no run waits for"
    )
    run = json.loads(t.ctl("run", "staged", "--wait", "--json"))
    assert (run["state"], run["attempt"], lines(t, "said")) == ("succeeded", 2, ["a"])


def test_runs_are_followed_live(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.nightly]
        stages = [
          { name = "export", command = "true" },
          { name = "train", command = ["sh", "-c", "while [ ! -e go ]; do sleep 0.05; done"] },
        ]
        [jobs.other]
        command = "true"
        """
    )
    with t.follow("ctl", "runs", "-f", "nightly", "--json") as f:
        # What has happened before is shown first; so it listens from the first line on.
        t.ctl("run", "other", "--wait")
        t.ctl("run", "nightly")
        assert f.event("stage_started")["stage"] == "export"
        assert f.event("stage_ended")["state"] == "succeeded"
        assert f.event("stage_started")["stage"] == "train"
        row = next(line for line in t.ctl("jobs").splitlines() if line.startswith("nightly"))
        assert "1 of 2 stages done, now train" in row
        eventually(
            lambda: (told := status(t, "nightly")) and told["stages"][0]["success"] is True, "its status is on the disk"
        )
        (t.dir / "go").touch()
        ended = f.event("run_ended")
        assert (ended["name"], ended["run"]["state"]) == ("nightly", "succeeded")
    wait_runs(t, "nightly", 1, state="succeeded")
    with t.follow("ctl", "runs", "-f", "nightly") as f:
        assert "a run of nightly is due, asked for by hand" in f.line()
        assert "a run of nightly began" in f.line()


def test_the_jobs_verify_also_reads_what_a_stage_wrote_that_is_not_run_again(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.nightly]
        stages = [
          { name = "a", command = "echo ALL IS THERE" },
          { name = "b", command = "sh -c 'test -e begun || { touch begun; exit 1; }'" },
        ]
        retries = 1
        backoff = "10ms"
        verify = { output = "ALL IS THERE" }
        """
    )
    t.ctl("run", "nightly", "--wait")
    (run,) = wait_runs(t, "nightly", 1, state="succeeded")
    assert (run["attempt"], [stage["kept"] for stage in run["stages"]]) == (2, [True, False])
