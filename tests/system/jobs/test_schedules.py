"""Schedules in the life of a tree: what operators wish, what files change, what is on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conftest import MakeTree
from tests.support.waiting import eventually, wait_gone
from tests.system.jobs.looking import ended, job, lines, runs, status, wait_job, wait_lines, wait_runs


def test_stop_and_hold_last_over_the_tree_and_a_run_by_hand_works_in_both(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.a]
        every = "100ms"
        command = "sh -c 'echo x >> a'"
        [jobs.b]
        every = "100ms"
        command = "sh -c 'echo x >> b'"
        """
    )
    wait_lines(t, "a", 1)
    wait_lines(t, "b", 1)
    t.ctl("stop", "a", "--reason", "disk is being changed")
    t.ctl("hold", "b")
    wait_job(t, "b", lambda j: j["state"] == "held", "it is held")
    stopped = job(t, "a")
    assert (stopped["state"], stopped["next"]) == ("stopped", None)
    assert stopped["hold"]["reason"] == "disk is being changed"
    assert "disk is being changed" in t.ctl("jobs")
    assert "disk is being changed" in t.ctl("why", "a")
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    assert (job(t, "a")["state"], job(t, "b")["state"]) == ("stopped", "held")
    t.stop()
    count = len(lines(t, "a")), len(lines(t, "b"))
    t.start()
    assert (job(t, "a")["state"], job(t, "b")["state"]) == ("stopped", "held")
    t.ctl("run", "a", "--wait")
    t.ctl("run", "b", "--wait")
    assert (len(lines(t, "a")), len(lines(t, "b"))) == (count[0] + 1, count[1] + 1)
    t.ctl("start", "a")
    t.ctl("release", "b")
    wait_lines(t, "a", count[0] + 2)
    wait_lines(t, "b", count[1] + 2)


