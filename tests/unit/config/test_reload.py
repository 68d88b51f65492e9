"""What a changed file asks of a running tree, and what is added to it at run time."""

# ruff: noqa: E501 - golden texts stand on one line, as users see them

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_tree import config
from supervisor_tree.config import added
from supervisor_tree.config.reading import options_of
from supervisor_tree.config.settings import WorkerSettings
from tests.unit.config.conftest import Bad, Good

BASE = """
[tree]
period = "1m"
[workers.a]
command = "x"
shutdown = "1s"
[supervisors.s]
children = ["b", "c"]
[workers.b]
command = "y"
[workers.c]
command = "z"
"""


def changes(old: config.Plan, new: config.Plan) -> dict[str, tuple[str, ...]]:
    return {one.name: (one.action, *one.keys) for one in config.diff(old, new) if one.action != "keep"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('command = "x"', 'command = "x"', {}),
        ('command = "x"', 'command = "x2"', {"a": ("restart", "command")}),
        ('shutdown = "1s"', 'shutdown = "2s"', {"a": ("live", "shutdown")}),
        ('shutdown = "1s"', 'shutdown = "2s"\nnice = 3', {"a": ("restart", "nice", "shutdown")}),
        ('shutdown = "1s"', 'shutdown = "1s"\nlog = { keep = 1 }', {"a": ("live", "log.keep")}),
        ('shutdown = "1s"', 'shutdown = "1s"\nlog = { file = "o" }', {"a": ("restart", "log.file")}),
        ('shutdown = "1s"', 'shutdown = "1s"\nbackoff = "1s"', {"a": ("live", "backoff")}),
        ('shutdown = "1s"', 'shutdown = "1s"\nready = { notify = true }', {"a": ("restart", "ready")}),
        ('shutdown = "1s"', 'shutdown = "1s"\nready = { tcp = "x:1" }', {"a": ("live", "ready")}),
        ('period = "1m"', 'intensity = 3', {"root": ("live", "intensity")}),
        ('period = "1m"', 'state_dir = "other"', {"root": ("restart", "state_dir"), "a": ("restart", "log.file"),
                                                   "b": ("restart", "log.file"), "c": ("restart", "log.file")}),
        ('children = ["b", "c"]', 'children = ["c", "b"]', {"s": ("live", "children")}),
        ('children = ["b", "c"]', 'children = ["b"]', {"root": ("live", "children"), "s": ("live", "children"),
                                                        "c": ("restart", "children")}),
        ('children = ["b", "c"]', 'intensity = 1\nchildren = ["b", "c"]', {"s": ("live", "intensity")}),
        ("[workers.c]", "[workers.d]\ncommand = 'd'\n[workers.c]", {"root": ("live", "children"), "d": ("add",)}),
        ('[workers.a]\ncommand = "x"\nshutdown = "1s"', "", {"root": ("live", "children"), "a": ("remove",)}),
        ("[tree]", "[defaults]\nenv = { A = 'x' }\n[tree]", {"a": ("restart", "env"), "b": ("restart", "env"), "c": ("restart", "env")}),
        ("[tree]", "[logs]\nkeep = 1\n[tree]", {"a": ("live", "log.keep"), "b": ("live", "log.keep"), "c": ("live", "log.keep")}),
        ("[tree]", "[jobs.j]\ncommand = 'x'\n[tree]", {"j": ("add",)}),
    ],
)  # fmt: skip
def test_only_what_changed_is_touched(good: Good, old: str, new: str, expected: dict[str, tuple[str, ...]]) -> None:
    assert old in BASE
    assert changes(good(BASE), good(BASE.replace(old, new, 1))) == expected


def test_needs_that_mean_others_now(good: Good) -> None:
    text = "[workers.w]\ncommand='x'\ninstances = {}\n[workers.a]\ncommand='x'\nneeds = {{ w = 'ready' }}\n"
    assert changes(good(text.format(1)), good(text.format(2))) == {
        "root": ("live", "children"),
        "w@2": ("add",),
        "a": ("live", "needs"),
    }


def test_a_worker_that_becomes_a_supervisor(good: Good) -> None:
    found = [
        one for one in config.diff(good("[workers.a]\ncommand='x'\n"), good("[supervisors.a]\n")) if one.name == "a"
    ]
    assert [one.action for one in found] == ["add", "remove"]


