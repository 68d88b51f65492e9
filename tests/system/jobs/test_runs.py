"""Runs of jobs: due, started, logged, recorded, timed out, retried; and what happens while one is under way."""

from __future__ import annotations

import json
import signal
import sys

import pytest

from tests.conftest import MakeTree
from tests.support.asking import Refused
from tests.support.waiting import PATIENCE, eventually, wait_gone
from tests.system.jobs.looking import (
    ended,
    job,
    lines,
    records,
    runs,
    status,
    wait_job,
    wait_lines,
    wait_runs,
)


def test_a_job_that_is_due_every_100_ms_runs_and_log_and_record_are_there(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.tick]
        every = "100ms"
        command = ["sh", "-c", "echo said ${run.id}; echo wrong >&2; echo done >> ran"]
        """
    )
    wait_lines(t, "ran", 8)
    first = ended(t, "tick", 8)[0]
    succeeded = wait_runs(t, "tick", 8, state="succeeded")
    ids = [run["run"] for run in succeeded]
    assert len(set(ids)) == len(ids)
    for run in succeeded[:8]:
        assert (run["cause"], run["exit"], run["attempt"], run["outcome"]) == ("schedule", 0, 1, None)
        assert run["scheduled"] <= run["started"] <= run["ended"]
        assert run["log"] == str(t.state_dir / "jobs" / "tick" / f"{run['run']}.log")
        with open(run["log"]) as log:
            assert sorted(log.read().splitlines()) == [f"said {run['run']}", "wrong"]
    # One after the other, each at its time: `every` counts from the scheduled time.
    times = [run["scheduled"] for run in succeeded]
    assert times == sorted(set(times))
    assert job(t, "tick")["state"] in ("scheduled", "running")
    assert first["run"]["run"] == ids[0]
    assert sorted(first["output_tail"]) == [f"said {ids[0]}", "wrong"]
    t.ctl("stop", "tick")
    eventually(
        lambda: {run["run"] for run in runs(t, "tick")} == {one["run"] for one in records(t, "tick")},
        "all records are in the file",
    )


def test_a_timeout_kills_the_whole_group(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.slow]
        command = ["sh", "-c", "trap '' TERM; sleep 1000 & echo $! > pids; echo $$$$ >> pids; wait"]
        timeout = "2s"
        outcome = { timeout = "too slow", other = "odd" }
        """
    )
    answer = json.loads(t.ctl("run", "slow", "--wait", "--json", status=128 + signal.SIGKILL))
    assert (answer["state"], answer["signal"], answer["outcome"]) == ("timed_out", "SIGKILL", "too slow")
    assert "timed out after 2" in answer["reason"]
    for pid in lines(t, "pids"):
        wait_gone(int(pid))
    assert job(t, "slow")["failures"] == 1


def test_overlap_skip_queue_and_kill(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.skip]
        every = "200ms"
        command = "sh -c 'echo x >> skip; sleep 0.5'"
        [jobs.queue]
        every = "300ms"
        overlap = "queue"
        catch_up = "all"
        command = "sh -c 'echo + >> queue; sleep 0.35; echo - >> queue'"
        [jobs.kill]
        every = "400ms"
        overlap = "kill"
        command = "sleep 1000"
        """
    )
    first = wait_runs(t, "skip", 2, state="succeeded")[0]
    assert first["skipped"] >= 1  # it was due again while it ran
    assert t.events("run_skipped", "skip")
    wait_runs(t, "kill", 2, state="cancelled")
    wait_runs(t, "queue", 3, state="succeeded")
    assert "".join(lines(t, "queue")).startswith("+-+-+-")  # never two at once
    queued = runs(t, "queue", state="succeeded")
    assert [run["skipped"] for run in queued] == [0] * len(queued)  # none was left out


def test_retries_have_one_run_and_their_delay(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.flaky]
        command = ["sh", "-c", "echo try >> tries; test $(wc -l < tries) -ge 3"]
        retries = 4
        backoff = "100ms"
        """
    )
    run = json.loads(t.ctl("run", "flaky", "--wait", "--json"))
    assert (run["state"], run["attempt"], run["attempts"], run["exit"]) == ("succeeded", 3, 5, 0)
    assert len(lines(t, "tries")) == 3
    assert [line["attempt"] for line in t.events("run_retried", "flaky")] == [2, 3]
    assert len(runs(t, "flaky")) == 1
    waits = t.events("run_waiting", "flaky")
    assert "attempt 2 of 5" in waits[0]["reason"]