def test_stop_cancels_the_run_under_way_and_hold_lets_it_end(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.web]
        command = "sleep 1000"
        [jobs.a]
        every = "1h"
        command = ["sh", "-c", "trap 'echo ended; exit 0' TERM; echo >> a; while :; do sleep 0.05; done"]
        [jobs.b]
        every = "1h"
        command = ["sh", "-c", "echo >> b; while [ ! -e go ]; do sleep 0.05; done"]
        """
    )
    wait_lines(t, "a", 1)
    wait_lines(t, "b", 1)
    t.wait("web")
    answer = json.loads(t.ctl("stop", "web", "a", "--json"))  # both kinds in one request
    assert sorted(result["name"] for result in answer["results"]) == ["a", "web"]
    (cancelled,) = runs(t, "a", state="cancelled")
    assert "stopped by" in cancelled["reason"]
    assert t.child("web")["state"] == "stopped"
    t.ctl("hold", "b")
    assert job(t, "b")["state"] == "running"
    (t.dir / "go").touch()
    wait_job(t, "b", lambda j: j["state"] == "held", "held once it has ended")
    t.ctl("start", "web", "a", "b")
    t.wait("web")
    t.ctl("wait", "b", "--for", "scheduled", "--timeout", "20s")


def test_jobs_are_added_and_removed_at_run_time(tree: MakeTree) -> None:
    t = tree('[workers.web]\ncommand = "sleep 1000"\n')
    (t.dir / "more.toml").write_text('[jobs.tick]\nevery = "100ms"\ncommand = "sh -c \'echo x >> ran\'"\n')
    assert t.ctl("add", "more.toml") == "tick: added\n"
    wait_lines(t, "ran", 2)
    t.ctl("add", "more.toml", status=1)  # it is there
    t.stop()
    t.start()
    wait_lines(t, "ran", len(lines(t, "ran")) + 1)  # it lasts
    assert t.ctl("remove", "tick") == "tick: removed\n"
    eventually(lambda: t.status()["jobs"] == [], "no job is left")
    t.ctl("run", "tick", status=4)
    t.ctl("remove", "web", status=1)


def test_a_job_for_which_a_variable_is_not_set_is_held_until_it_is(tree: MakeTree) -> None:
    t = tree("""
        [tree]
        env_file = "?.env"
        [jobs.post]
        every = "100ms"
        command = "sh -c 'echo ${SITE_OF_TEST} >> said'"
        """)
    seen = wait_job(t, "post", lambda j: j["state"] == "held", "it is held")
    assert (seen["reason"], seen["hold"]) == ("env SITE_OF_TEST is not set", None)
    assert "ctl reload" in t.ctl("why", "post")
    (t.dir / ".env").write_text("SITE_OF_TEST=here\n")
    t.ctl("reload")
    assert wait_lines(t, "said", 1)[0] == "here"
    assert job(t, "post")["state"] in ("scheduled", "running")


def test_what_runs_of_a_job_ends_when_it_is_removed(tree: MakeTree) -> None:
    t = tree('[workers.web]\ncommand = "sleep 1000"\n')
    (t.dir / "more.toml").write_text("""
        [jobs.long]
        stages = [{ name = "a", command = ["sh", "-c", "echo $$$$ > pid; exec sleep 1000"] }]
        """)
    t.ctl("add", "more.toml")
    t.ctl("run", "long")
    (pid,) = wait_lines(t, "pid", 1)
    t.ctl("remove", "long")
    wait_gone(int(pid))
    (end,) = ended(t, "long", 1)
    assert (end["run"]["state"], end["reason"]) == ("cancelled", "the job was removed")


def test_the_first_jobs_of_a_tree_may_come_by_a_reload_and_that_is_no_start(tree: MakeTree) -> None:
    t = tree('[workers.web]\ncommand = "sleep 1000"\n')
    jobs = """
        [jobs.tick]
        every = "100ms"
        command = ["sh", "-c", "echo x >> ran"]
        [jobs.first]
        command = ["sh", "-c", "echo x >> first"]
        run_at_start = true
        """
    t.write(f'[workers.web]\ncommand = "sleep 1000"\n{jobs}')
    t.ctl("reload")
    wait_lines(t, "ran", 2)
    assert not (t.dir / "first").exists()
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    wait_lines(t, "ran", len(lines(t, "ran")) + 2)
    assert not (t.dir / "first").exists()
    t.stop()
    t.start()
    wait_lines(t, "first", 1)


def test_a_reload_changes_schedules_and_leaves_what_runs_alone(tree: MakeTree) -> None:
    text = """
        [jobs.long]
        every = "{every}"
        command = ["sh", "-c", "echo $1 >> ran; while [ ! -e go ]; do sleep 0.05; done", "sh", "{word}"]
        """
    t = tree(text.format(every="1h", word="old"))
    wait_lines(t, "ran", 1)
    run = job(t, "long")["running"]["run"]
    t.write(text.format(every="150ms", word="new") + "\n[jobs.other]\ncommand = 'true'\n")
    t.ctl("reload")
    assert job(t, "long")["running"]["run"] == run
    assert (job(t, "long")["schedule"], lines(t, "ran")) == ("every 150ms", ["old"])
    t.ctl("run", "other", "--wait")
    (t.dir / "go").touch()
    wait_lines(t, "ran", 3)
    assert lines(t, "ran")[1] == "new"
    t.write("[jobs.other]\ncommand = 'true'\n")
    t.ctl("reload")
    eventually(lambda: [each["name"] for each in t.status()["jobs"]] == ["other"], "long is gone")


def test_a_damaged_state_of_jobs_is_moved_aside_and_told(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.a]
        every = "1h"
        command = "sh -c 'echo x >> ran'"
        """
    )
    wait_lines(t, "ran", 1)
    wait_runs(t, "a", 1, state="succeeded")
    t.stop()
    t.start()
    assert job(t, "a")["last"]["state"] == "succeeded"  # known from the last life
    t.stop()
    assert len(lines(t, "ran")) == 1  # it is not due yet
    for damage in ('{"version": 1, "items": {"job/a": 7}}', '{"version":', "\0\0\0", '{"version": 99, "items": {}}'):
        before = len(lines(t, "ran"))
        (t.state_dir / "jobs.json").write_text(damage)
        t.start()
        wait_lines(t, "ran", before + 1)  # when it last ran is unknown: so it is due
        line = t.events("job_state_unreadable")[-1]
        with open(line["moved_to"]) as kept:
            assert kept.read() == damage
        t.stop()
    before = len(lines(t, "ran"))
    (t.state_dir / "jobs.json").unlink()
    (t.state_dir / "jobs.json").mkdir()
    t.start()
    wait_lines(t, "ran", before + 1)
    assert Path(t.events("job_state_unreadable")[-1]["moved_to"]).is_dir()
    eventually((t.state_dir / "jobs.json").is_file, "what is known is written again")


def _back(value: Any, seconds: float) -> Any:
    """Times of the wall clock, so many seconds earlier."""
    if isinstance(value, dict):
        return {key: _back(inner, seconds) for key, inner in value.items()}
    if isinstance(value, list):
        return [_back(inner, seconds) for inner in value]
    return value - seconds if isinstance(value, float) and value > 1e9 else value


def test_runs_that_were_missed_while_the_tree_was_down_are_made_up_for_by_policy(tree: MakeTree) -> None:
    job_text = """
        [jobs.j-{0}]
        every = "1h"
        catch_up = "{0}"
        command = "sh -c 'echo x >> {0}'"
        """
    t = tree("".join(job_text.format(word) for word in ("none", "last", "all")))
    for word in ("none", "last", "all"):
        wait_lines(t, word, 1)
        wait_runs(t, f"j-{word}", 1, state="succeeded")
    t.stop()
    # As if the machine had been off for three and a half hours.
    file = t.state_dir / "jobs.json"
    file.write_text(json.dumps(_back(json.loads(file.read_text()), 3.5 * 3600)))
    t.start()
    wait_runs(t, "j-all", 4, state="succeeded")
    wait_runs(t, "j-last", 2, state="succeeded")
    assert {word: len(lines(t, word)) for word in ("none", "last", "all")} == {"none": 1, "last": 2, "all": 4}
    assert [run["cause"] for run in runs(t, "j-last")] == ["schedule", "catch_up"]
    assert [run["cause"] for run in runs(t, "j-all")] == ["schedule", *["catch_up"] * 3]
    assert t.events("run_skipped", "j-none")
    assert t.events("run_skipped", "j-last")


