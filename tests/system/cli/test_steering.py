"""start, stop, restart, hold, release, signal, reload, add, remove, ops, cancel, upgrade, shutdown on real trees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.support.waiting import PATIENCE, eventually

TWO = """
    [supervisors.market]
    strategy = "rest_for_one"
    children = ["feed", "bot"]
    [workers.feed]
    command = "sleep 1000"
    [workers.bot]
    command = "sleep 1000"
"""


def results(told: str) -> dict[str, dict[str, Any]]:
    data = json.loads(told)
    assert set(data) >= {"operation", "state", "results"}
    for result in data["results"]:
        assert set(result) >= {"name", "ok", "reason"}
    return {result["name"]: result for result in data["results"]}


def test_stop_and_start(tree: MakeTree) -> None:
    t = tree(TWO)
    t.wait("feed", "bot")
    pids = t.pids()
    assert t.ctl("stop", "feed", "--reason", "new disk") == "feed: stopped\n"
    child = t.child("feed")
    assert child["state"] == "stopped"
    assert child["hold"]["reason"] == "new disk"
    assert t.pids() == {"bot": pids["bot"]}
    assert results(t.ctl("start", "feed", "--json"))["feed"]["ok"]
    t.wait("feed")
    assert t.pids()["feed"] != pids["feed"]
    assert t.pids()["bot"] == pids["bot"]


def test_a_stop_lasts_over_a_restart_of_the_tree(tree: MakeTree) -> None:
    t = tree(TWO)
    t.wait("feed", "bot")
    t.ctl("stop", "feed", "--reason", "new disk")
    assert t.stop() == 0
    t.start()
    t.wait("feed", state="stopped")
    assert t.child("feed")["hold"]["reason"] == "new disk"
    assert "new disk" in t.ctl("status")


def test_restart_touches_only_its_own_and_counts_in_nothing(tree: MakeTree) -> None:
    t = tree(TWO)
    t.wait("feed", "bot")
    before = t.pids()
    assert t.ctl("restart", "feed") == "feed: restarted\n"
    t.wait("feed")
    assert t.pids()["bot"] == before["bot"]
    assert t.pids()["feed"] != before["feed"]
    assert t.child("feed")["restarts"] == 0
    t.ctl("restart", "feed", "--tied")
    t.wait("feed", "bot")
    assert t.pids()["bot"] != before["bot"]


def test_stop_all_and_the_tree_lives_on(tree: MakeTree) -> None:
    t = tree(TWO)
    t.wait("feed", "bot")
    t.ctl("stop", "--all")
    assert t.pids() == {}
    assert t.status()["state"] == "running"
    t.ctl("start", "all")
    t.wait("feed", "bot")


def test_hold_and_release(tree: MakeTree) -> None:
    t = tree(TWO)
    t.wait("feed", "bot")
    assert t.ctl("hold", "bot", "--reason", "look at it") == "bot: held\n"
    assert t.child("bot")["state"] == "running"
    t.kill(t.pids()["bot"])
    t.wait("bot", state="held")
    told = t.child("bot")
    assert told["hold"]["reason"] == "look at it"
    assert told["reason"].startswith("hold by ")
    assert t.ctl("release", "bot") == "bot: released\n"
    t.wait("bot")
    assert t.child("bot")["hold"] is None


def test_names_that_are_not_there(tree: MakeTree) -> None:
    t = tree(TWO)
    for verb in ("start", "stop", "restart", "hold", "release", "status", "why", "describe", "wait"):
        t.ctl(verb, "fed", status=4)
    told = json.loads(t.ctl("stop", "fed", "--json", status=4))["error"]
    assert told["code"] == "no_such_name"
    assert "feed" in told["mend"]


def test_signal(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.w]
        command = ["sh", "-c", "trap 'echo got it' USR1; echo up; while :; do sleep 0.05; done"]
        """
    )
    eventually(lambda: "up" in t.log("w"), "it is up")
    assert t.ctl("signal", "usr1", "w") == "w: signalled\n"
    eventually(lambda: "got it" in t.log("w"), "the signal came")
    t.ctl("signal", "NOPE", "w", status=2)
    t.ctl("stop", "w")
    assert not results(t.ctl("signal", "HUP", "w", "--json", status=1))["w"]["ok"]


