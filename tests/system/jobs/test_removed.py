"""What a reload changes or takes out while it runs: the run goes on as it began, and is known until its end."""

from __future__ import annotations

import json

from tests.conftest import MakeTree
from tests.support.processes import lives
from tests.support.tree import Tree
from tests.support.waiting import eventually
from tests.system.jobs.looking import Fields, ended, job, lines, wait_lines, wait_runs

WEB = '[workers.web]\ncommand = "sleep 1000"\n'
WAITS = '["sh", "-c", "echo $$$$ >> pids; echo hello; while [ ! -e go ]; do sleep 0.05; done; echo end >> ends"]'
PIPELINE = f"""
[jobs.nightly]
stages = [
  {{ name = "one", command = {WAITS} }},
  {{ name = "two", command = "sh -c 'echo old >> two'", verify = [{{ file = "verified", exists = true }}] }},
  {{ name = "three", command = "sh -c 'echo old >> three'" }},
]
"""


def known(t: Tree, name: str) -> Fields | None:
    """JOB, of one that may be gone."""
    return next((each for each in t.status()["jobs"] if each["name"] == name), None)


def wait_gone_from(t: Tree, name: str) -> None:
    eventually(lambda: known(t, name) is None, f"{name} is known no more")


def test_a_job_that_is_taken_out_is_known_until_its_run_has_ended(tree: MakeTree) -> None:
    t = tree(f"{WEB}[jobs.long]\ncommand = {WAITS}\n")
    t.ctl("run", "long")
    wait_lines(t, "pids", 1)
    t.write(WEB)
    t.ctl("reload")
    for _ in range(2):
        seen = job(t, "long")
        assert (seen["state"], seen["running"]["state"]) == ("removed", "running")
        assert [each["name"] for each in t.ask("jobs")] == ["long"]
        assert "removed" in t.ctl("jobs")
        assert json.loads(t.ctl("runs", "long", "--json"))[0]["run"] == seen["running"]["run"]
        assert t.ctl("why", "long").startswith("long is removed: it is not in the tree file any more")
        eventually(lambda: "hello" in t.cli("logs", "long"), "its output is shown")
        for verb in ("start", "hold", "release"):
            (refused,) = json.loads(t.ctl(verb, "long", "--json", status=1))["results"]
            assert "not in the tree file any more" in refused["reason"]
        t.ctl("run", "long", status=1)
        root = t.root_pid()
        t.kill(root)  # a new root knows the same
        t.wait_new_root(root)
    (t.dir / "go").touch()
    (end,) = ended(t, "long", 1)
    assert (end["run"]["state"], lines(t, "ends")) == ("succeeded", ["end"])
    wait_gone_from(t, "long")
    t.ctl("why", "long", status=4)
    eventually(
        lambda: "long" not in json.loads((t.state_dir / "logs.json").read_text()), "its log is nobody's any more"
    )


def test_a_job_that_is_taken_out_can_be_stopped(tree: MakeTree) -> None:
    t = tree(f"{WEB}[jobs.a]\ncommand = {WAITS}\n[jobs.b]\ncommand = {WAITS}\n")
    t.ctl("run", "a")
    t.ctl("run", "b")
    pids = [int(pid) for pid in wait_lines(t, "pids", 2)]
    t.write(WEB)
    t.ctl("reload")
    t.ctl("stop", "a")
    assert ended(t, "a", 1)[0]["run"]["state"] == "cancelled"
    wait_gone_from(t, "a")
    assert job(t, "b")["state"] == "removed"
    t.ctl("stop", "all")
    assert ended(t, "b", 1)[0]["run"]["state"] == "cancelled"
    wait_gone_from(t, "b")
    assert not any(lives(pid) for pid in pids)


def test_a_run_goes_on_with_the_stages_that_it_began_with(tree: MakeTree) -> None:
    """Whatever a reload takes out or changes; also under a new root. The next run goes by the file."""
    t = tree(WEB + PIPELINE)
    (t.dir / "verified").touch()
    t.ctl("run", "nightly")
    wait_lines(t, "pids", 1)
    t.write(f'{WEB}[jobs.nightly]\nstages = [{{ name = "two", command = "sh -c \'echo new >> two\'" }}]\n')
    t.ctl("reload")
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    (t.dir / "go").touch()
    (run,) = wait_runs(t, "nightly", 1, state="succeeded")
    assert [(stage["name"], stage["state"]) for stage in run["stages"]] == [
        ("one", "succeeded"),
        ("two", "succeeded"),
        ("three", "succeeded"),
    ]
    assert (lines(t, "two"), lines(t, "three")) == (["old"], ["old"])
    t.ctl("run", "nightly", "--wait")
    assert (lines(t, "two"), lines(t, "three")) == (["old", "new"], ["old"])


def test_all_of_a_job_that_is_taken_out_runs_and_is_verified(tree: MakeTree) -> None:
    t = tree(WEB + PIPELINE)
    t.ctl("run", "nightly")
    wait_lines(t, "pids", 1)
    t.write(WEB)
    t.ctl("reload")
    (t.dir / "go").touch()
    (end,) = ended(t, "nightly", 1)
    assert (end["run"]["state"], lines(t, "two")) == ("failed", ["old"])
    assert end["reason"].startswith("stage two: verify: ")
    # What the last run of a job that is gone has to say is told, and lasts no longer than it.
    raised = eventually(lambda: t.events("alert_raised", "nightly"), "it is told")
    assert [each["kind"] for each in raised] == ["job_failing"]


def test_a_retry_goes_by_the_file_as_it_is_then(tree: MakeTree) -> None:
    text = f"""
    [jobs.again]
    command = {WAITS.replace('echo end >> ends"', 'exit 3"')}
    retries = 1
    backoff = "10ms"
    """
    t = tree(text)
    t.ctl("run", "again")
    wait_lines(t, "pids", 1)
    t.write('[jobs.again]\ncommand = "sh -c \'echo new >> ends\'"\nretries = 1\nbackoff = "10ms"\n')
    t.ctl("reload")
    (t.dir / "go").touch()
    (run,) = wait_runs(t, "again", 1, state="succeeded")
    assert (run["attempt"], lines(t, "ends"), len(lines(t, "pids"))) == (2, ["new"], 1)


def test_a_job_becomes_a_worker_once_its_run_has_ended(tree: MakeTree) -> None:
    t = tree(f"{WEB}[jobs.long]\ncommand = {WAITS}\n")
    t.ctl("run", "long")
    wait_lines(t, "pids", 1)
    as_worker = f'{WEB}[workers.long]\ncommand = "sleep 1000"\n'
    t.write(as_worker)
    reason = "long can't be a worker while a run of the job long is under way"
    t.ctl("reload", status=None)
    assert [line["error"] for line in t.events("reload_refused")] == [reason]
    t.write(WEB)
    t.ctl("reload")
    t.write(as_worker)
    t.ctl("reload", status=None)  # nor while a run of it goes on that the file does not name any more
    assert [line["error"] for line in t.events("reload_refused")] == [reason] * 2
    (t.dir / "go").touch()
    ended(t, "long", 1)
    wait_gone_from(t, "long")
    t.ctl("reload")
    t.wait("long")
    t.write(f'{WEB}[jobs.long]\ncommand = "true"\n')
    t.ctl("reload", status=None)
    assert t.events("reload_refused")[-1]["error"].startswith("long can't be a job while the worker long runs")
    t.ctl("stop", "long")
    t.ctl("reload")
    t.ctl("run", "long", "--wait")
