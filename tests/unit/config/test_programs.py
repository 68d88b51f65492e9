"""What is run: arguments, environment in its layers, what holds a start (rules 4 and 6)."""

# ruff: noqa: E501 - golden texts stand on one line, as users see them

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from supervisor_tree import config
from tests.unit.config.conftest import Good


def test_the_fields_of_the_spawn_effect(good: Good, tmp_path: Path) -> None:
    plan = good(
        """
        [workers.a]
        command = "venv/bin/python -u main.py"
        cwd = "work"
        inherit_env = ["PATH", "LANG"]
        umask = "027"
        nice = 5
        limits = { nofile = 65536, core = [0, "unlimited"], data = "1GiB" }
        stop_signal = "SIGINT"
        stop_to = "leader"
        stop_command = "bin/stop now"
        shutdown = "15s"
        sweep = false
        ready = { notify = true }
        log = { stderr = "a.err", max_age = "1d" }
        """
    )
    out = {
        "path": f"{tmp_path}/.supervisor-tree/logs/a.log",
        "max_size": 50_000_000,
        "keep": 5,
        "max_age": 86400.0,
        "on_full": "drop",
    }
    spawn = config.program(plan, "a").spawn()
    assert spawn == {
        "argv": [f"{tmp_path}/work/venv/bin/python", "-u", "main.py"],
        "cwd": f"{tmp_path}/work",
        "env": {},
        "inherit": ["PATH", "LANG"],
        "user": None,
        "group": None,
        "umask": 0o027,
        "nice": 5,
        "limits": {"nofile": 65536, "core": (0, -1), "data": 2**30},
        "stop": {
            "signal": "INT",
            "to": "leader",
            "grace": 15.0,
            "command": {"argv": (f"{tmp_path}/work/bin/stop", "now"), "cwd": f"{tmp_path}/work", "env": {}},
        },
        "sweep": False,
        "notify": True,
        "log": {"out": out, "err": {**out, "path": f"{tmp_path}/a.err"}, "merge": False},
    }
    msgspec.json.encode(spawn)


@pytest.mark.parametrize(("shutdown", "grace"), [("'brutal_kill'", 0), ("'infinity'", None), ("1.5", 1.5)])
def test_grace(good: Good, shutdown: str, grace: float | None) -> None:
    plan = good(f"[workers.a]\ncommand = 'x'\nshutdown = {shutdown}\n")
    assert config.program(plan, "a").stop["grace"] == grace


def test_a_program_without_a_slash_is_left_to_the_childs_path(good: Good) -> None:
    assert config.program(good("[workers.a]\ncommand = 'prog x/y'\n"), "a").argv == ("prog", "x/y")


def test_layers_of_the_environment(good: Good, tmp_path: Path) -> None:
    (tmp_path / "tree.env").write_text("A=tree\nB=tree\nC=tree\nD=tree\nE=tree\n")
    (tmp_path / "own.env").write_text("C=file\nD=file\nSUPERVISOR_TREE_ID=forged\n")
    (tmp_path / "secret").write_text("s3cret\n")
    text = """
        [tree]
        env_file = "tree.env"
        [defaults]
        env = { B = "default", C = "default" }
        [workers.a]
        command = "x"
        env_file = ["own.env", "?none.env"]
        env = { D = "own", E = false, F = { file = "secret" }, G = { command = "printf 'printed\\n\\n'" }, H = 7 }
        """
    plan = good(text)
    assert config.program(plan, "a").env == {
        "A": "tree", "B": "default", "C": "file", "D": "own", "E": None, "F": "s3cret", "G": "printed", "H": "7",
    }  # fmt: skip
    assert not config.is_static(plan, "a")
    (tmp_path / "own.env").write_text("C=anew\n")
    assert config.program(plan, "a").env["C"] == "anew"


def test_what_touches_the_disk(good: Good) -> None:
    plan = good(
        """
        [workers.a]
        command = "x"
        env = { A = "a" }
        [workers.b]
        command = "x"
        env_file = "?x"
        [workers.c]
        command = "x"
        env = { A = { file = "x" } }
        [workers.d]
        command = "x"
        env = { A = { command = "x" } }
        """
    )
    assert [name for name in plan.workers if config.is_static(plan, name)] == ["a"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("env_file = 'none.env'", "env_file {}/none.env: there is no such file"),
        ("env_file = 'dir'", "env_file {}/dir: Is a directory"),
        ("env = { A = { file = 'none' } }", "env A: can't read {}/none: No such file or directory"),
        ("env = { A = { command = 'false' } }", "env A: false failed (exit status 1)"),
        ("env = { A = { command = ['sh', '-c', 'kill -9 $$$$'] } }", "env A: sh failed (signal 9)"),
        (
            "env = { A = { command = 'no-such-program-here' } }",
            "env A: can't run no-such-program-here: No such file or directory",
        ),
        ("env = { A = { command = \"printf '\\\\377'\" } }", "env A: what printf printed is not UTF-8"),
        ("env = { A = '${NOT_SET}' }", "env NOT_SET is not set"),
        ("use = 'chrome-cdp'", 'not yet: use = "chrome-cdp" is not run by this version'),
    ],
)
def test_what_holds_a_start(good: Good, tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "dir").mkdir()
    program = "" if line.startswith("use") else "command = 'x'\n"
    plan = good(f"[workers.a]\n{program}{line}\n", PATH=os.environ["PATH"])
    with pytest.raises(config.Held) as held:
        config.program(plan, "a")
    assert str(held.value) == reason.format(tmp_path)


