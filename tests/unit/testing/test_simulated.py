"""`supervisor_tree.testing` and `simulate`: the core with a clock and make-believe processes."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from supervisor_tree.testing import SimulatedTree, SimulationError
from supervisor_tree.testing import scenario as scenarios

TREE = """
[supervisors.market]
strategy = "rest_for_one"
intensity = 2
period = "1m"
children = ["feed", "bot"]

[workers.feed]
command = "feed"
backoff = "10s"

[workers.bot]
command = "bot"
ready = { notify = true }
start_timeout = "30s"
shutdown = "5s"

[workers.once]
command = "once"
restart = "transient"
success = [0, "TERM"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tree.toml"
    path.write_text(TREE)
    return path


@pytest.fixture
def tree(file: Path) -> SimulatedTree:
    return SimulatedTree.load(file)


def test_all_runs_at_once(tree: SimulatedTree) -> None:
    assert set(tree.start().states().values()) == {"running"}
    assert tree["bot"].incarnation == 1
    assert tree["bot"].is_ready


def test_a_killed_worker_waits_out_its_backoff(tree: SimulatedTree) -> None:
    tree.start().kill("feed")
    assert (tree["feed"].state, tree["feed"].next_attempt) == ("backoff", 10.0)
    assert tree["bot"].state == "backoff", "rest_for_one stops who comes after it"
    tree.advance("9.9s")
    assert tree["feed"].state == "backoff"
    tree.advance("100ms")
    assert (tree["feed"].state, tree["feed"].incarnation, tree["bot"].incarnation) == ("running", 2, 2)
    assert tree["feed"].restarts == 1
    assert "feed ended: killed by SIGKILL" in tree.story("feed")


def test_more_crashes_than_the_intensity_end_the_supervisor(tree: SimulatedTree) -> None:
    tree.start()
    for _ in range(3):
        tree.exit("bot", 1)
        tree.advance("11s")
    assert [line.name for line in tree.lines if line.event == "gave_up"] == ["market"]
    tree.advance("10m")
    assert tree["market"].state == "running", "the root restarts it"


def test_readiness_comes_when_the_test_says(tree: SimulatedTree) -> None:
    tree.behave("bot", ready_after="20s").start()
    assert (tree["bot"].state, tree["bot"].is_ready) == ("starting", False)
    tree.advance("20s")
    assert tree["bot"].state == "running"


def test_one_that_is_never_ready_has_failed_to_start(tree: SimulatedTree) -> None:
    tree.behave("bot", ready_after=None).start().advance("31s")
    assert tree["bot"].restarts == 1
    assert any("30" in text and "ready" in text for text in tree.story("bot"))


def test_one_that_ignores_the_stop_is_killed(tree: SimulatedTree) -> None:
    tree.behave("bot", stops_in=None).start()
    tree.ctl("stop", "bot")
    assert tree["bot"].state == "stopping"
    tree.advance("5s")
    assert tree["bot"].state == "stopped"
    assert any("shutdown time" in text for text in tree.story("bot"))


def test_a_stop_lasts_and_a_start_ends_it(tree: SimulatedTree) -> None:
    tree.start()
    assert tree.ctl("stop", "bot") == [{"name": "bot", "ok": True, "reason": None}]
    assert tree.advance("1d")["bot"].state == "stopped"
    tree.ctl("start", "bot")
    assert tree["bot"].state == "running"


def test_success_is_what_the_tree_file_says(tree: SimulatedTree) -> None:
    tree.start().kill("once", "TERM")
    assert tree["once"].state == "completed"


def test_a_hung_worker_is_replaced(tree: SimulatedTree) -> None:
    tree.start().hang("bot").advance("1s")
    assert tree["bot"].incarnation == 2


def test_who_needs_one_that_cannot_start_waits_for_it(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(
        '[workers.feed]\ncommand = "a"\nbackoff = "10s"\n[workers.bot]\ncommand = "b"\nneeds = { feed = "ready" }\n'
    )
    tree = SimulatedTree.load(file).behave("feed", starts=False).start()
    assert (tree["bot"].state, tree["bot"].waits_for) == ("waiting", "feed")
    tree.behave_normally("feed").advance("10s")
    assert tree["bot"].state == "running"


def test_shutdown_ends_all(tree: SimulatedTree) -> None:
    tree.start().shutdown()
    assert tree.ended is not None
    assert tree.ended.why == "shutdown"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda tree: tree.kill("nobody"), "no worker or supervisor 'nobody'"),
        (lambda tree: tree.kill("bot", "FOO"), "no signal FOO"),
        (lambda tree: tree.advance("10 parsecs"), "no duration"),
        (lambda tree: tree.ctl("dance", "bot"), "none of start"),
        (lambda tree: tree.ctl("stop", "bot") and tree.exit("bot"), "does not run: it is stopped"),
    ],
)
def test_what_can_not_be(tree: SimulatedTree, what: object, words: str) -> None:
    tree.start()
    with pytest.raises(SimulationError, match=words):
        what(tree)  # type: ignore[operator]


