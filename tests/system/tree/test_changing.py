"""Reload, add and remove, instances and templates: only what changed is touched."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.support.asking import Refused, ask
from tests.support.tree import Tree
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.same

BEFORE = """
    [defaults]
    shutdown = "5s"
    [workers.same]
    command = "sleep 1000"
    [workers.live]
    command = "sleep 1000"
    backoff = "1h"
    [workers.command]
    command = "sleep 1000"
    [workers.env]
    command = "sh -c 'echo $X; exec sleep 1000'"
    env = { X = "one" }
    [workers.gone]
    command = "sleep 1000"
    [supervisors.s]
    children = ["inner"]
    intensity = 1
    [workers.inner]
    command = "sleep 1000"
"""
AFTER = """
    [defaults]
    shutdown = "5s"
    [workers.same]
    command = "sleep 1000"
    [workers.live]
    command = "sleep 1000"
    backoff = "100ms"
    log = { max_size = "1MB" }
    [workers.command]
    command = "sleep 1001"
    [workers.env]
    command = "sh -c 'echo $X; exec sleep 1000'"
    env = { X = "two" }
    [supervisors.s]
    children = ["inner"]
    intensity = 9
    [workers.inner]
    command = "sleep 1000"
    [workers.new]
    command = "sleep 1000"
