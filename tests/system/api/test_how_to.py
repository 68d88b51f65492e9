"""The programs in docs/how-to/python-api.md do what is said of them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from supervisor_tree import Job, Supervisor
from supervisor_tree.api.describing import Tables
from tests.support.tree import REPOSITORY
from tests.support.waiting import eventually
from tests.system.api.conftest import MakeProgram, Program
from tests.system.jobs.looking import ended, lines, wait_runs

PAGE = (REPOSITORY / "docs" / "how-to" / "python-api.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SHOP, STRATEGIES, BOT, TYPED, FEEDS, ENDING = PROGRAMS


def test_a_function_and_a_command(program: MakeProgram) -> None:
    tree = program(SHOP)
    tree.wait("web", "collector")
    tree.wait_until("collector", status="collected")
    assert tree.stop() == 0


@pytest.mark.parametrize("guarded", [False, True])
def test_classes_and_closures_of_the_program(program: MakeProgram, guarded: bool) -> None:
    before, run, after = STRATEGIES.partition("\nSupervisor(")
    guard = '\nif __name__ == "__main__":\n' + "".join(f"    {line}\n" for line in (run + after).strip().splitlines())
    tree = program(before + guard if guarded else STRATEGIES)
    tree.wait("quotes", "slow", "fast")
    tree.wait_until("quotes", status=lambda said: said is not None and said.startswith("SPY: tick "))
    pid = tree.pids()["slow"]
    tree.kill(tree.pids()["fast"])
    tree.wait_until("slow", pid=lambda now: now not in (None, pid))
    assert tree.stop() == 0


@pytest.fixture
def bot(program: MakeProgram) -> Program:
    # At times that no test runs at: its runs are asked for.
    tree = program(re.sub(r'schedule="\S+ \S+ [^"]*"', 'schedule="0 0 29 2 *"', BOT))
    tree.wait("feed")
    return tree


def test_a_job_every_second_and_a_pipeline(bot: Program) -> None:
    wait_runs(bot, "pulse", 2, state="succeeded", cause="schedule")
    bot.ctl("run", "nightly", "--wait")
    (nightly,) = wait_runs(bot, "nightly", 1, state="succeeded")
    assert [(stage["name"], stage["state"]) for stage in nightly["stages"]] == [
        ("export", "succeeded"),
        ("train", "succeeded"),
        ("report", "succeeded"),
    ]
    assert ended(bot, "nightly", 1)[0]["output_tail"] == [
        "exported 1000 rows",
        "trained 1w",
        "trained 1m",
        f"written by {nightly['run']}",
    ]
    assert bot.stop() == 0


def test_a_rule_on_a_job(bot: Program) -> None:
    before = bot.child("feed")["incarnation"]
    lock = bot.dir / "state" / "feed.lock"
    lock.parent.mkdir()
    lock.touch()
    # The first status stands, whatever was mended.
    bot.ctl("run", "check", "--wait", status=2)
    (again,) = wait_runs(bot, "check", 1, state="succeeded")
    assert again["cause"] == "rerun"
    eventually(lambda: bot.events("recovery_ended", "check"), "the recovery ends")
    assert not lock.exists()
    bot.wait_until("feed", incarnation=before + 1, state="running", restarts=0)
    eventually(
        lambda: any("UNHEALTHY: the feed is locked" in line for line in lines(bot, "logs/unlock.log")),
        "the rule's log has the lines of the failed run",
    )
    assert bot.stop() == 0


def test_a_rule_on_a_worker_and_an_alert(bot: Program) -> None:
    before = bot.child("feed")["incarnation"]
    (bot.dir / "unplugged").touch()
    bot.wait_until("feed", incarnation=before + 1, state="running", restarts=0)

    # One line for each delivery; other alerts of the same second, if any, are in it, too.
    eventually(lambda: any("connection_error: no quotes" in line for line in lines(bot, "alerts.jsonl")), "an alert")
    eventually(lambda: [*(bot.dir / "alerts").glob("feed_*.txt")], "the alert's file")
    assert bot.stop() == 0


def test_a_table_apart_from_its_use() -> None:
    names: dict[str, Any] = {}
    exec(TYPED, names)  # noqa: S102 - as a program that has it
    root = Supervisor([], jobs=[Job("check", command="x", recover="unlock")], recover={"unlock": names["unlock"]})
    assert Tables(root).data()["recover"] == {"unlock": names["unlock"]}


def test_a_template(program: MakeProgram) -> None:
    tree = program(FEEDS)
    (command,) = re.findall(r"`supervisor-tree (ctl add fetchers [^`]*)`", PAGE)
    tree.cli(*command.split())
    tree.wait("fetch@SPY")
    eventually(lambda: tree.log("fetch@SPY") == "fetching SPY to depth 3\n", lambda: tree.log("fetch@SPY"))
    tree.ctl("remove", "fetch@SPY")
    assert "fetch@SPY" not in tree.children()
    assert tree.stop() == 0


def test_a_tree_that_ends(program: MakeProgram) -> None:
    tree = program(ENDING, start=False)
    tree.start(wait=False)
    assert tree.wait_end() == 0
    assert "working" in tree.output()


def test_the_mistakes(program: MakeProgram) -> None:
    wrong = SHOP.replace('shutdown="3s"', 'shutdown="3"').replace('needs={"web"', 'needs={"wbe"')
    tree = program(wrong, start=False)
    tree.start(wait=False)
    assert tree.wait_end() == 1
    said = re.search(r"Mistakes.*?^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert said is not None
    assert said[1] in tree.output()