def test_every_option_has_a_class_and_a_text() -> None:
    for key, field in options_of(WorkerSettings).items():
        assert field.option.reload in ("live", "restart"), key
        assert field.option.doc.endswith((".", "…")), key


ADDED = """
[workers.n]
command = ["a", 'b"c']
env = { "X Y" = "ä\\n", Z = { file = "f" } }
[supervisors.m]
children = ["o"]
[workers.o]
command = "o"
[jobs.j]
at = 2026-12-24T09:00:00
command = "j"
"""


def write_added(plan: config.Plan, text: str) -> None:
    folder = Path(plan.state_dir)
    folder.mkdir(exist_ok=True)
    (folder / "added.toml").write_text(text)


def test_what_is_added_is_read_last_and_placed(good: Good) -> None:
    plan = good(BASE)
    text = added.join("", ADDED, "s", plan)
    checked = config.load(
        plan.asked_files and list(plan.asked_files), plan.environ, extra=[(f"{plan.state_dir}/added.toml", text)]
    )
    write_added(plan, text)
    for new in (checked, good(BASE)):
        assert new.paths["n"] == "root/s/n"
        assert new.paths["m"] == "root/s/m"
        assert new.paths["o"] == "root/s/m/o"
        assert [child.name for child in new.root.children] == ["a", "s"]
        assert new.workers["n"].command == ("a", 'b"c')
        assert new.workers["n"].env["X Y"] == "ä\n"
        assert set(new.added) == {"n", "m", "o", "j"}
    text = added.join(text, "[workers.p]\ncommand = 'p'\n", None, good(BASE))
    write_added(plan, text)
    assert good(BASE).paths["p"] == "root/p"
    write_added(plan, added.without(text, ["n", "o", "m", "j"]))
    assert set(good(BASE).added) == {"p"}


def test_under_a_root_whose_children_are_written(good: Good) -> None:
    text = BASE.replace("[tree]", "[tree]\nchildren = ['a', 's']")
    plan = good(text)
    write_added(plan, added.join("", ADDED, None, plan))
    assert [child.name for child in good(text).root.children] == ["a", "s", "n", "m"]


@pytest.mark.parametrize(
    ("new", "to", "said"),
    [
        (
            "[tree]\nperiod = '1s'\n",
            None,
            "tree: can't be added at run time: write it in the tree file and `ctl reload`",
        ),
        (
            "[workers.n]\ncommand = 3\n",
            None,
            "workers.n.command: must be a string, split as a POSIX shell would, or a list",
        ),
        ("[workers.n]\ncommand = 'x'\n", "nobody", 'workers.n: there is no supervisor "nobody" to put it under'),
        ("top = 1\n", None, "top: unknown table"),
        ("[workers]\nx = 1\n", None, "workers.x: must be a table"),
    ],
)
def test_what_cant_be_added(good: Good, bad: Bad, new: str, to: str | None, said: str) -> None:
    plan = good(BASE)
    write_added(plan, added.join("", new, to, plan))
    errors = bad(BASE)
    assert any(said in error and "added.toml:" in error for error in errors), errors


def test_what_is_there_already_cant_be_added(good: Good, bad: Bad) -> None:
    plan = good(BASE)
    text = added.join("", "[workers.n]\ncommand = 'x'\n", None, plan)
    write_added(plan, added.join(text, "[workers.n]\ncommand = 'y'\n", None, plan))
    assert "no valid TOML" in bad(BASE)[0]


def test_an_added_file_that_is_broken(good: Good, bad: Bad) -> None:
    plan = good(BASE)
    write_added(plan, "[workers.n\n")
    assert "added.toml:1: no valid TOML" in bad(BASE)[0]
    assert added.join("[workers.n\n", "[workers.m]\n", None, plan) == "[workers.n\n\n[workers.m]\n"


def test_a_changed_job_is_never_restarted(tmp_path: Path) -> None:
    def plan(job: str) -> config.Plan:
        file = tmp_path / "tree.toml"
        file.write_text(f"[jobs.j]\n{job}\n")
        return config.load([str(file)], {})

    old = plan('command = "x"\nschedule = "@daily"')
    new = plan('command = "y"\nschedule = "@hourly"\nenv = { A = "b" }')
    assert changes(old, new) == {"j": ("live", "command", "env", "schedule")}
