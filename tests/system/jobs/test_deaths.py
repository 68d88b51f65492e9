"""Runs while the root, the keeper or the whole tree ends: adopted, interrupted, made up for; never two at once."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time

import pytest

from tests.conftest import MakeTree
from tests.support.processes import told
from tests.support.tree import Tree
from tests.support.waiting import PATIENCE, eventually, wait_gone
from tests.system.jobs.looking import ended, job, lines, runs, status, wait_job, wait_lines, wait_runs

_WAITS = "echo $$$$ >> pids; while [ ! -e go ]; do sleep 0.05; done; echo end >> ends; exit 3"
"""Says who it is, ends when it may, with a status of its own."""
_RUN = "\"trap 'sleep 0.3; echo run ended >> order; exit 0' TERM; echo >> began; while :; do sleep 0.05; done\""
"""Takes a while to end, and says when it has."""


def _pid(t: Tree) -> int:
    return int(wait_lines(t, "pids", 1)[0])


def test_a_run_goes_on_over_the_death_of_the_root(tree: MakeTree) -> None:
    t = tree(
        f"""
        [jobs.long]
        every = "200ms"
        command = ["sh", "-c", "{_WAITS}"]
        """
    )
    pid = _pid(t)
    for _ in range(2):
        root = t.root_pid()
        t.kill(root)
        t.wait_new_root(root)
    assert lines(t, "pids") == [str(pid)]  # not started twice
    before = wait_job(t, "long", lambda j: j["state"] == "running", "it runs")
    t.ctl("stop", "long", timeout=20)  # nothing follows it
    t.ctl("start", "long")
    assert before["running"]["run"] == runs(t, "long")[0]["run"]
    assert runs(t, "long")[0]["state"] == "cancelled"


def test_the_exit_status_of_an_adopted_run_is_its_own(tree: MakeTree) -> None:
    t = tree(
        f"""
        [jobs.long]
        command = ["sh", "-c", "{_WAITS}"]
        """
    )
    waiting = t.spawn("ctl", "run", "long", "--wait")
    pid = _pid(t)
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    assert job(t, "long")["state"] == "running"
    (t.dir / "go").touch()
    assert waiting.wait(PATIENCE) == 3  # who waited over the root's death is answered, too
    (run,) = wait_runs(t, "long", 1, state="failed")
    assert (run["exit"], run["reason"]) == (3, "exit status 3")
    assert (lines(t, "pids"), lines(t, "ends")) == ([str(pid)], ["end"])
    assert len(ended(t, "long", 1)) == 1


def test_a_run_that_ends_while_there_is_no_root_is_recorded_by_the_next(tree: MakeTree) -> None:
    t = tree(
        f"""
        [jobs.long]
        command = ["sh", "-c", "{_WAITS}"]
        [jobs.timed]
        command = ["sh", "-c", "echo began > timed; exec sleep 1000"]
        timeout = "3s"
        """
    )
    t.ctl("run", "long")
    t.ctl("run", "timed")
    pid = _pid(t)
    wait_lines(t, "timed", 1)
    root = t.root_pid()
    os.kill(root, signal.SIGSTOP)  # replaced after 300 ms; until then nobody handles its end
    (t.dir / "go").touch()
    wait_gone(pid)
    t.wait_new_root(root)
    (run,) = wait_runs(t, "long", 1, state="failed")
    assert run["exit"] == 3
    # Deadlines are state: the time-out comes although the root that began it is gone.
    (late,) = wait_runs(t, "timed", 1, state="timed_out")
    assert late["signal"] == "SIGKILL"


def test_a_pipeline_goes_on_where_it_was_when_the_root_died(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.nightly]
        stages = [
          { name = "one", command = "sh -c 'echo one >> said'" },
          { name = "two", instances = ["x", "y"], parallel = 2, command = "sh two.sh ${self.instance}" },
          { name = "three", command = "sh -c 'echo three >> said'" },
        ]
        """,
        start=False,
    )
    (t.dir / "two.sh").write_text("echo $1 >> said\nwhile [ ! -e go ]; do sleep 0.05; done\n")
    t.start()
    t.ctl("run", "nightly")
    wait_lines(t, "said", 3)
    root = t.root_pid()
    t.kill(root)
    (t.dir / "go").touch()
    t.wait_new_root(root)
    (run,) = wait_runs(t, "nightly", 1, state="succeeded")
    assert sorted(lines(t, "said")) == ["one", "three", "x", "y"]
    assert [stage["state"] for stage in run["stages"]] == ["succeeded"] * 3