def test_a_crash_loop_without_a_pause_ends_with_an_error(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text('[workers.a]\ncommand = "a"\nbackoff = 0\n')
    with pytest.raises(SimulationError, match="backoff"):
        SimulatedTree.load(file).behave("a", starts=False).start().advance("1s")


SCENARIO = """
# a bad night
0s   bot  ready-after 20s
10s  feed kill
1m   every 10s until 90s bot exit 3
5m   ctl stop bot
6m   bot exit
10m  end
"""


def test_a_scenario_is_played(tree: SimulatedTree) -> None:
    script = scenarios.read("night.txt", SCENARIO, tree.cast())
    scenarios.play(script, tree)
    assert tree.now == 600.0
    assert tree["bot"].state == "stopped"
    assert [line.at for line in tree.lines if line.event == "child_exited" and line.name == "feed"] == [10.0]
    assert [line.text for line in tree.lines if line.event == "remark"] == [
        "night.txt:7: nothing happens: bot does not run: it is stopped"
    ]


def test_wrong_lines_are_said_all_at_once() -> None:
    text = "1x bot kill\n5s bat kill\n5s bot klll\n5s ctl foo bot\n5s bot exit 300\n5s\n5s every 0s until 1m bot kill\n"
    with pytest.raises(scenarios.ScenarioError) as caught:
        scenarios.read("x", text, scenarios.Cast(["bot"]))
    said = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in said] == [f"x:{number}" for number in range(1, 8)]
    assert 'did you mean "bot"' in said[1]
    assert 'did you mean "kill"' in said[2]


