"""check, schema and init, called in this process."""

# ruff: noqa: E501 - golden texts stand on one line, as users see them

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor_tree.cli import times
from supervisor_tree.cli.main import main

Run = Callable[..., tuple[int, str, str]]

TREE = """\
[tree]
name = "t"
[workers.db]
command = "db"
[supervisors.s]
strategy = "rest_for_one"
children = ["web", "once"]
[workers.web]
instances = 2
command = "web ${self.instance} && x"
needs = { db = "ready" }
autostart = false
health = { tcp = "h:1" }
[workers.once]
command = "once ${SECRET_THAT_IS_NOT_SET}"
restart = "temporary"
[jobs.j]
command = "j"
wake = "1m"
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("SUPERVISOR_TREE_CONFIG", raising=False)

    def call(*argv: str) -> tuple[int, str, str]:
        status = main(list(argv))
        out, err = capsys.readouterr()
        return status, out, err

    return call


def test_check_draws_the_tree_and_says_what_it_means(run: Run) -> None:
    Path("tree.toml").write_text(TREE)
    status, out, err = run("check")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:7] == [
        "tree.toml: tree t, 4 workers, 1 supervisor, 1 job",
        "",
        "root         one_for_one, never gives up",
        "├─ db        if it crashes at once: never given up: a try every 5m",
        "└─ s         rest_for_one, gives up above 5 restarts in 1m",
        (
            "   ├─ web@1  if it crashes at once: s gives up after 6 starts in 15s and is restarted; never given up: a try every 5m;"
            " stopped until `ctl start`; needs db ready"
        ),
        (
            "   ├─ web@2  if it crashes at once: s gives up after 6 starts in 15s and is restarted; never given up: a try every 5m;"
            " stopped until `ctl start`; needs db ready"
        ),
    ]
    assert lines[7] == "   └─ once   held: env SECRET_THAT_IS_NOT_SET is not set; temporary: not restarted"
    assert "warnings:" in lines
    assert any(":10: workers.web.command: " in line for line in lines)
    assert any(":19: jobs.j.wake: not yet: " in line for line in lines)


def test_check_as_json(run: Run) -> None:
    Path("tree.toml").write_text(TREE)
    status, out, _ = run("check", "--json")
    said = json.loads(out)
    assert status == 0
    assert (said["tree"], said["file"]) == ("t", str(Path("tree.toml").resolve()))
    assert said["children"][1]["children"][0] == {
        "name": "web@1", "type": "worker", "restart": "permanent", "needs": [{"name": "db", "level": "ready"}],
    }  # fmt: skip
    assert said["held"] == {"once": "env SECRET_THAT_IS_NOT_SET is not set"}
    assert said["budget"]["pipes"] == 8
    assert {one["key"] for one in said["not_yet"]} == {"jobs.j.wake"}


JOBS = """
[jobs.cron]
schedule = "15 9 * * mon-fri"
timezone = "America/New_York"
calendar = "XNYS"
command = "true"
[jobs.often]
every = "90s"
command = "true"
[jobs.once]
at = 2020-12-24T09:00:00Z
command = "true"
[jobs.hand]
command = "true"
[jobs.first]
run_at_start = true
command = "true"
[jobs.unset]
every = "5m"
command = "true ${SECRET_THAT_IS_NOT_SET}"
"""


def test_check_says_when_jobs_are_due(run: Run) -> None:
    Path("tree.toml").write_text(JOBS)
    status, out, _ = run("check")
    lines = out.splitlines()
    at = lines.index("jobs")
    assert status == 0
    due = re.fullmatch(
        r"  cron  15 9 \* \* mon-fri \(America/New_York, XNYS days\), next (\S+T1[34]:15:00.000Z)", lines[at + 1]
    )
    assert due
    assert lines[at + 2 : at + 7] == [
        "  often  every 90s",
        "  once  at 2020-12-24T09:00:00+00:00, which is past",
        "  hand  by hand: ctl run hand",
        "  first  by hand: ctl run first; at each start of the tree",
        "  unset  held: env SECRET_THAT_IS_NOT_SET is not set",
    ]
    _, out, _ = run("check", "--json")
    assert json.loads(out)["schedules"][0] == {
        "name": "cron", "schedule": "15 9 * * mon-fri (America/New_York, XNYS days)", "next": due[1],
        "calendar_ends": "2028-12-31",
    }  # fmt: skip


def test_check_says_when_a_calendar_runs_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tree.toml").write_text(JOBS)
    monkeypatch.setattr("supervisor_tree.cli.times.now", lambda: times.unix("2028-11-01T00:00:00Z"))
    _, out, _ = run("check")
    assert "    its calendar is known until 2028-12-31; after that every weekday counts" in out.splitlines()


def test_check_of_a_broken_file_says_every_error_at_once(run: Run) -> None:
    Path("tree.toml").write_text("[workers.a]\ncomand = 'x'\n[tre]\n")
    status, out, err = run("check")
    assert (status, out) == (2, "")
    assert err.splitlines() == [
        "tree.toml:1: workers.a: names no program: write exactly one of command, run, use",
        'tree.toml:2: workers.a.comand: unknown key (did you mean "command"?)',
        'tree.toml:3: tre: unknown table (did you mean "tree"?)',
    ]
    status, out, err = run("check", "--json")
    said = json.loads(out)["error"]
    assert (status, err, said["code"]) == (2, "", "config")
    assert [problem["line"] for problem in said["problems"]] == [1, 2, 3]


def test_check_of_a_file_that_is_not_there(run: Run) -> None:
    status, _, err = run("check", "-c", "none.toml")
    assert status == 2
    assert err == "none.toml:1: can't read none.toml: No such file or directory\n"


def test_check_of_several_files(run: Run) -> None:
    Path("one.toml").write_text("[workers.a]\ncommand = 'x'\n")
    Path("two.toml").write_text("[workers.a]\nnice = 3\n[workers.b]\ncommand = 'x'\n")
    status, out, _ = run("check", "-c", "one.toml", "-c", "two.toml")
    assert status == 0
    assert out.startswith("one.toml, two.toml: tree ")


def test_check_without_a_file_shows_the_example(run: Run) -> None:
    status, out, _ = run("check")
    assert status == 0
    assert out.startswith("no -c and no ./tree.toml here: this is the example tree that comes with the package\n")
    assert "host-watcher" in out


def test_the_variable_of_the_children_names_the_file(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.toml").write_text("[tree]\nname = 'other-tree'\n")
    monkeypatch.setenv("SUPERVISOR_TREE_CONFIG", str(tmp_path / "other" / "x.toml"))
    assert "tree other-tree" in run("check")[1]


def test_a_large_tree_is_cut_short(run: Run) -> None:
    Path("tree.toml").write_text("[workers.a]\ncommand = 'x'\ninstances = 500\n")
    _, out, _ = run("check")
    assert "… and 301 more" in out


def test_init_writes_a_tree_that_passes_check(run: Run) -> None:
    status, out, _ = run("init")
    assert status == 0
    assert out.startswith("wrote tree.toml")
    status, out, err = run("check")
    assert (status, err) == (0, "")
    assert "hello" in out
    assert "warnings" not in out


def test_init_with_all_that_is_commented_out(run: Run) -> None:
    run("init")
    text = Path("tree.toml").read_text()
    lines = [
        line[2:] if line.startswith("# [") or (line.startswith("# ") and " = " in line) else line
        for line in text.splitlines()
    ]
    Path("tree.toml").write_text(
        "\n".join([*lines, "[workers.first]", "command = 'x'", "[workers.second]", "command = 'y'"])
    )
    Path(".env").write_text("")
    status, out, err = run("check")
    assert (status, err) == (0, ""), out


def test_init_overwrites_nothing(run: Run) -> None:
    Path("tree.toml").write_text("mine")
    status, _, err = run("init")
    assert status == 1
    assert "tree.toml is there already" in err
    assert Path("tree.toml").read_text() == "mine"
    assert run("init", "-c", "sub/x.toml")[0] == 1
    assert run("init", "-c", "x.toml")[0] == 0


@pytest.mark.parametrize("name", ["..odd name", "ümlaut", "-", "x" * 100])
def test_init_in_folders_with_odd_names(run: Run, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    assert run("init")[0] == 0
    status, _, err = run("check")
    assert (status, err) == (0, "")


def test_schema_is_json(run: Run) -> None:
    status, out, _ = run("schema")
    assert status == 0
    assert json.loads(out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