def test_reload_of_names_sends_their_signal(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.w]
        command = ["sh", "-c", "trap 'echo again' HUP; echo up; while :; do sleep 0.05; done"]
        reload_signal = "HUP"
        [workers.x]
        command = "sleep 1000"
        """
    )
    eventually(lambda: "up" in t.log("w"), "it is up")
    t.ctl("reload", "w")
    eventually(lambda: "again" in t.log("w"), "the signal came")
    t.ctl("reload", "x", status=1)


def test_reload_plan_and_reload(tree: MakeTree) -> None:
    t = tree(TWO)
    t.wait("feed", "bot")
    before = t.pids()
    t.write(
        TWO.replace('[workers.bot]\n    command = "sleep 1000"', '[workers.bot]\n    command = "sleep 2000"')
        + '\n    [workers.new]\n    command = "sleep 1000"\n'
    )
    plan = {change["name"]: change for change in json.loads(t.ctl("reload", "--plan", "--json"))["changes"]}
    assert (plan["bot"]["action"], plan["bot"]["keys"]) == ("restart", ["command"])
    assert (plan["feed"]["action"], plan["new"]["action"]) == ("keep", "add")
    told = t.ctl("reload", "--plan")
    assert "command" in next(line for line in told.splitlines() if line.startswith("bot"))
    assert t.pids() == before
    t.ctl("reload")
    t.wait("feed", "bot", "new")
    after = t.pids()
    assert after["feed"] == before["feed"]
    assert after["bot"] != before["bot"]
    assert t.ctl("reload") == "nothing has changed\n"


def test_a_broken_file_changes_nothing(tree: MakeTree) -> None:
    t = tree(TWO)
    t.wait("feed", "bot")
    before = t.pids()
    t.write(TWO.replace("strategy", "stratgey") + "[workers.new]\ncomand = 1\n")
    told = json.loads(t.ctl("reload", "--json", status=2))["error"]
    assert told["code"] == "config"
    assert "tree.toml:3: " in told["message"]
    assert "did you mean" in told["message"] or "strategy" in told["message"]
    t.ctl("reload", "--plan", status=2)
    t.ctl("reload", status=2)
    assert t.pids() == before


def test_add_and_remove(tree: MakeTree, tmp_path: Path) -> None:
    t = tree(TWO)
    t.wait("feed", "bot")
    (tmp_path / "more.toml").write_text('[workers.more]\ncommand = "sleep 1000"\n')
    assert "more" in t.ctl("add", str(tmp_path / "more.toml"), "--to", "market")
    t.wait("more")
    market = next(child for child in t.status()["children"] if child["name"] == "market")
    assert [child["name"] for child in market["children"]] == ["feed", "bot", "more"]
    t.ctl("add", str(tmp_path / "more.toml"), status=1)
    t.ctl("remove", "feed", status=1)
    t.ctl("remove", "nobody", status=4)
    assert "more" in t.ctl("remove", "more")
    assert "more" not in t.children()
    (tmp_path / "bad.toml").write_text("# more of them\n\n[workers.more]\ncomand = 1\n")
    error = json.loads(t.ctl("add", str(tmp_path / "bad.toml"), "--json", status=2))["error"]
    assert f"{tmp_path / 'bad.toml'}:4: workers.more.comand" in error["message"]
    (tmp_path / "broken.toml").write_text("[workers.more\n")
    t.ctl("add", str(tmp_path / "broken.toml"), status=2)


def test_add_and_remove_an_instance_of_a_template(tree: MakeTree) -> None:
    t = tree(
        """
        [supervisors.fetchers]
        strategy = "simple_one_for_one"
        children = ["fetch"]
        [workers.fetch]
        command = "sh -c 'echo \\"$@\\"; exec sleep 1000' ${self.instance}"
        """
    )
    told = results(t.ctl("add", "fetchers", "7", "--json", "--", "-v", "x"))
    (name,) = told
    assert told[name]["ok"]
    t.wait(name)
    t.ctl("add", "fetchers", "7", status=1)
    t.ctl("remove", name)
    assert name not in t.children()


def test_cancel_of_an_operation(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.slow]
        command = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"]
        shutdown = "5m"
        """
    )
    eventually(lambda: "up" in t.log("slow"), "it ignores TERM")
    with t.follow("ctl", "restart", "slow", "--json") as asked:
        t.wait("slow", state="stopping")
        (operation,) = [told for told in json.loads(t.ctl("ops", "--json")) if told["state"] == "running"]
        t.ctl("cancel", operation["operation"][:8])
        assert json.loads(asked.line())["state"] == "cancelled"
        assert asked.process.wait(PATIENCE) == 1
    t.ctl("cancel", "ffffffff", status=1)


def test_upgrade_touches_no_worker(tree: MakeTree) -> None:
    t = tree(TWO)
    t.wait("feed", "bot")
    pids, root = t.pids(), t.root_pid()
    t.ctl("upgrade")
    assert t.pids() == pids
    assert t.root_pid() != root


def test_shutdown_ends_everything(tree: MakeTree) -> None:
    t = tree(TWO)
    t.wait("feed", "bot")
    assert "has ended" in t.ctl("shutdown")
    assert t.wait_end(1) == 0
    t.assert_nothing_left(0.5)
    t.ctl("shutdown", status=3)


@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_a_request_survives_the_death_of_the_root(tree: MakeTree, json_: list[str]) -> None:
    t = tree(
        """
        [workers.slow]
        command = [
          "sh", "-c", "trap 'until test -e go; do sleep 0.05; done; exit' TERM; echo up; while :; do sleep 0.05; done",
        ]
        shutdown = "5m"
        """
    )
    eventually(lambda: "up" in t.log("slow"), "it takes its time when it is told to end")
    with t.follow("ctl", "stop", "slow", *json_) as asked:
        t.wait("slow", state="stopping")
        root = t.root_pid()
        t.kill(root)
        t.wait_new_root(root)
        (t.dir / "go").touch()
        line = asked.line()
        assert asked.process.wait(PATIENCE) == 0
    assert "slow" in line
    assert t.child("slow")["state"] == "stopped"