def test_a_value_from_a_command_gets_the_environment_of_the_tree_but_not_its_own(good: Good, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("FROM_FILE=file\n")
    plan = good(
        """
        [tree]
        env_file = ".env"
        [workers.a]
        command = "x"
        [workers.a.env]
        A = { command = ["sh", "-c", "echo $FROM_FILE $FROM_START $B"] }
        B = "own"
        """,
        PATH=os.environ["PATH"],
        FROM_START="start",
    )
    assert config.program(plan, "a").env["A"] == "file start"


def test_the_users_home_and_name(good: Good) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs to be root")
    plan = good("[workers.a]\ncommand = 'x'\nuser = 'nobody'\nenv.HOME = '/own'\n")
    program = config.program(plan, "a")
    assert program.user == "nobody"
    assert {name: program.env[name] for name in ("HOME", "USER", "LOGNAME")} == {
        "HOME": "/own",
        "USER": "nobody",
        "LOGNAME": "nobody",
    }
    assert "SHELL" in program.env


def test_a_plan_survives_json(good: Good) -> None:
    plan = good(
        """
        [tree]
        intensity = 3
        on_give_up = "5m"
        [defaults]
        env = { A = { file = "x" } }
        [supervisors.s]
        strategy = "simple_one_for_one"
        children = "t"
        [workers.t]
        command = "t ${self.instance}"
        [workers.a]
        command = "x"
        env = { B = { command = "y z" }, C = false }
        inherit_env = ["X"]
        health = [{ notify = "5s" }, { http = "http://x", code = [200, "3xx"] }]
        shutdown = "infinity"
        success = [0, "TERM"]
        [jobs.j]
        at = 2026-12-24T09:00:00
        log = { file = "j-${run.time}.log" }
        stages = [{ name = "one", command = "x ${self.instance}", instances = 3 }]
        [recover.r]
        steps = { alert = "info" }
        log = { tail = 3 }
        [checks.c]
        tcp = "x:1"
        """
    )
    again = msgspec.json.decode(msgspec.json.encode(plan), type=config.Plan)
    assert again == plan
    assert {change.action for change in config.diff(plan, again)} == {"keep"}
    assert config.template(again, "s", "1")[0].command == ("t", "1")


def test_instances_made_at_run_time_are_carried_into_a_new_plan(good: Good) -> None:
    text = "[supervisors.s]\nstrategy = 'simple_one_for_one'\nchildren = 't'\n[workers.t]\ncommand = '{} ${{self.instance}}'\n"
    old = good(text.format("old"))
    settings, _ = config.template(old, "s", "1", ["--x"])
    old.workers[settings.name] = settings
    new = good(text.format("new"))
    config.carry(old, new)
    assert config.program(new, "t@1").argv == ("new", "1", "--x")
    assert config.program(new, "t@2").argv == ("new", "2")
    with pytest.raises(KeyError):
        config.program(new, "nobody")


def test_an_instance_that_a_new_template_does_not_fit_stays_as_it_was(good: Good) -> None:
    text = "[supervisors.s]\nstrategy = 'simple_one_for_one'\nchildren = 't'\n[workers.t]\ncommand = 'x ${self.instance}'\n"
    old = good(text)
    settings, _ = config.template(old, "s", "abc")
    old.workers[settings.name] = settings
    new = good(text + "nice = '${self.instance}'\n")
    config.carry(old, new)
    assert new.workers["t@abc"] == settings
    assert config.program(new, "t@3").nice == 3
    with pytest.raises(config.Held, match="must be a whole number"):
        config.program(new, "t@xyz")


def test_a_hold_ends_when_the_env_file_has_the_variable(good: Good, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")
    plan = good(
        """
        [tree]
        env_file = ".env"
        [defaults]
        env = { NAME = "${self.name}" }
        [workers.w]
        instances = 2
        command = "x ${TOKEN} ${self.instance}"
        nice = "${NICE:-1}"
        [supervisors.s]
        strategy = "simple_one_for_one"
        children = "t"
        [workers.t]
        command = "y ${TOKEN}"
        """
    )
    settings, _ = config.template(plan, "s", "i", ["arg"])
    plan.workers[settings.name] = settings
    plan = msgspec.json.decode(msgspec.json.encode(plan), type=config.Plan)
    for name in ("w@2", "t@i"):
        assert not config.is_static(plan, name)
        with pytest.raises(config.Held, match="env TOKEN is not set"):
            config.program(plan, name)
    # What is edited beside it waits for a reload.
    (tmp_path / "tree.toml").write_text("broken")
    (tmp_path / ".env").write_text("TOKEN='a b'\n")
    made = config.program(plan, "w@2")
    assert made.argv == ("x", "a b", "2")
    assert made.env == {"TOKEN": "a b", "NAME": "w@2"}
    assert config.program(plan, "t@i").argv == ("y", "a b", "arg")
    (tmp_path / ".env").write_text("TOKEN=x\nNICE=high\n")
    with pytest.raises(config.Held, match=r"workers.w.nice: must be a whole number"):
        config.program(plan, "w@1")


def test_variables_that_are_no_text_do_not_harm(tmp_path: Path) -> None:
    (tmp_path / "tree.toml").write_text("[workers.a]\ncommand = 'x ${ODD}'\n")
    plan = config.load([str(tmp_path / "tree.toml")], {"ODD": "\udcff"})
    msgspec.json.encode(plan)
    assert plan.held == {"a": "env ODD is not set"}