def test_the_death_of_the_keeper_interrupts_a_run_and_the_next_start_makes_it_again(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.nightly]
        every = "1h"
        stages = [
          { name = "one", command = "sh -c 'echo one >> said'" },
          { name = "two", command = "sh -c 'echo two >> said; while [ ! -e go ]; do sleep 0.05; done'" },
        ]
        """
    )
    wait_lines(t, "said", 2)
    eventually(lambda: status(t, "nightly").get("state") == "running", "its status is on the disk")
    assert t.keeper is not None
    first = job(t, "nightly")["running"]["run"]

    def first_stage() -> str:
        file = t.state_dir / "jobs.json"
        run = json.loads(file.read_text())["items"].get(f"run/nightly/{first}") if file.exists() else None
        return str(run["stages"][0]["state"]) if run is not None else ""

    eventually(lambda: first_stage() == "succeeded", "it is on the disk that the first stage is done")
    t.keeper.send_signal(signal.SIGKILL)
    t.keeper.wait()
    t.assert_nothing_left(PATIENCE)
    (t.dir / "go").touch()
    t.start()
    again = wait_runs(t, "nightly", 1, cause="interrupted", state="succeeded")[0]
    interrupted = runs(t, "nightly", state="interrupted")[0]
    assert (interrupted["run"], again["of"]) == (first, first)
    # From the first stage that was not done.
    assert lines(t, "said") == ["one", "two", "two"]
    assert [stage["kept"] for stage in again["stages"]] == [True, False]
    assert job(t, "nightly")["failures"] == 0


def test_shutdown_ends_runs_before_any_worker(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.db]
        command = ["sh", "-c", "trap 'echo db ended >> order; exit 0' TERM; touch up; while :; do sleep 0.05; done"]
        [jobs.uses-db]
        every = "1h"
        command = ["sh", "-c", """
        + _RUN
        + """]
        """
    )
    wait_lines(t, "began", 1)
    eventually((t.dir / "up").exists, "db is up")
    assert t.stop() == 0
    assert lines(t, "order") == ["run ended", "db ended"]
    assert status(t, "uses-db")["state"] == "interrupted"
    (line,) = t.journal("run_ended", "uses-db")
    assert line["run"]["state"] == "interrupted"
    # And it is made again in the next life.
    t.start()
    wait_lines(t, "began", 2)
    assert t.stop() == 0


def test_a_tree_that_ends_by_itself_ends_its_runs_first(tree: MakeTree) -> None:
    t = tree(
        """
        [tree]
        auto_shutdown = "any_significant"
        [workers.db]
        command = ["sh", "-c", "trap 'echo db ended >> order; exit 0' TERM; touch up; while :; do sleep 0.05; done"]
        [workers.app]
        command = ["sh", "-c", "while [ ! -e began -o ! -e up ]; do sleep 0.05; done; exit 4"]
        restart = "temporary"
        significant = true
        [jobs.uses-db]
        run_at_start = true
        command = ["sh", "-c", """
        + _RUN
        + """]
        """
    )
    assert t.wait_end() == 4
    assert lines(t, "order") == ["run ended", "db ended"]
    t.assert_nothing_left()


def test_a_tree_of_jobs_alone_shuts_down(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.long]
        run_at_start = true
        command = "sleep 1000"
        shutdown = "200ms"
        """
    )
    wait_job(t, "long", lambda j: j["state"] == "running", "it runs")
    began = time.monotonic()
    assert t.stop() == 0
    assert time.monotonic() - began < 10
    assert not t.processes(), [told(p) for p in t.processes()]


def test_a_question_under_way_ends_with_the_root_that_asked_it_and_is_asked_anew(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.guarded]
        command = "true"
        require = [{ command = "sh -c 'echo $$$$ >> asked; while [ ! -e go ]; do sleep 0.05; done'", timeout = "60s" }]
        """
    )
    t.ctl("run", "guarded")
    first = int(wait_lines(t, "asked", 1)[0])
    root = t.root_pid()
    t.kill(root)
    wait_gone(first)  # nobody goes on with it
    wait_lines(t, "asked", 2)
    (t.dir / "go").touch()
    wait_runs(t, "guarded", 1, state="succeeded")


def test_a_job_that_leaves_the_tree_file_while_it_runs_ends_with_its_run(tree: MakeTree) -> None:
    t = tree(
        f"""
        [jobs.long]
        command = ["sh", "-c", "{_WAITS}"]
        """
    )
    t.ctl("run", "long")
    pid = _pid(t)
    t.write('[workers.other]\ncommand = "sleep 1000"\n')
    t.ctl("reload")
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    assert any(process.pid == pid for process in t.processes())
    (t.dir / "go").touch()
    assert ended(t, "long", 1)[0]["run"]["exit"] == 3
    t.ctl("run", "long", status=4)


@pytest.mark.slow
def test_roots_that_die_at_any_moment_lose_no_run_and_double_none(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.tick]
        every = "150ms"
        command = ["sh", "-c", "echo +${run.id} >> said; sleep 0.05; echo -${run.id} >> said"]
        """
    )
    for number in range(6):
        wait_lines(t, "said", 1 + 7 * number)
        root = t.root_pid()
        t.kill(root)
        t.wait_new_root(root)
    t.ctl("stop", "tick")
    wait_job(t, "tick", lambda j: j["state"] == "stopped", "it is stopped")
    said = lines(t, "said")
    began = [line[1:] for line in said if line[0] == "+"]
    assert len(set(began)) == len(began)  # none was started twice
    cancelled = {run["run"] for run in runs(t, "tick", state="cancelled")}
    for first, second in itertools.pairwise(said):
        # Never two at once; only the one that was stopped at last may lack its end.
        assert (first[0], second) == ("-", f"+{second[1:]}") or second == f"-{first[1:]}" or first[1:] in cancelled
    told = [line["run"]["run"] for line in ended(t, "tick", len(began))]
    assert sorted(told) == sorted(set(told))
    assert set(began) <= set(told)
    assert {run["run"] for run in runs(t, "tick")} >= set(began)
    assert {run["exit"] for run in runs(t, "tick", state="succeeded")} == {0}
    assert t.events("internal_error") == []