"""


def names_of(t: Tree) -> list[str]:
    return [child["name"] for child in t.status()["children"]]


def test_reload_touches_only_what_changed(tree: MakeTree) -> None:
    t = tree(BEFORE)
    t.wait("same", "live", "command", "env", "gone", "inner")
    eventually(lambda: t.log("env") == "one\n", "the old environment")
    before = t.pids()
    t.write(AFTER)
    plan = {change["name"]: change for change in t.ask("reload", plan=True)["changes"]}
    actions = {name: change["action"] for name, change in plan.items() if change["action"] != "keep"}
    assert actions == {
        "root": "live",  # its list of children
        "live": "live",
        "command": "restart",
        "env": "restart",
        "gone": "remove",
        "s": "live",
        "new": "add",
    }
    assert plan["command"]["keys"] == ["command"]
    assert plan["env"]["keys"] == ["env"] or plan["env"]["keys"] == ["env.X"]
    assert "backoff" in plan["live"]["keys"]
    assert plan["s"]["keys"] == ["intensity"]
    assert t.pids() == before  # a plan does nothing
    assert t.ask("reload")["state"] == "done"
    t.wait("same", "live", "command", "env", "new", "inner")
    after = t.pids()
    assert set(after) == {"same", "live", "command", "env", "inner", "new"}
    assert {name for name in after if after[name] != before.get(name)} == {"command", "env", "new"}
    assert {child["restarts"] for child in t.children().values()} == {0}
    eventually(lambda: t.log("env") == "one\ntwo\n", "the new environment")
    # A live key lives: the delay is the new one.
    t.kill(after["live"])
    t.wait_until("live", state="running", restarts=1)
    # And does so after a root's death.
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    t.kill(t.pids()["live"])
    t.wait_until("live", state="running", restarts=2)
    assert t.child("s")["intensity"] == 9


def test_hangup_reloads(tree: MakeTree) -> None:
    t = tree(BEFORE)
    t.wait("same", "gone")
    before = t.pids()
    t.write(AFTER)
    assert t.keeper is not None
    t.keeper.send_signal(signal.SIGHUP)
    eventually(lambda: "new" in t.children(), "the new one is there")
    t.wait("new")
    eventually(lambda: "gone" not in t.children(), "the old one is stopped and gone")
    assert t.pids()["same"] == before["same"]


def test_a_broken_file_changes_nothing(tree: MakeTree) -> None:
    t = tree(BEFORE)
    t.wait("same", "gone")
    before = t.pids()
    t.write(AFTER.replace("backoff = ", "backof = ").replace("intensity = 9", "intensity = 'nine'"))
    for plan in (True, False):
        told = t.ctl("reload", *(["--plan"] if plan else []), "--json", status=2)
        message = json.loads(told)["error"]["message"]
        assert "backof" in message
        assert "intensity" in message
        assert "tree.toml:" in message
    assert t.keeper is not None
    t.keeper.send_signal(signal.SIGHUP)
    eventually(lambda: len(t.events("reload_refused")) >= 2, "the refusals are in the journal")
    assert t.pids() == before


def test_the_file_pulled_away_under_a_running_tree(tree: MakeTree) -> None:
    t = tree(BEFORE)
    t.wait("same", "gone")
    os.rename(t.file, t.dir / "elsewhere")
    answer = t.ask("reload")
    assert (answer["state"], answer["code"]) == ("failed", "config")
    assert "tree.toml" in answer["error"]
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    t.kill(t.pids()["same"])
    t.wait_until("same", state="running", restarts=1)
    assert t.ask("restart", names=["inner"])["state"] == "done"
    os.rename(t.dir / "elsewhere", t.file)
    assert t.ask("reload")["state"] == "done"
    assert t.stop() == 0


def test_children_move_and_the_rest_is_left_alone(tree: MakeTree) -> None:
    t = tree(BEFORE)
    t.wait("same", "gone", "inner")
    before = t.pids()
    t.write(BEFORE.replace('children = ["inner"]', 'children = ["gone", "inner"]'))
    assert t.ask("reload")["state"] == "done"
    t.wait("gone", "inner", "same")
    assert "gone" not in names_of(t)
    assert [child["name"] for child in t.child("s")["children"]] == ["gone", "inner"]
    after = t.pids()
    assert {name for name in before if after[name] != before[name]} == {"gone"}


def test_added_ones_are_kept_over_restarts_of_the_tree(tree: MakeTree) -> None:
    t = tree('[workers.a]\ncommand = "sleep 1000"\n')
    t.wait("a")
    a = t.pids()["a"]
    assert t.ask("add", toml='[workers.b]\ncommand = "sleep 1000"\n')["state"] == "done"
    t.wait("b")
    assert t.pids()["a"] == a
    t.ask("reload")
    assert set(t.pids()) == {"a", "b"}
    assert t.stop() == 0
    t.start()
    t.wait("a", "b")
    with pytest.raises(Refused) as refused:
        t.ask("remove", names=["a"])
    assert refused.value.code == "refused"
    t.ask("remove", names=["b"])
    assert set(t.children()) == {"a"}
    assert t.stop() == 0
    t.start()
    t.wait("a")
    assert set(t.children()) == {"a"}


def test_adds_at_the_same_time_are_all_kept(tree: MakeTree) -> None:
    """Over a root's death too."""
    t = tree('[workers.a]\ncommand = "sleep 1000"\n')
    t.wait("a")
    run_dir = t.run_dir
    answers: list[Any] = []

    def add(name: str) -> None:
        answers.append(ask(run_dir, "add", PATIENCE, toml=f'[workers.{name}]\ncommand = "sleep 1000"\n')["state"])

    names = [f"w{n}" for n in range(8)]
    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    for number, thread in enumerate(threads):
        thread.start()
        if number == 4:
            os.kill(t.root_pid(), signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert answers == ["done"] * 8
    t.wait("a", *names)
    assert t.stop() == 0
    t.start()
    t.wait("a", *names)


def test_what_is_added_wrong_changes_nothing(tree: MakeTree) -> None:
    t = tree('[workers.a]\ncommand = "sleep 1000"\n')
    t.wait("a")
    answer = t.ask("add", toml='[workers.b]\ncomand = "sleep 1000"\n')
    assert answer["state"] == "failed"
    assert "did you mean" in answer["results"][0]["reason"]
    for text in ("", "[[[", "x = 1", "[workers.a]\ncommand = 'x'\n"):
        with pytest.raises(Refused):
            t.ask("add", toml=text)
    assert set(t.children()) == {"a"}
    assert not (t.state_dir / "added.toml").exists()


def test_instances(tree: MakeTree) -> None:
    web = """
        [workers.web]
        instances = [8001, 8002]
        command = "sh -c 'echo ${self.instance} ${self.name}; exec sleep 1000'"
        [workers.other]
        command = "sleep 1000"
        needs = { web = "started" }
        """
    t = tree(web)
    t.wait("web", "other")
    assert names_of(t) == ["web@8001", "web@8002", "other"]
    eventually(lambda: t.log("web@8002") == "8002 web@8002\n", "its own output")
    before = t.pids()
    t.ask("restart", names=["web@8001"])
    t.wait("web@8001", "web@8002")
    assert {name for name, pid in t.pids().items() if pid != before[name]} == {"web@8001"}
    t.ask("stop", names=["web"])
    assert set(t.pids()) == {"other"}
    t.ask("start", names=["web"])
    before = t.pids()
    t.write(web.replace("[8001, 8002]", "[8002, 8003]"))
    t.ask("reload")
    t.wait("web", "other")
    after = t.pids()
    assert set(after) == {"web@8002", "web@8003", "other"}
    assert after["web@8002"] == before["web@8002"]


def test_children_made_from_a_template(tree: MakeTree) -> None:
    t = tree(
        """
        [supervisors.fetchers]
        strategy = "simple_one_for_one"
        children = ["fetch"]
        [workers.fetch]
        command = "sh -c 'echo $0 ${self.instance} $@; exec sleep 1000' fetch"
        backoff = "0s"
        """
    )
    t.wait("fetchers")
    assert t.child("fetchers")["children"] == []
    t.ctl("add", "fetchers", "one", "--", "x", "y")
    t.ctl("add", "fetchers", "two")
    t.wait("fetch@one", "fetch@two")
    eventually(lambda: t.log("fetch@one") == "fetch one x y\n", "its arguments")
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    t.kill(t.pids()["fetch@one"])
    t.wait_until("fetch@one", state="running", restarts=1)
    eventually(lambda: t.log("fetch@one") == "fetch one x y\n" * 2, "its arguments again")
    t.ask("reload")
    assert set(t.pids()) == {"fetch@one", "fetch@two"}
    with pytest.raises(Refused) as refused:
        t.ask("remove", names=["fetch@one", "fetch@two"])
    assert refused.value.code == "refused"
    assert set(t.pids()) == {"fetch@one", "fetch@two"}
    t.ctl("remove", "fetch@one")
    assert set(t.pids()) == {"fetch@two"}
    assert "fetch@one" not in t.children()
    t.ctl("add", "fetchers", "one")
    t.wait("fetch@one")
    assert t.stop() == 0
