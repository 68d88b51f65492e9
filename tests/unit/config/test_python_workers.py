"""Python workers: what is run, in which interpreter, from which zygote; what is refused (rule 20)."""

# ruff: noqa: E501, ISC004 - golden texts stand as users see them

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from supervisor_tree import config
from supervisor_tree.config import uses
from supervisor_tree.config.readiness import told_by
from supervisor_tree.core.spec import WorkerSpec
from tests.support.tree import REPOSITORY
from tests.unit.config.conftest import Bad, Good


def spec(plan: config.Plan, name: str) -> WorkerSpec:
    found = next(child for child in plan.root.children if child.name == name)
    assert isinstance(found, WorkerSpec)
    return found


def test_the_fields_of_the_spawn_effect(good: Good, tmp_path: Path) -> None:
    (tmp_path / "tree.env").write_text("A=tree\n")
    plan = good(
        """
        [tree]
        env_file = "tree.env"
        [defaults]
        env = { B = "default", PYTHONPATH = false }
        [workers.a]
        run = "jarvis.daemon:Ticker.daily"
        args = { every = 60, since = 2026-11-22T10:00:00Z, name = "${self.name}" }
        preload = ["numpy", "pandas.core", "numpy"]
        cwd = "work"
        env = { B = "own", C = "own" }
        """
    )
    spawn = config.program(plan, "a").spawn()
    assert spawn["argv"] == []
    assert (spawn["cwd"], spawn["env"]) == (
        f"{tmp_path}/work",
        {"A": "tree", "B": "own", "PYTHONPATH": None, "C": "own"},
    )
    zygote = spawn["python"].pop("zygote")
    assert spawn["python"] == {
        "target": "jarvis.daemon:Ticker.daily",
        "dill": None,
        "args": {"every": 60, "since": "2026-11-22T10:00:00+00:00", "name": "a"},
    }
    assert len(zygote.pop("key")) == 12
    assert zygote == {
        "argv": [sys.executable, str(REPOSITORY / "supervisor_tree" / "workers" / "zygote" / "boot.py")],
        "cwd": str(tmp_path),
        "env": {"A": "tree", "B": "default", "PYTHONPATH": None},
        "preload": ["numpy", "pandas.core"],
        "uid": None,
        "user": None,
        "group": None,
        "nice": None,
        "limits": None,
        "inherit": True,
    }
    msgspec.json.encode(spawn)


def test_a_command_has_no_python(good: Good) -> None:
    assert "python" not in config.program(good("[workers.a]\ncommand = 'x'\n"), "a").spawn()


def zygote(plan: config.Plan, name: str) -> str:
    python = config.program(plan, name).python
    assert python is not None
    return str(python["zygote"]["key"])


def test_one_zygote_for_each_interpreter_and_preload(good: Good, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(sys.executable)
    text = """
        [workers.a]
        run = "m:a"
        [workers.b]
        use = "shim"
        nice = 3
        cwd = "/"
        env = { X = "y" }
        [workers.c]
        run = "m:c"
        preload = "json"
        [workers.d]
        run = "m:d"
        python = "one"
        [workers.e]
        run = "m:e"
        python = "./two"
        """
    plan = good(text)
    keys = [zygote(plan, name) for name in "abcde"]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert [zygote(good(text), name) for name in "abcde"] == keys
    # The same path that leads to another Python is another zygote
    (tmp_path / "two").unlink()
    (tmp_path / "two").symlink_to("/bin/sh")
    assert zygote(plan, "e") != keys[4]


def test_a_zygote_has_the_rights_and_the_environment_of_its_workers(good: Good) -> None:
    me = pwd.getpwuid(os.geteuid())
    more = ["", f"user = {me.pw_name!r}", "inherit_env = ['PATH']", "nice = 3", f"user = {me.pw_name!r}\nnice = 3"]
    tables = [f"[workers.{name}]\nrun = 'm:f'\n{each}\n" for name, each in zip("abcde", more, strict=True)]
    plan = good("[defaults]\nenv = { HOME = 'here' }\n" + "".join(tables))
    assert len({zygote(plan, name) for name in "abcde"}) == 4
    assert zygote(plan, "a") == zygote(plan, "d")
    python = config.program(plan, "e").python
    assert python is not None
    spec = python["zygote"]
    assert (spec["user"], spec["uid"], spec["nice"]) == (me.pw_name, me.pw_uid, 3)
    assert (spec["env"]["USER"], spec["env"]["HOME"]) == (me.pw_name, "here")
    python = config.program(plan, "c").python
    assert python is not None
    assert python["zygote"]["inherit"] == ["PATH"]


def test_an_interpreter_is_a_path_under_the_trees_folder(good: Good, tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "python").symlink_to(sys.executable)
    plan = good("[defaults]\npython = 'venv/python'\n[workers.a]\nrun = 'm:f'\n")
    assert plan.warnings == []
    python = config.program(plan, "a").python
    assert python is not None
    assert python["zygote"]["argv"][0] == f"{tmp_path}/venv/python"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("venv/bin/python", "there is no {}/venv/bin/python"),
        ("sh", 'there is no {}/sh: a path is meant, write "/bin/sh"'),
        ("folder", "{}/folder is no program that may be run"),
        ("file", "{}/file is no program that may be run"),
    ],
)
def test_an_interpreter_that_is_not_there_is_warned_of(
    good: Good, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, said: str
) -> None:
    monkeypatch.setenv("PATH", "/bin")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (warning,) = good(f"[workers.a]\nrun = 'm:f'\npython = '{written}'\n").warnings
    assert (warning.line, warning.key, warning.message) == (3, "workers.a.python", said.format(tmp_path))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("run = 'm:f'", {"heartbeat"}),
        ("use = 'shim'", {"heartbeat"}),
        ("run = 'm:f'\nready = { http = 'http://h' }", {"probes"}),
        ("run = 'm:f'\nready = { notify = true }", {"notify"}),
        ("command = 'x'", set()),
        ("command = 'x'\nready = { http = 'http://h' }", {"probes"}),
        ("command = 'x'\nready = { heartbeat = true }", {"heartbeat"}),
        ("command = 'x'\nready = [{ notify = true }, { heartbeat = true }]", {"heartbeat", "notify"}),
        ("command = 'x'\nready = [{ notify = true }, { tcp = 'h:1' }]", {"notify", "probes"}),
    ],
)
def test_who_says_that_it_is_ready(good: Good, lines: str, told: set[str]) -> None:
    plan = good(f"[workers.a]\nstart_timeout = 7\n{lines}\n")
    assert told_by(plan.workers["a"]) == told
    assert (spec(plan, "a").told_ready, spec(plan, "a").start_timeout) == (bool(told), 7 if told else None)


