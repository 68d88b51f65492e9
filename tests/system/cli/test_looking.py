"""status, tree, why, describe, events, trees, wait on real trees: what people see and what scripts read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.support.waiting import PATIENCE, eventually

TREE = """
    [supervisors.market]
    strategy = "rest_for_one"
    children = ["feed", "bot"]
    [workers.feed]
    command = "sleep 1000"
    [workers.bot]
    command = "sleep 1000"
    [workers.crasher]
    command = ["sh", "-c", "exit 3"]
    backoff = "1h"
    [workers.once]
    command = "true"
    restart = "temporary"
    [workers.idle]
    command = "sleep 1000"
    autostart = false
"""

TOP = {"tree", "file", "keeper", "root", "state", "since", "children", "jobs"}
CHILD = {
    "name", "type", "state", "pid", "incarnation", "restarts", "since", "reason", "next_attempt", "ready", "health",
    "status", "cpu", "memory", "last_exit", "hold", "strategy", "children",
}  # fmt: skip


def by_name(children: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {}
    for child in children:
        found[child["name"]] = child
        found |= by_name(child["children"])
    return found


def settled(tree: Any) -> Any:
    tree.wait("feed", "bot")
    tree.wait("crasher", state="backoff")
    tree.wait("once", state="completed")
    tree.wait("idle", state="stopped")
    return tree


def test_status_as_json_has_every_key(tree: MakeTree) -> None:
    t = settled(tree(TREE))
    told = json.loads(t.ctl("status", "--json"))
    assert set(told) >= TOP
    assert (told["file"], told["keeper"], told["jobs"]) == (str(t.file), t.run_json()["keeper"], [])
    assert told["tree"] == "tree"
    children = by_name(told["children"])
    assert list(children) == ["market", "feed", "bot", "crasher", "once", "idle"]
    for child in children.values():
        assert set(child) >= CHILD
    assert {name: child["state"] for name, child in children.items()} == {
        "market": "running",
        "feed": "running",
        "bot": "running",
        "crasher": "backoff",
        "once": "completed",
        "idle": "stopped",
    }
    assert (children["market"]["type"], children["market"]["strategy"]) == ("supervisor", "rest_for_one")
    assert children["feed"]["pid"] in {process.pid for process in t.processes()}
    assert set(children["crasher"]["last_exit"]) >= {"code", "signal", "reason", "at"}
    assert children["crasher"]["last_exit"]["code"] == 3
    assert children["crasher"]["next_attempt"].endswith("Z")


def test_status_for_people(tree: MakeTree) -> None:
    t = settled(tree(TREE))
    head, titles, *rows = t.ctl("status").splitlines()
    assert head.startswith("tree ")
    assert str(t.file) in head
    assert titles.split() == ["NAME", "STATE", "PID", "UP", "RESTARTS", "REASON", "/", "NEXT"]
    assert [row.split()[0] for row in rows] == ["market", "feed", "bot", "crasher", "once", "idle"]
    assert rows[1].startswith("  feed")
    crasher = rows[3]
    assert "exit status 3" in crasher
    assert "next try in" in crasher
    assert "\033" not in "".join(rows)


def test_status_of_some(tree: MakeTree) -> None:
    t = settled(tree(TREE))
    told = json.loads(t.ctl("status", "--json", "bot", "crasher"))
    assert [child["name"] for child in told["children"]] == ["bot", "crasher"]


def test_tree_is_drawn(tree: MakeTree) -> None:
    t = settled(tree(TREE))
    lines = t.ctl("tree").splitlines()
    assert "├─ market" in lines[2]
    assert "rest_for_one" in lines[2]
    assert "│  ├─ feed" in lines[3]
    assert "└─ idle" in lines[-1]
    assert set(by_name(json.loads(t.ctl("tree", "--json"))["children"])) >= {"market", "bot"}


def test_why_tells_cause_and_next(tree: MakeTree) -> None:
    t = settled(tree(TREE))
    told = t.ctl("why", "crasher")
    assert told.splitlines()[0].startswith("crasher is backoff")
    assert "exit status 3" in told
    assert "→ next attempt" in told
    story = json.loads(t.ctl("why", "crasher", "--json"))
    assert story["name"] == "crasher"
    assert all(set(link) >= {"time", "text"} for link in story["chain"])
    assert "crasher" in t.ctl("why")
    assert "feed is" not in t.ctl("why")


def test_why_of_a_stop_says_who_and_why(tree: MakeTree) -> None:
    t = settled(tree(TREE))
    t.ctl("stop", "feed", "--reason", "new disk")
    told = t.ctl("why", "feed")
    assert told.splitlines()[0].startswith("feed is stopped")
    assert "new disk" in told
    assert "@" in told


def test_describe_tells_settings_but_no_values_of_variables(tree: MakeTree) -> None:
    t = tree('[workers.a]\ncommand = "sleep 1000"\nenv = { SECRET = "hunter2" }\n')
    t.wait("a")
    for told in (t.ctl("describe", "a"), t.ctl("describe", "a", "--json"), t.ctl("describe")):
        assert "hunter2" not in told
        assert "SECRET" in told
    assert json.loads(t.ctl("describe", "a", "--json"))["name"] == "a"


def test_describe_tells_what_a_worker_uses_and_settings_as_they_are_written(tree: MakeTree) -> None:
    t = tree(TREE.replace("[workers.feed]", '[workers.feed]\n    umask = "027"'))
    settled(t)
    told = json.loads(t.ctl("describe", "feed", "--json"))
    assert told["memory"] > 0
    assert told["cpu"] >= 0
    assert told["settings"]["umask"] == "027"
    (market, idle) = json.loads(t.ctl("describe", "market", "idle", "--json"))
    assert [(one["name"], one["cpu"], one["memory"]) for one in (market, idle)] == [
        ("market", None, None),
        ("idle", None, None),
    ]


def test_events_past_and_following(tree: MakeTree) -> None:
    t = settled(tree(TREE))
    lines = [json.loads(line) for line in t.ctl("events", "--json").splitlines()]
    assert all(set(line) >= {"time", "seq", "event", "name"} for line in lines)
    assert [line["seq"] for line in lines] == sorted({line["seq"] for line in lines})
    kind = next(line["event"] for line in lines if line["name"] == "crasher")
    only = [json.loads(line) for line in t.ctl("events", "--json", "--type", kind).splitlines()]
    assert {line["event"] for line in only} == {kind}
    assert len(t.ctl("events", "-n", "3").splitlines()) == 3
    assert t.ctl("events", "-n", "0") == ""
    assert t.ctl("events", "--since", "2999-01-01") == ""
    with t.follow("ctl", "events", "-f", "--json", "-n", "1") as followed:
        seen = json.loads(followed.line())["seq"]
        t.kill(t.pids()["feed"])
        event = followed.event("child_exited", "feed")
        assert event["seq"] > seen


def test_following_events_survives_a_new_root_and_ends_with_the_tree(tree: MakeTree) -> None:
    t = settled(tree(TREE))
    with t.follow("ctl", "events", "-f", "--json", "-n", "1") as followed:
        last = json.loads(followed.line())["seq"]
        t.kill(t.root_pid())
        t.wait("feed")
        t.ctl("stop", "feed")
        while True:
            event = json.loads(followed.line())
            assert event["seq"] == last + 1
            last = event["seq"]
            if event["name"] == "feed" and "feed" in str(event):
                break
        t.stop()
        assert followed.process.wait(PATIENCE) == 0


def test_wait(tree: MakeTree) -> None:
    t = tree(TREE)
    assert "feed: running" in t.ctl("wait", "feed", "--timeout", "20s")
    t.ctl("wait", "crasher", "--for", "backoff", "--timeout", "20s")
    told = t.ctl("wait", "crasher", "--for", "running", "--timeout", "200ms", status=124)
    assert told == ""
    told = t.ctl("wait", "crasher", "--timeout", "200ms", "--json", status=124)
    assert json.loads(told)["error"]["code"] == "timeout"
    t.ctl("wait", "nobody", status=4)


def test_trees_and_finding_one(tree: MakeTree, tmp_path: Any) -> None:
    # Every tree of this user is found: also those of tests that run beside this one.
    one, two, none = (f"{letter}-{uuid.uuid4().hex[:8]}" for letter in "abc")
    a, b = tree(f'[tree]\nname = "{one}"\n' + WORKER), tree(f'[tree]\nname = "{two}"\n' + WORKER)
    listed = {told["tree"]: told for told in json.loads(a.cli("trees", "--json"))}
    assert listed[one]["keeper"] == a.run_json()["keeper"]
    assert listed[two]["file"] == str(b.file)
    assert json.loads(a.ctl("status", "--json"))["tree"] == one
    assert json.loads(a.ctl("status", "--json", "-c", str(b.file)))["tree"] == two
    assert json.loads(a.ctl("status", "--json", "-t", two))["tree"] == two
    a.ctl("status", "-t", none, status=3)
    a.ctl("status", "-c", "missing.toml", status=2)
    b.stop()
    told = json.loads(a.ctl("status", "--json", "-c", str(b.file), status=3))
    assert told["error"]["code"] == "not_running"
    assert two not in a.cli("trees")


def test_status_answers_at_once_while_a_stop_takes_long(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.slow]
        command = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"]
        shutdown = "5m"
        """
    )
    eventually(lambda: "up" in t.log("slow"), "it ignores TERM")
    with t.follow("ctl", "stop", "slow") as stopping:
        t.wait("slow", state="stopping")
        assert by_name(json.loads(t.ctl("status", "--json"))["children"])["slow"]["state"] == "stopping"
        (operation,) = [told for told in json.loads(t.ctl("ops", "--json")) if told["state"] == "running"]
        assert (operation["command"], operation["names"]) == ("stop", ["slow"])
        assert operation["operation"][:8] in t.ctl("ops")
        assert stopping.process.poll() is None


def test_an_interrupt_is_quiet(tree: MakeTree) -> None:
    t = settled(tree(TREE))
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor_tree", "ctl", "events", "-f", "-n", "1"],
        cwd=t.dir,
        env=t.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE) == (b"", b"")
    assert process.returncode == 130


def test_a_hung_root_is_said_not_waited_for(tree: MakeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper that is stopped replaces no root: the command ends by itself, with what it knows."""
    t = tree(WORKER)
    root = t.root_pid()
    os.kill(t.run_json()["keeper"], signal.SIGSTOP)
    os.kill(root, signal.SIGSTOP)
    try:
        told = json.loads(t.ctl("status", "--json", status=1))
        assert told["error"]["code"] == "no_answer"
    finally:
        os.kill(root, signal.SIGCONT)
        os.kill(t.run_json()["keeper"], signal.SIGCONT)


def test_a_removed_socket_comes_back(tree: MakeTree) -> None:
    t = tree(WORKER)
    (t.run_dir / "control" / "control").unlink()
    assert json.loads(t.ctl("status", "--json"))["tree"] == "tree"
    eventually((t.run_dir / "control" / "control").exists, "the socket is back")


WORKER = '[workers.w]\ncommand = "sleep 1000"\n'
