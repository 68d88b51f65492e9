"""`memory_max` of runs: a program that is over it fails its attempt, or is told of."""

from __future__ import annotations

import os
import signal

import pytest

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually
from tests.system.jobs.looking import ended, job, wait_job, wait_lines, wait_runs
from tests.system.limits.test_limits import ELASTIC, LEAK

STUBBORN = """
import os, signal, threading

def end(*_):
    open("asked", "w").close()
    while not os.path.exists("go"):
        threading.Event().wait(0.05)
    os._exit(0)

signal.signal(signal.SIGTERM, end)
held = bytearray(b"x" * 100_000_000)
while True:
    signal.pause()
"""


def make(tree: MakeTree, text: str) -> Tree:
    t = tree(text, start=False)
    (t.dir / "leak.py").write_text(LEAK)
    (t.dir / "elastic.py").write_text(ELASTIC)
    (t.dir / "stubborn.py").write_text(STUBBORN)
    return t.start()


def test_a_run_over_its_limit_fails_with_that_reason_and_is_tried_again(tree: MakeTree) -> None:
    t = make(
        tree,
        """
        [jobs.leaky]
        command = "${tree.python} leak.py 150"
        memory_max = "60MB"
        outcome = { 0 = "healthy", other = "unexpected" }
        retries = 1
        backoff = "10ms"
        """,
    )
    t.ctl("run", "leaky", "--wait", status=143)
    (run,) = wait_runs(t, "leaky", 1, state="failed")
    assert (run["attempt"], run["exit"], run["signal"], run["outcome"]) == (2, None, "SIGTERM", "unexpected")
    assert run["reason"].startswith("memory: ")
    assert "over memory_max = 60 MB" in run["reason"]
    first, second = t.events("limit_exceeded", "leaky")
    assert (first["kind"], first["then"], first["run"], first["program"]) == ("memory", "fail", run["run"], "leaky")
    assert first["limit"] == 60_000_000 < first["value"]
    assert "leak.py" in first["processes"][0]["command"]
    assert second["run"] == run["run"]
    (end,) = ended(t, "leaky", 1)
    assert "leaks" in end["output_tail"]
    told = t.ctl("why", "leaky")
    assert "over memory_max = 60 MB" in told.splitlines()[0]
    assert "leaky is over its memory_max" in told
    # One exit, one alert.
    assert [each["kind"] for each in t.events("alert_raised")] == ["job_failing"]


def test_that_it_has_failed_is_known_over_the_death_of_the_root_whatever_status_it_ends_with(tree: MakeTree) -> None:
    t = make(
        tree,
        """
        [jobs.stubborn]
        command = "${tree.python} stubborn.py"
        memory_max = "60MB"
        shutdown = "1h"
        """,
    )
    t.ctl("run", "stubborn")
    eventually((t.dir / "asked").exists, "it is asked to end")
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    assert job(t, "stubborn")["state"] == "running"
    (t.dir / "go").touch()
    (run,) = wait_runs(t, "stubborn", 1, state="failed")
    assert "over memory_max = 60 MB" in run["reason"]
    assert (run["exit"], run["signal"]) == (None, None)
    assert len(t.events("limit_exceeded", "stubborn")) == 1


def test_of_a_pipeline_the_one_program_that_is_over_fails_and_what_it_asks_for_is_a_stages_retry(
    tree: MakeTree,
) -> None:
    t = make(
        tree,
        """
        [jobs.nightly]
        backoff = "10ms"
        memory_max = "60MB"
        stages = [
          { name = "small", command = "${tree.python} leak.py 5", timeout = "1s", critical = false },
          { name = "train", command = "${tree.python} leak.py ${self.instance}", instances = [150], retries = 1 },
          { name = "never", command = "touch never" },
        ]
        """,
    )
    t.ctl("run", "nightly", "--wait", status=143)
    (run,) = wait_runs(t, "nightly", 1, state="failed")
    small, train, never = run["stages"]
    assert (small["state"], never["state"]) == ("timed_out", "waiting")
    assert train["instances"][0]["tries"] == 2
    assert run["reason"].startswith("stage train: memory: ")
    assert {each["program"] for each in t.events("limit_exceeded", "nightly")} == {"nightly:train@150"}
    assert not (t.dir / "never").exists()


@pytest.mark.slow
def test_one_that_is_only_told_of_goes_on_and_a_new_root_does_not_tell_it_again(tree: MakeTree) -> None:
    t = make(
        tree,
        """
        [jobs.elastic]
        command = ["sh", "-c", "echo $$$$ >> pid; exec ${tree.python} elastic.py"]
        memory_max = "60MB"
        on_limit = "alert"
        """,
    )
    t.ctl("run", "elastic")
    (pid,) = map(int, wait_lines(t, "pid", 1))
    eventually(lambda: "ready" in t.cli("logs", "elastic"), "it handles signals")
    with t.follow("ctl", "events", "-f", "--json") as f:
        os.kill(pid, signal.SIGUSR1)
        assert f.event("limit_exceeded", "elastic")["then"] == "alert"
        assert f.event("alert_raised", "elastic")["kind"] == "limit"
    assert "over memory_max = 60 MB" in job(t, "elastic")["running"]["reason"]
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    wait_job(t, "elastic", lambda j: "over memory_max" in str((j["running"] or {}).get("reason")), "it is known still")
    with t.follow("ctl", "events", "-f", "--json") as f:
        os.kill(pid, signal.SIGUSR2)
        f.event("limit_kept_again", "elastic")
        f.event("alert_resolved", "elastic")
    assert job(t, "elastic")["running"]["reason"] is None
    assert len(t.events("limit_exceeded", "elastic")) == 1
    # A limit is live: the run under way is held to the new one.
    t.file.write_text(t.file.read_text().replace('"60MB"', '"1MB"').replace('on_limit = "alert"', ""))
    t.ctl("reload")
    (run,) = wait_runs(t, "elastic", 1, state="failed")
    assert "over memory_max = 1 MB" in run["reason"]