def test_heartbeat_and_notify_are_run(good: Good) -> None:
    plan = good(
        """
        [workers.a]
        run = "m:f"
        ready = { heartbeat = true }
        health = { heartbeat = "90s" }
        [workers.b]
        command = "x"
        ready = { notify = true }
        health = [{ notify = "30s" }, { tcp = "h:1" }]
        [workers.c]
        use = "chrome-cdp"
        [workers.d]
        run = "m:f"
        health = { heartbeat = "90s", then = "alert" }
        """
    )
    assert [str(problem).partition(": ")[2] for problem in plan.not_yet] == [
        'workers.c.use: not yet: "chrome-cdp" is not run: this worker stays held',
    ]
    assert list(plan.held) == ["c"]
    assert config.program(plan, "b").notify


def test_errors(bad: Bad) -> None:
    assert bad(
        """
        [workers.a]
        run = "jarvis.daemon"
        [workers.b]
        run = "jarvis/daemon.py:main"
        [workers.c]
        run = "m:f"
        preload = ["pandas", "a-b", "x:y", ""]
        [workers.d]
        use = "shimm"
        [workers.e]
        command = "x"
        args = { a = 1 }
        python = "venv/bin/python"
        [workers.f]
        run = "m:f"
        use = "shim"
        [workers.g]
        args = { a = 1 }
        [workers.h]
        run = "m:f"
        args = { a = nan, b = [1.0, inf] }
        [workers.i]
        run = "m:f"
        shell = true
        """
    ) == [
        'tree.toml:3: workers.a.run: must be "module:attribute", as in "jarvis.daemon:Ticker", not "jarvis.daemon"',
        'tree.toml:5: workers.b.run: must be "module:attribute", as in "jarvis.daemon:Ticker", not'
        ' "jarvis/daemon.py:main"',
        'tree.toml:8: workers.c.preload[1]: must be a module, as in "pandas" or "jarvis.data", not "a-b"',
        'tree.toml:8: workers.c.preload[2]: must be a module, as in "pandas" or "jarvis.data", not "x:y"',
        "tree.toml:8: workers.c.preload[3]: must be a module, not empty",
        'tree.toml:10: workers.d.use: there is no worker "shimm" in the package or a plug-in (did you mean "shim"?);'
        " known: chrome-cdp, shim",
        "tree.toml:13: workers.e.args: goes with `run` and `use`, not with `command`",
        "tree.toml:14: workers.e.python: goes with `run` and `use`, not with `command`",
        "tree.toml:15: workers.f: has `run` and `use`: write exactly one of command, run, use",
        "tree.toml:18: workers.g: names no program: write exactly one of command, run, use",
        "tree.toml:22: workers.h.args.a: must be a finite number, not nan",
        "tree.toml:22: workers.h.args.b[1]: must be a finite number, not inf",
        "tree.toml:25: workers.i.shell: is about `command`, which is not there",
    ]


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with two plug-ins, one of them wrong."""
    info = tmp_path / "site" / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[supervisor_tree.workers]\nacme-feed = acme.feed:Feed\nacme-wrong = acme.feed\nshim = acme.feed:Shim\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield
    uses.forget()


@pytest.mark.usefixtures("plugins")
def test_workers_of_plug_ins(good: Good, bad: Bad) -> None:
    plan = good("[workers.a]\nuse = 'acme-feed'\n[workers.b]\nuse = 'shim'\n")
    targets = {name: python["target"] for name in "ab" if (python := config.program(plan, name).python)}
    assert targets == {"a": "acme.feed:Feed", "b": uses.BUILT_IN["shim"]}
    assert bad("[workers.a]\nuse = 'acme-wrong'\n") == [
        'tree.toml:2: workers.a.use: the plug-in "acme-wrong" can\'t be run: its entry point is "acme.feed", which is no'
        ' "module:attribute"'
    ]


def test_a_plug_in_that_is_gone_holds_its_worker(good: Good, plugins: None, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = good("[workers.a]\nuse = 'acme-feed'\n")
    sys.path.remove(next(path for path in sys.path if path.endswith("/site")))
    uses.forget()
    with pytest.raises(config.Held) as held:
        config.program(plan, "a")
    assert str(held.value) == 'use = "acme-feed": there is no such plug-in any more'


def test_arguments_of_an_instance_are_named(good: Good) -> None:
    plan = good(
        """
        [supervisors.s]
        strategy = "simple_one_for_one"
        children = ["t"]
        [workers.t]
        run = "m:f"
        args = { at = "${self.instance}", deep = false, n = 1 }
        """
    )
    settings, worker = config.template(plan, "s", "x", ["n=2", "deep=true", "word=some = text", 'list=["a"]', "e="])
    plan.workers[settings.name] = settings
    assert worker.told_ready
    python = config.program(plan, "t@x").python
    assert python is not None
    assert python["args"] == {"at": "x", "deep": True, "n": 2, "word": "some = text", "list": ["a"], "e": ""}
    with pytest.raises(config.ConfigError, match='s: "bare" is no argument of a Python worker: write KEY=VALUE'):
        config.template(plan, "s", "y", ["n=2", "bare"])


def test_the_plan_of_python_workers_is_plain_data(good: Good) -> None:
    plan = good(f"[workers.a]\nrun = 'm:f'\nargs = {{ d = 2026-11-22, t = 10:00:00 }}\npython = '{sys.executable}'\n")
    again = msgspec.json.decode(msgspec.json.encode(plan), type=config.Plan)
    assert again == plan
    assert config.program(again, "a") == config.program(plan, "a")
    assert all(change.action == "keep" for change in config.diff(again, plan))
    assert os.path.isabs(str(plan.workers["a"].python))


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("run = 'm:f'", "run = 'm:g'", "run"),
        ("use = 'shim'", "use = 'chrome-cdp'", "use"),
        ("run = 'm:f'", "run = 'm:f'\nargs = { n = 1 }", "args"),
        ("run = 'm:f'", "run = 'm:f'\npreload = 'json'", "preload"),
        ("run = 'm:f'", "run = 'm:f'\npython = '/bin/sh'", "python"),
    ],
)
def test_what_a_reload_restarts(good: Good, before: str, after: str, key: str) -> None:
    old, new = good(f"[workers.a]\n{before}\n"), good(f"[workers.a]\n{after}\n")
    assert [(change.action, change.keys) for change in config.diff(old, new)][1:] == [("restart", (key,))]


def test_the_tree_of_a_program(tmp_path: Path) -> None:
    text = """{"program": {"file": "/app.py", "code": {"a": "Y29kZQ=="}}, "tree": {"dir": "%s", "name": "t"},
        "workers": {"a": {"run": "__main__:f", "instances": 2}, "b": {"command": "x", "shutdown": "long"}}}"""
    file = tmp_path / "tree.json"
    with pytest.raises(config.ConfigError) as caught:
        config.load_text(str(file), text % tmp_path, {"HOME": "/", "PATH": "/bin"})
    assert [(problem.line, problem.key) for problem in caught.value.errors] == [(1, "workers.b.shutdown")]
    file.write_text((text % tmp_path).replace('"long"', "3"))
    plan = config.load([str(file)], {"HOME": "/", "PATH": "/bin"})
    python = config.program(plan, "a@2").python
    assert python is not None
    assert (python["target"], python["dill"]) == (None, "Y29kZQ==")
    assert (plan.program, plan.root.first_start) == ("/app.py", "fail")
    assert msgspec.json.decode(msgspec.json.encode(plan), type=config.Plan) == plan


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", "is of no Python program: write a tree file in TOML"),
        ('{"workers": {}}', "is of no Python program: write a tree file in TOML"),
    ],
)
def test_json_that_is_no_program_s(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.load_text(str(tmp_path / "tree.json"), text, {})
    assert str(caught.value) == f"{tmp_path}/tree.json:1: {said}"
