"""The verbs: what they ask, what they print, which exit status they end with."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest

RunCli = Any
Root = Any
OPERATION = "1f3870be274f6c49b3e31a0c6728957f"


def end(data: Any) -> dict[str, Any]:
    return {"kind": "end", "data": data}


def error(code: str, message: str, mend: str = "") -> dict[str, Any]:
    return {"kind": "error", "code": code, "message": message, "mend": mend}


def operation(*results: tuple[str, bool, str | None], state: str = "done", **more: Any) -> dict[str, Any]:
    told = [{"name": name, "ok": ok, "reason": reason} for name, ok, reason in results]
    return end({"operation": OPERATION, "state": state, "results": told, **more})


def child(name: str, state: str = "running", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": "worker",
        "state": state,
        "pid": 4242 if state == "running" else None,
        "incarnation": 1,
        "restarts": 0,
        "since": "2026-11-22T08:00:00.000Z",
        "reason": None,
        "next_attempt": None,
        "ready": None,
        "health": None,
        "status": None,
        "cpu": None,
        "memory": None,
        "last_exit": None,
        "hold": None,
        "strategy": None,
        "children": [],
        **more,
    }


TREE = {
    "tree": "bot",
    "file": "/srv/bot/tree.toml",
    "keeper": 10,
    "root": 11,
    "state": "degraded",
    "strategy": "one_for_one",
    "since": "2026-11-22T08:00:00.000Z",
    "children": [
        child(
            "market",
            "degraded",
            type="supervisor",
            strategy="rest_for_one",
            intensity=5,
            period=60.0,
            children=[
                child("uw-daemon"),
                child(
                    "trading-bot",
                    "backoff",
                    restarts=3,
                    reason="exit status 1",
                    since="2026-11-22T08:01:57.000Z",
                    next_attempt="2026-11-22T08:02:04.000Z",
                ),
            ],
        ),
        child("web", "stopped", hold={"wish": "down", "by": "rick@mac", "at": None, "reason": "new disk"}),
        child("migrate", "completed", last_exit={"code": 0, "signal": None, "reason": "exit status 0", "at": None}),
    ],
    "jobs": [],
}


@pytest.fixture(autouse=True)
def at_two_past_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor_tree.cli.times.now", lambda: 1795334520.0)
    monkeypatch.setenv("TZ", "UTC")


def test_status_is_a_table_with_depth_reason_and_what_comes_next(cli: RunCli, root: Root) -> None:
    root.answers["status"] = end(TREE)
    status, out, err = cli("ctl", "status")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "bot degraded for 2m · /srv/bot/tree.toml · keeper 10, root 11",
        "NAME           STATE       PID  UP  RESTARTS  REASON / NEXT",
        "market         degraded      -  2m",
        "  uw-daemon    running    4242  2m         0",
        "  trading-bot  backoff       -   -         3  exit status 1, 3s ago, next try in 4s",
        "web            stopped       -   -         0  stop by rick@mac: new disk, 2m ago",
        "migrate        completed     -   -         0  exit status 0",
    ]


def test_tree_is_drawn_with_its_strategies(cli: RunCli, root: Root) -> None:
    root.answers["tree"] = end(TREE)
    status, out, _ = cli("ctl", "tree")
    assert status == 0
    assert out.splitlines()[1:] == [
        "bot                degraded         one_for_one",
        "├─ market          degraded   -     rest_for_one, gives up after 5 in 1m",
        "│  ├─ uw-daemon    running    4242",
        "│  └─ trading-bot  backoff    -     exit status 1, 3s ago, next try in 4s",
        "├─ web             stopped    -     stop by rick@mac: new disk, 2m ago",
        "└─ migrate         completed  -     exit status 0",
    ]


@pytest.mark.parametrize("verb", ["status", "tree"])
def test_json_is_what_the_root_said(cli: RunCli, root: Root, verb: str) -> None:
    root.answers[verb] = end(TREE)
    status, out, _ = cli("ctl", verb, "--json", "web")
    assert (status, json.loads(out)) == (0, TREE)
    assert root.asked(verb) == {"names": ["web"]}


def test_requests_say_who_asks_and_carry_a_fresh_id(cli: RunCli, root: Root) -> None:
    root.answers["status"] = end(TREE)
    cli("ctl", "status")
    cli("ctl", "status")
    first, second = root.requests
    assert re.fullmatch("[0-9a-f]{32}", first["id"])
    assert first["id"] != second["id"]
    assert first["v"] == 1
    assert re.fullmatch(r"\S+@\S+", first["by"])


@pytest.mark.parametrize(
    ("argv", "command", "args"),
    [
        (["start", "web"], "start", {"names": ["web"], "tied": False, "force": False, "reason": None}),
        (
            ["start", "web", "--force", "--reason", "now"],
            "start",
            {"names": ["web"], "tied": False, "force": True, "reason": "now"},
        ),
        (
            ["stop", "--tied", "web", "a", "--reason", "new disk"],
            "stop",
            {"names": ["web", "a"], "all": False, "tied": True, "force": False, "reason": "new disk"},
        ),
        (["stop", "--all"], "stop", {"names": [], "all": True, "tied": False, "force": False, "reason": None}),
        (
            ["restart", "web", "--tied"],
            "restart",
            {"names": ["web"], "tied": True, "force": False, "reason": None},
        ),
        (["hold", "web"], "hold", {"names": ["web"], "reason": None}),
        (["release", "web"], "release", {"names": ["web"], "reason": None}),
        (["signal", "HUP", "web", "a"], "signal", {"signal": "HUP", "names": ["web", "a"]}),
        (
            ["wait", "web", "--for", "stopped", "--timeout", "2m"],
            "wait",
            {"names": ["web"], "for": "stopped", "timeout": 120},
        ),
        (["wait"], "wait", {"names": [], "for": "running", "timeout": None}),
        (["reload", "web"], "reload_names", {"names": ["web"]}),
        (
            ["add", "fetchers", "7", "--", "-v", "x"],
            "add",
            {"supervisor": "fetchers", "instance": "7", "args": ["-v", "x"]},
        ),
        (["remove", "web"], "remove", {"names": ["web"]}),
        (["cancel", "1f38"], "cancel", {"operation": "1f38"}),
        (["upgrade"], "upgrade", {}),
    ],
)
def test_what_is_asked(cli: RunCli, root: Root, argv: list[str], command: str, args: dict[str, Any]) -> None:
    root.answers[command] = operation(("web", True, None))
    status, out, err = cli("ctl", *argv)
    assert (status, err) == (0, "")
    assert root.asked(command) == args
    assert out.startswith("web: ")


def test_results_are_a_line_each_and_one_failure_fails(cli: RunCli, root: Root) -> None:
    root.answers["stop"] = operation(
        ("a", True, None), ("b", True, "was stopped already"), ("c", False, "pid 7 can't be killed"), state="failed"
    )
    status, out, err = cli("ctl", "stop", "a", "b", "c")
    assert (status, err) == (1, "")
    assert out == "a: stopped\nb: stopped (was stopped already)\nc: failed — pid 7 can't be killed\n"
    status, out, _ = cli("ctl", "stop", "a", "b", "c", "--json")
    assert (status, json.loads(out)) == (1, root.answers["stop"]["data"])


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("no_such_name", 4),
        ("usage", 2),
        ("config", 2),
        ("refused", 1),
        ("failed", 1),
        ("internal", 1),
        ("timeout", 124),
    ],
)
def test_the_roots_refusals_have_exit_statuses(cli: RunCli, root: Root, code: str, status: int) -> None:
    root.answers["start"] = error(code, "no such worker or supervisor: wbe", "did you mean web?")
    assert cli("ctl", "start", "wbe") == (
        status, "", "supervisor-tree: no such worker or supervisor: wbe — did you mean web?\n"
    )  # fmt: skip
    told, out, err = cli("ctl", "start", "wbe", "--json")
    assert (told, err) == (status, "")
    assert json.loads(out) == {
        "error": {"code": code, "message": "no such worker or supervisor: wbe", "mend": "did you mean web?"}
    }


def test_no_tree_is_exit_status_3_as_text_and_as_json(cli: RunCli, make_root: Any) -> None:
    assert cli("ctl", "status")[0] == 3
    status, out, err = cli("ctl", "status", "--json")
    assert (status, err) == (3, "")
    assert json.loads(out)["error"]["code"] == "not_running"


def test_options_may_stand_anywhere(cli: RunCli, make_root: Any) -> None:
    for name in ("bot", "web"):
        make_root(name).answers["status"] = end(TREE | {"tree": name})
    for argv in (["-t", "web", "ctl", "status"], ["ctl", "-t", "web", "status"], ["ctl", "status", "-t", "web"]):
        assert cli(*argv)[1].startswith("web ")
    assert cli("ctl", "status")[0] == 3


def test_why_tells_the_chain(cli: RunCli, root: Root) -> None:
    story = {
        "name": "web",
        "state": "backoff",
        "chain": [
            {"time": "2026-11-22T08:00:00.000Z", "text": "web was started (pid 7)"},
            {"time": "2026-11-22T08:01:57.000Z", "text": "web ended: exit status 1"},
        ],
        "next": "a try in 4 s",
    }
    root.answers["why"] = end(story)
    status, out, _ = cli("ctl", "why", "web")
    assert status == 0
    assert out.splitlines() == [
        "web is backoff",
        "  08:00:00  2m ago  web was started (pid 7)",
        "  08:01:57  3s ago  web ended: exit status 1",
        "  → a try in 4 s",
    ]
    assert json.loads(cli("ctl", "why", "web", "--json")[1]) == story


def test_why_without_names_is_about_what_is_wrong(cli: RunCli, root: Root) -> None:
    root.answers["status"] = end(TREE)
    root.answers["why"] = lambda args: end({"name": args["name"], "state": "backoff", "chain": [], "next": None})
    assert cli("ctl", "why")[1].splitlines() == ["market is backoff", "", "trading-bot is backoff"]
    assert [story["name"] for story in json.loads(cli("ctl", "why", "--json")[1])] == ["market", "trading-bot"]
    root.answers["status"] = end(TREE | {"children": []})
    assert "nothing is wrong" in cli("ctl", "why")[1]


def test_describe_is_lines_of_keys(cli: RunCli, root: Root) -> None:
    root.answers["describe"] = end([child("web", settings={"env": ["A", "B"], "user": None, "log": {"keep": 5}})])
    status, out, _ = cli("ctl", "describe", "web")
    assert status == 0
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert lines["pid"] == ["4242"]
    assert lines["reason"] == ["-"]
    assert lines["settings.env"] == ["A", "B"]
    assert lines["settings.log.keep"] == ["5"]
    assert "settings.user" not in lines
    assert json.loads(cli("ctl", "describe", "web", "--json")[1])["name"] == "web"


CHANGES = [
    {"name": "a", "action": "keep", "keys": []},
    {"name": "b", "action": "restart", "keys": ["command", "env"]},
    {"name": "c", "action": "live", "keys": ["backoff"]},
]


def test_a_plan_says_what_would_happen_to_each(cli: RunCli, root: Root) -> None:
    root.answers["reload"] = end({"changes": CHANGES, "warnings": []})
    status, out, _ = cli("ctl", "reload", "--plan")
    assert status == 0
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["a", "keep"],
        ["b", "restart", "command", "env"],
        ["c", "live", "backoff"],
    ]
    assert json.loads(cli("ctl", "reload", "--plan", "--json")[1])["changes"] == CHANGES


def test_a_reload_shows_what_changed(cli: RunCli, root: Root) -> None:
    root.answers["reload"] = operation(("b", True, None), changes=CHANGES)
    status, out, _ = cli("ctl", "reload")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["NAME", "b", "c", "b:"]
    root.answers["reload"] = operation(changes=CHANGES[:1])
    assert cli("ctl", "reload")[1] == "nothing has changed\n"


def test_a_refused_reload_shows_every_error_at_the_beginning_of_its_line(cli: RunCli, root: Root) -> None:
    told = "tree.toml:3: workers.a: one\ntree.toml:9: workers.b: two"
    root.answers["reload"] = operation((None, False, told), state="failed", error=told)  # type: ignore[arg-type]
    status, out, err = cli("ctl", "reload")
    assert (status, out) == (2, "")
    assert err == f"{told}\nsupervisor-tree: nothing was changed\n"
    status, out, _ = cli("ctl", "reload", "--json")
    assert status == 2
    assert json.loads(out)["error"] == {"code": "config", "message": told, "mend": "nothing was changed"}


def test_add_reads_a_file_or_standard_input(
    cli: RunCli, root: Root, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.answers["add"] = operation(("new", True, None))
    (tmp_path / "new.toml").write_text('[workers.new]\ncommand = "true"\n')
    assert cli("ctl", "add", str(tmp_path / "new.toml"), "--to", "market")[:2] == (0, "new: added\n")
    file = str(tmp_path / "new.toml")
    assert root.asked("add") == {"toml": '[workers.new]\ncommand = "true"\n', "to": "market", "file": file}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[workers.b]\n")))
    assert cli("ctl", "add", "-")[0] == 0
    assert root.asked("add") == {"toml": "[workers.b]\n", "to": None, "file": "standard input"}
    status, _, err = cli("ctl", "add", "missing.toml")
    assert (status, "missing.toml: No such file" in err) == (2, True)


def test_ops_is_a_table(cli: RunCli, root: Root) -> None:
    listed = {
        "operation": OPERATION,
        "command": "stop",
        "state": "running",
        "results": [],
        "names": ["web", "a"],
        "by": "rick@mac",
        "at": "2026-11-22T08:01:57.000Z",
        "ended": None,
    }
    root.answers["ops"] = end([listed])
    assert cli("ctl", "ops")[1].splitlines()[1].split() == [
        "1f3870be",
        "stop",
        "running",
        "3s",
        "ago",
        "rick@mac",
        "web",
        "a",
    ]
    assert json.loads(cli("ctl", "ops", "--json")[1]) == [listed]
    root.answers["ops"] = end([])
    assert cli("ctl", "ops")[0] == 0


def test_events_are_lines(cli: RunCli, root: Root) -> None:
    happened = [
        {
            "time": "2026-11-22T08:01:57.000Z",
            "seq": 8,
            "event": "child_exited",
            "name": "web",
            "exit": "exit status 1",
        },
        {
            "time": "2026-11-22T08:01:58.000Z",
            "seq": 9,
            "event": "child_started",
            "name": "web",
            "pid": 7,
            "incarnation": 1,
        },
    ]
    root.answers["events"] = end({"events": happened})
    status, out, _ = cli("ctl", "events", "--since", "1m", "--type", "child_exited", "-n", "5")
    assert status == 0
    assert root.asked("events") == {"since": 1795334460.0, "type": ["child_exited"], "n": 5}
    assert [line.split(maxsplit=2) for line in out.splitlines()] == [
        ["08:01:57", "child_exited", "web ended: exit status 1"],
        ["08:01:58", "child_started", "web was started (pid 7, incarnation 1)"],
    ]
    assert [json.loads(line) for line in cli("ctl", "events", "--json")[1].splitlines()] == happened


def test_trees_lists_those_that_run(cli: RunCli, make_root: Any, tmp_path: Any) -> None:
    assert cli("trees") == (0, "no tree is running\n", "")
    assert cli("trees", "--json") == (0, "[]\n", "")
    root = make_root("bot")
    out = cli("trees")[1].splitlines()
    assert out[1].split() == ["bot", str(root.run["keeper"]), "2m", str(tmp_path / "bot" / "tree.toml")]
    (listed,) = json.loads(cli("trees", "--json")[1])
    assert set(listed) == {"tree", "file", "keeper", "since", "state_dir", "run_dir"}