def test_the_exit_status_of_ctl_run_is_the_programs_own(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.echo]
        command = ["sh", "-c", 'echo "$@" >> said; exit $1', "sh"]
        outcome = { 3 = "sad" }
        [jobs.shell]
        command = 'echo "shell: $1 $2" >> said'
        shell = true
        [jobs.missing]
        command = "no-such-program-at-all"
        [jobs.killed]
        command = "sh -c 'kill -USR1 $$$$'"
        """
    )
    t.ctl("run", "echo", "--wait", "--", "3", "two words", status=3)
    t.ctl("run", "shell", "--wait", "--", "--flag", "b")
    assert lines(t, "said") == ["3 two words", "shell: --flag b"]
    assert runs(t, "echo")[0]["args"] == ["3", "two words"]
    assert runs(t, "echo")[0]["outcome"] == "sad"
    t.ctl("run", "missing", "--wait", status=125)
    assert "no such program" in runs(t, "missing")[0]["reason"]
    t.ctl("run", "killed", "--wait", status=128 + signal.SIGUSR1)
    assert t.ctl("run", "echo", "--", "0").startswith("echo: run ")
    wait_runs(t, "echo", 1, state="succeeded")


def test_logs_named_by_the_run_and_appended_ones(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.own]
        command = "echo own ${run.time} ${run.id}"
        log = { file = "logs/own_${run.time}.log" }
        [jobs.same]
        command = "sh -c 'echo same; exit 1'"
        log = { file = "logs/same.log" }
        """
    )
    t.ctl("run", "own", "--wait")
    for _ in range(2):
        t.ctl("run", "same", "--wait", status=1)
    (run,) = runs(t, "own")
    time = run["run"][:15]
    assert (t.dir / "logs" / f"own_{time}.log").read_text() == f"own {time} {run['run']}\n"
    assert lines(t, "logs/same.log") == ["same", "same"]
    # Of an appended log each run has its own part.
    assert [line["output_tail"] for line in ended(t, "same", 2)] == [["same"], ["same"]]
    assert t.cli("logs", "own") == f"own {time} {run['run']}\n"
    assert t.cli("logs", "same", "-n", "1") == "same\n"
    assert "│ same" in t.ctl("why", "same")


def test_logs_follow_a_job_into_its_next_runs(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.say]
        command = "sh -c 'echo said $1' sh"
        """
    )
    t.ctl("run", "say", "--wait", "--", "one")
    with t.follow("logs", "-f", "say") as f:
        assert f.line() == "said one"
        t.ctl("run", "say", "--wait", "--", "two")
        assert f.line() == "said two"


def test_python_jobs(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.sum]
        run = "figures:add"
        args = { a = 1, b = 2 }
        [jobs.raises]
        run = "figures:fail"
        """,
        start=False,
    )
    (t.dir / "figures.py").write_text(
        "from supervisor_tree.workers import activity\n"
        "def add(a: int, b: int) -> int:\n"
        "    print(f'{a} + {b} = {a + b}', flush=True)\n"
        "    activity('ADDED', sum=a + b)\n"
        "    return 0 if a + b < 10 else 7\n"
        "def fail() -> None:\n"
        "    raise ValueError('bad figures')\n"
    )
    t.start()
    t.ctl("run", "sum", "--wait")
    t.ctl("run", "sum", "--wait", "--", "a=40", status=7)
    assert [line["output_tail"] for line in ended(t, "sum", 2)] == [["1 + 2 = 3"], ["40 + 2 = 42"]]
    # These come over a socket of their own.
    told = eventually(lambda: found if len(found := t.events("activity", "sum")) >= 2 else None, "what it did is told")
    assert told is not None
    assert [line["fields"]["sum"] for line in told] == [3, 42]
    t.ctl("run", "raises", "--wait", status=1)
    assert any("bad figures" in line for line in ended(t, "raises", 1)[0]["output_tail"])