def simulate(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supervisor_tree", "simulate", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_tells_the_story(file: Path) -> None:
    done = simulate("-c", str(file), "-", text=SCENARIO)
    assert done.returncode == 0, done.stderr
    assert "feed ended: killed by SIGKILL" in done.stdout
    assert done.stdout.splitlines()[-2].split() == ["bot", "stopped"]
    told = json.loads(simulate("-c", str(file), "--json", "-", text=SCENARIO).stdout)
    assert (told["states"]["feed"], told["states"]["bot"], told["states"]["once"]) == ("running", "stopped", "running")
    assert told["ended"] is None


def test_the_command_says_what_is_wrong(file: Path) -> None:
    done = simulate("-c", str(file), "-", text="5s bat kill\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "-:1: there is no 'bat' in the tree (did you mean" in done.stderr
    missing = simulate("-c", str(file), "nowhere.txt")
    assert missing.returncode == 2
    assert "nowhere.txt" in missing.stderr
    assert "Traceback" not in missing.stderr + done.stderr


JOBS = """
[tree]
max_runs = 2

[workers.browser]
command = "chrome"
backoff = "10s"

[jobs.nightly]
schedule = "0 0 * * *"
timezone = "America/Chicago"
retries = 2
backoff = "1h"
alert_after = 1
missed_after = "26h"
stages = [
  { name = "export", command = "export" },
  { name = "train", command = "train", instances = ["1w", "1m"], at_least = 1 },
  { name = "evaluate", command = "evaluate", critical = false },
]

[jobs.post]
every = "1m"
command = "post"
needs = { browser = "ready" }
timeout = "30s"
"""


@pytest.fixture
def jobs(tmp_path: Path) -> SimulatedTree:
    file = tmp_path / "tree.toml"
    file.write_text(JOBS)
    return SimulatedTree.load(file, start=datetime(2026, 3, 1, 12, tzinfo=UTC))


def started(tree: SimulatedTree, job: str) -> list[str]:
    return [datetime.fromtimestamp(run.started, UTC).strftime("%d %H:%M") for run in tree.runs(job) if run.started]


def test_a_week_of_nights_over_the_change_of_the_clocks(jobs: SimulatedTree) -> None:
    # Midnight in Chicago is 06:00 UTC, and 05:00 from 8 March 2026 on.
    jobs.start().advance("10d")
    assert started(jobs, "nightly") == [
        *(f"0{day} 06:00" for day in range(2, 9)),
        *("09 05:00", "10 05:00", "11 05:00"),
    ]
    assert {run.state for run in jobs.runs("nightly")} == {"succeeded"}


def test_a_failed_stage_is_tried_again_from_there(jobs: SimulatedTree) -> None:
    jobs.behave_run("nightly:train@1w", 1).behave_run("nightly:train@1m", 1, 0)
    jobs.start().advance("1d")
    (run,) = jobs.runs("nightly")
    assert (run.state, run.attempt) == ("succeeded", 2)
    assert [stage.kept for stage in run.stages] == [True, False, False]
    assert run.ended is not None
    assert run.scheduled is not None
    assert run.ended - run.scheduled >= 3600


def test_a_machine_that_slept_makes_up_for_it_once(jobs: SimulatedTree) -> None:
    jobs.start().advance("1h").sleep("3d")
    assert [run.cause for run in jobs.runs("nightly")] == ["catch_up"]


def test_a_run_waits_for_the_worker_that_it_needs(jobs: SimulatedTree) -> None:
    jobs.start().advance("90s")
    assert [run.state for run in jobs.runs("post")] == ["succeeded", "succeeded"]
    jobs.behave("browser", starts=False).kill("browser").advance("35s")
    assert jobs.job("post").state == "waiting"
    jobs.behave_normally("browser").advance("2m")
    assert jobs.runs("post")[-1].state == "succeeded"


def test_one_that_takes_too_long_is_killed(jobs: SimulatedTree) -> None:
    jobs.behave_run("post", takes=None).start().advance("45s")
    assert [run.state for run in jobs.runs("post")] == ["timed_out"]


def test_operators_stop_and_run_jobs(jobs: SimulatedTree) -> None:
    jobs.start().advance("1s")
    jobs.ctl("stop", "post")
    before = len(jobs.runs("post"))
    jobs.advance("1h")
    assert (jobs.job("post").state, len(jobs.runs("post"))) == ("stopped", before)
    assert jobs.ctl("run", "post")[0]["ok"]
    assert jobs.runs("post")[-1].cause == "manual"


def test_a_refused_run_waits_with_its_reason(jobs: SimulatedTree) -> None:
    jobs.refuse("post", "CDP_DOWN").start()
    jobs.advance("10s")
    assert (jobs.job("post").state, jobs.job("post").reason) == ("waiting", "CDP_DOWN")
    jobs.refuse("post", None)
    assert jobs.runs("post")[-1].state == "succeeded"


def test_shutdown_ends_runs_first(jobs: SimulatedTree) -> None:
    jobs.behave_run("post", takes="20s").start().shutdown()
    assert jobs.ended is not None
    assert [run.state for run in jobs.runs("post")] == ["interrupted"]


NIGHTS = """
0s   nightly:export  results 1 1 1 0
0s   post            takes 5s
1d   machine         sleep 2d
4d   ctl             stop post
5d   end
"""


def test_a_scenario_of_jobs_is_played(jobs: SimulatedTree) -> None:
    scenarios.play(scenarios.read("nights.txt", NIGHTS, jobs.cast()), jobs)
    first, second, *_ = jobs.runs("nightly")
    assert (first.state, first.attempt) == ("failed", 3)
    assert (second.state, second.cause) == ("succeeded", "catch_up")
    assert jobs.job("post").state == "stopped"