def test_a_run_waits_for_what_it_needs_and_says_so(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.db]
        command = "sleep 1000"
        autostart = false
        [jobs.report]
        command = "true"
        needs = { db = "started" }
        [jobs.guarded]
        command = "true"
        require = [{ file = "mounted", status = "NOT_MOUNTED", every = "100ms" }]
        record = { event_type = "HEARTBEAT", job_name = "guarded_job" }
        [jobs.secret]
        command = ["sh", "-c", 'test "$KEY" = abc']
        env_file = "key.env"
        """
    )
    t.ctl("run", "report")
    wait_job(t, "report", lambda j: j["state"] == "waiting" and j["reason"] == "waits for db to be started", "it waits")
    t.ctl("start", "db")
    wait_runs(t, "report", 1, state="succeeded")
    t.ctl("run", "guarded")
    wait_job(t, "guarded", lambda j: j["state"] == "waiting" and "NOT_MOUNTED" in (j["reason"] or ""), "it waits")
    assert "NOT_MOUNTED" in t.ctl("jobs")
    line = t.events("run_waiting", "guarded")[-1]
    assert (line["status"], line["record"]["event_type"]) == ("NOT_MOUNTED", "HEARTBEAT")
    (t.dir / "mounted").touch()
    wait_runs(t, "guarded", 1, state="succeeded")
    (line,) = ended(t, "guarded", 1)
    assert line["record"] == {"event_type": "HEARTBEAT", "job_name": "guarded_job"}
    # What can't be had holds a run as it would hold a worker.
    t.ctl("run", "secret")
    wait_job(t, "secret", lambda j: j["state"] == "waiting" and "key.env" in (j["reason"] or ""), "it waits")
    t.ctl("stop", "secret")
    (t.dir / "key.env").write_text("KEY=abc\n")
    t.ctl("run", "secret", "--wait")


def test_jobs_share_the_places_of_max_runs(tree: MakeTree) -> None:
    t = tree(
        """
        [tree]
        max_runs = 1
        [jobs.a]
        command = ["sh", "-c", "while [ ! -e go ]; do sleep 0.05; done"]
        [jobs.b]
        command = "true"
        """
    )
    t.ctl("run", "a")
    t.ctl("run", "b")
    waiting = wait_job(t, "b", lambda j: j["state"] == "waiting" and j["reason"], "it waits")
    assert "max_runs" in waiting["reason"]
    (t.dir / "go").touch()
    wait_runs(t, "b", 1, state="succeeded")


def test_failures_in_a_row_are_told_and_success_ends_them(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.flaky]
        command = "sh -c 'test -e good'"
        alert_after = 2
        """
    )
    t.ctl("run", "flaky", "--wait", status=1)
    assert t.events("job_failing") == []
    t.ctl("run", "flaky", "--wait", status=1)
    (line,) = t.events("job_failing", "flaky")
    assert line["failures"] == 2
    assert job(t, "flaky")["failures"] == 2
    (t.dir / "good").touch()
    t.ctl("run", "flaky", "--wait")
    assert job(t, "flaky")["failures"] == 0


def test_a_missed_job_is_seen_at_once(tree: MakeTree) -> None:
    t = tree(
        """
        [jobs.nightly]
        schedule = "0 0 1 1 *"
        command = "true"
        missed_after = "3s"
        """
    )
    assert wait_job(t, "nightly", lambda j: j["missed"], "it is missed")["state"] == "scheduled"
    eventually(lambda: t.events("run_missed", "nightly"), "it is told")
    assert "missed" in t.ctl("jobs")
    with t.follow("ctl", "run", "nightly", "--wait"):
        wait_job(t, "nightly", lambda j: not j["missed"], "it is not missed for three seconds from that run's start")
    assert len(t.events("run_missed", "nightly")) >= 1


def test_only_the_named_jobs_of_a_start_with_names_run(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.db]
        command = "sleep 1000"
        [workers.web]
        command = "sleep 1000"
        [jobs.a]
        command = "true"
        needs = { db = "started" }
        [jobs.b]
        command = "true"
        """,
        start=False,
    )
    t.start("a")
    assert [each["name"] for each in t.status()["jobs"]] == ["a"]
    assert list(t.children()) == ["db"]
    assert status(t, "a") == {}