def test_a_script_in_a_run_says_what_it_does(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.script]
        command = '''
        "$PYTHON" -m supervisor_tree beat --status "half way" --activity POST_SUCCESS rows=3
        echo said > said
        while [ ! -e go ]; do sleep 0.05; done
        '''
        shell = true
        """,
        start=False,
    )
    t.environ["PYTHON"] = sys.executable
    t.start()
    t.ctl("run", "script")
    wait_lines(t, "said", 1)
    assert wait_job(t, "script", lambda j: j["status"], "its status")["status"] == "half way"
    assert "half way" in t.ctl("jobs")
    (line,) = eventually(lambda: t.events("activity", "script"), "what it did is told")
    assert (line["activity"], line["fields"]) == ("POST_SUCCESS", {"rows": 3})
    assert t.events("hello_refused") == []
    (t.dir / "go").touch()
    wait_runs(t, "script", 1, state="succeeded")


def test_wrong_names_are_told_with_the_right_ones(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.web]
        command = "sleep 1000"
        [jobs.nightly]
        command = "true"
        [jobs.copy]
        instances = ["a", "b"]
        command = "true"
        """
    )
    for verb in (["run", "nightli"], ["stop", "nightli"], ["runs", "nightli"], ["why", "nightli"], ["jobs", "nightli"]):
        t.ctl(*verb, status=4)
        with pytest.raises(Refused) as refused:
            t.ask(verb[0], name="nightli", names=["nightli"])
        assert "nightly" in str(refused.value.mend)
    with pytest.raises(Refused, match="copy is 2 jobs"):  # a request is about one; the command line asks for each
        t.ask("run", name="copy")
    t.ctl("run", "copy@a", "--wait")
    t.ctl("signal", "HUP", "nightly", status=1)
    t.ctl("restart", "nightly", status=1)
    assert [each["name"] for each in t.ask("jobs", names=["copy"])] == ["copy@a", "copy@b"]
    assert [each["name"] for each in t.status()["jobs"]] == ["nightly", "copy@a", "copy@b"]


def test_the_last_run_status_is_there_at_every_step(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.plain]
        command = ["sh", "-c", "while [ ! -e go ]; do sleep 0.05; done; exit 4"]
        """
    )
    assert status(t, "plain") == {}
    t.ctl("run", "plain")
    running = eventually(lambda: status(t, "plain"), "a status while it runs")
    assert running is not None
    assert (running["success"], running["end_time"], running["error"]) == (None, None, None)
    (t.dir / "go").touch()
    over = eventually(lambda: one if (one := status(t, "plain"))["end_time"] else None, "its end")
    assert over is not None
    assert (over["success"], over["error"], over["start_time"]) == (False, "exit status 4", running["start_time"])


def test_a_run_that_somebody_waits_for_is_cancelled_by_its_operation(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.long]
        command = "sleep 1000"
        """
    )
    waiting = t.spawn("ctl", "run", "long", "--wait")
    wait_job(t, "long", lambda j: j["state"] == "running", "it runs")
    (operation,) = [each for each in t.ask("ops") if each["state"] == "running"]
    t.ctl("cancel", operation["operation"][:8])
    assert waiting.wait(PATIENCE) == 128 + signal.SIGTERM
    assert [run["state"] for run in runs(t, "long")] == ["cancelled"]


def test_a_second_run_by_hand_is_refused_in_words(tree: MakeTree) -> None:
    t = tree('[jobs.long]\ncommand = "sleep 1000"\n')
    t.ctl("run", "long")
    run = runs(t, "long")[0]["run"]
    assert t.ctl("run", "long", status=1) == ""
    assert t.ctl("run", "long", "--wait", status=125) == ""
    for number in ("0", "-1", "x"):
        t.ctl("runs", "-n", number, status=2)
    answer = json.loads(t.ctl("run", "long", "--json", status=1))
    assert (answer["run"], answer["state"]) == (run, "running")


def test_the_bare_name_of_a_set_runs_all_of_it(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.train]
        instances = ["1w", "1m", "3m"]
        command = ["sh", "-c", "echo ${self.instance} $* >> ran; test ${self.instance} != 1m || exit 7", "sh"]
        """
    )
    answers = json.loads(t.ctl("run", "train", "--wait", "--json", "--", "now", status=7))
    assert [(run["job"], run["state"], run["exit"]) for run in answers] == [
        ("train@1w", "succeeded", 0),
        ("train@1m", "failed", 7),
        ("train@3m", "succeeded", 0),
    ]
    assert sorted(lines(t, "ran")) == ["1m now", "1w now", "3m now"]
    t.ctl("run", "train")
    wait_lines(t, "ran", 6)
