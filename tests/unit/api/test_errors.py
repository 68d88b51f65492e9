"""What is wrong with a described tree: everything at once, told of the objects, before anything is started."""

# ruff: noqa: E501 - golden texts stand on one line, as users see them

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from supervisor_tree import Child, ConfigError, Job, Stage, Supervisor


def refused(tmp_path: Path, *children: Any, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Supervisor(children, dir=tmp_path, **options).run()
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert list(tmp_path.iterdir()) == []
    return caught.value.problems


def test_wrong_values_are_told_of_their_child(tmp_path: Path) -> None:
    assert refused(
        tmp_path,
        Child("web", command="x", shutdown="10", needs={"dbb": "ready"}),
        Child("a.b", run="no_attribute", preload="x y"),
        Child("none"),
        Child("both", command="x", use="shim"),
        Supervisor(
            [Child("in", command="x", restart="sometimes")],  # type: ignore[arg-type]
            name="s",
            strategy="all",  # type: ignore[arg-type]
            intensity=-1,
        ),
        period="5 parsecs",
    ) == [
        'Supervisor: period: "5 parsecs" is no duration: write a number and a unit (ms s m h d w), as in "10s"',
        "Child 'web': needs.dbb: there is no worker or supervisor \"dbb\"",
        "Child 'web': shutdown: \"10\" is no duration: it has no unit; write 10 without quotes, or a unit (ms s m h d w)",
        'Child \'a.b\': preload: must be a module, as in "pandas" or "jarvis.data", not "x y"',
        'Child \'a.b\': run: must be "module:attribute", as in "jarvis.daemon:Ticker", not "no_attribute"',
        "Child 'none': names no program: write exactly one of command, run, use",
        "Child 'both': has `command` and `use`: write exactly one of command, run, use",
        "Supervisor 's': intensity: must be a whole number, 0 or more, not -1",
        'Supervisor \'s\': strategy: must be "one_for_one" | "one_for_all" | "rest_for_one" | "simple_one_for_one", not "all"',
        'Child \'in\': restart: must be "permanent" | "transient" | "temporary", not "sometimes"',
    ]


def test_what_can_not_even_be_written_down(tmp_path: Path) -> None:
    assert refused(
        tmp_path,
        Child("a", command="x"),
        Child("a", command="y"),
        Child("b", run=3),  # type: ignore[arg-type]
        Child("c", command="x", args={"number": complex(1, 2)}),
        Child("class", run=threading.Thread),
        Supervisor([]),
        Supervisor([Child("d", command="x"), "e"], name="s", state_dir="x", dir="/"),  # type: ignore[list-item]
        "f",
        restart="permanent",
    ) == [
        "Supervisor: restart: is for a supervisor inside the tree, not for the tree itself",
        "Child 'a': is there twice: names are unique in a tree",
        "Child 'b': run: must be a function, a Worker class or \"module:attribute\", not 3",
        "Child 'c': args: can't be written down: (1+2j) is neither text, number, list nor table",
        "Child 'class': run: must be a function, a Worker class or \"module:attribute\", not <class 'threading.Thread'>",
        "Supervisor: a supervisor inside it has no name: give it one, Supervisor([…], name=…)",
        "Supervisor 's': dir: is for the whole tree: give it to the outermost Supervisor",
        "Supervisor 's': state_dir: is for the whole tree: give it to the outermost Supervisor",
        "Supervisor 's': its children must be Child or Supervisor, not 'e'",
        "Supervisor: its children must be Child or Supervisor, not 'f'",
    ]


def test_jobs_stages_and_tables_are_told_of_by_their_places(tmp_path: Path) -> None:
    assert refused(
        tmp_path,
        Child("web", command="x", recover="heel", shutdown="3"),
        jobs=[
            Job("nightly", schedule="61 * * * *", every="1h", stages=[Stage("a", command="x"), Stage("b", retries=-1)]),
            Job("backup", every="soon", stages=[Stage("a", command="x", timeout="1d 2h")]),
            Job("twice", stages=[Stage("a", command="x"), Stage("a", command="y")]),
            Job("none"),
        ],
        recover={"heal": {"steps": [{"restart": "wbe"}, {"alert": "loud", "if": "net"}]}},
        alerts={"comand": "x", "level": "error"},
        retention={"models": {"files": "*.bin"}},
    ) == [
        'Supervisor: alerts.comand: unknown key (did you mean "command"?)',
        'Supervisor: recover.heal.steps[1].alert: must be "info" | "warning" | "error" | "critical", not "loud"',
        "Supervisor: retention.models: would remove every file that matches: write `max_age`, or how many to `keep`",
        "Child 'web': recover: there is no [recover.heel] (did you mean \"heal\"?)",
        "Child 'web': shutdown: \"3\" is no duration: it has no unit; write 3 without quotes, or a unit (ms s m h d w)",
        "Job 'nightly': has `schedule` and `every`: write at most one of schedule, every, at",
        "Job 'nightly': schedule: \"61\" is no minute (0 to 59)",
        "Job 'nightly', Stage 'b': names no program: write exactly one of command, run, use",
        "Job 'nightly', Stage 'b': retries: must be a whole number from 0 to 1000, not -1",
        'Job \'backup\': every: "soon" is no duration: write a number and a unit (ms s m h d w), as in "10s"',
        "Job 'backup', Stage 'a': timeout: \"1d 2h\" is no duration: write a number and a unit (ms s m h d w), as in \"10s\"",
        "Job 'twice', Stage 'a': name: stage \"a\" is there twice",
        "Job 'none': names no program: write exactly one of command, run, use",
    ]


def test_jobs_that_can_not_even_be_written_down(tmp_path: Path) -> None:
    assert refused(
        tmp_path,
        Child("a", command="x"),
        Supervisor([], name="s", jobs=[], alerts={}),
        jobs=[
            Job("a", command="x"),
            Job("b", run=3),  # type: ignore[arg-type]
            Job("c", stages=[Stage("d", run=lambda: 0, python="/usr/bin/python3"), Child("e")]),  # type: ignore[list-item]
            Job("f", python="/usr/bin/python3", stages=[Stage("g", run=lambda: 0)]),
            Child("h"),
            Job(None, command="x"),  # type: ignore[arg-type]
        ],
        store={"max_age": complex(1, 2)},
    ) == [
        "Supervisor: store: can't be written down: (1+2j) is neither text, number, list nor table",
        "Supervisor 's': jobs: is for the whole tree: give it to the outermost Supervisor",
        "Supervisor 's': alerts: is for the whole tree: give it to the outermost Supervisor",
        "Job 'a': is there twice: names are unique in a tree",
        "Job 'b': run: must be a function, a Worker class or \"module:attribute\", not 3",
        "Job 'c', Stage 'd': run: another interpreter (`python`) can only be told a name: write run=\"module:attribute\"",
        "Job 'c': stages: must be Stage, not Child('e')",
        "Job 'f', Stage 'g': run: another interpreter (`python`) can only be told a name: write run=\"module:attribute\"",
        "Supervisor: jobs: must be Job, each with a name, not Child('h')",
        "Supervisor: jobs: must be Job, each with a name, not Job(None, command='x')",
    ]


def test_paths_that_are_none(tmp_path: Path) -> None:
    cwd: Any = 3
    assert refused(
        tmp_path,
        jobs=[Job("b", run=lambda: None, cwd=cwd), Job("c", stages=[Stage("d", run=lambda: None, cwd=cwd)])],
    ) == ["Job 'b': cwd: must be a path, not 3", "Job 'c', Stage 'd': cwd: must be a path, not 3"]
    assert refused(tmp_path, Child("a", run=lambda: None, cwd=b"/tmp", env={"A": b"x"})) == [  # type: ignore[arg-type, dict-item]
        "Child 'a': env: can't be written down: b'x' is neither text, number, list nor table",
        "Child 'a': cwd: can't be written down: b'/tmp' is neither text, number, list nor table",
    ]
    assert refused(tmp_path, state_dir=3) == ["Supervisor: state_dir: must be a path, not 3"]
    with pytest.raises(ConfigError, match="Supervisor: dir: must be a path, not 3"):
        Supervisor([], dir=3).run()  # type: ignore[arg-type]


def test_a_key_that_is_none_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="comand"):
        Child("a", comand="x")  # type: ignore[call-arg]


def test_a_function_of_a_module_that_no_worker_can_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("only_here")
    exec("def work(): pass", vars(module))  # noqa: S102 - as something that makes modules would
    monkeypatch.setitem(sys.modules, "only_here", module)
    assert refused(tmp_path, Child("a", run=module.work)) == [
        "Child 'a': run: its module only_here can't be imported by a worker: no folder of sys.path has it"
    ]


def test_another_interpreter_can_be_told_names_only(tmp_path: Path) -> None:
    assert refused(tmp_path, Child("a", run=lambda: None, python="/usr/bin/python3")) == [
        "Child 'a': run: another interpreter (`python`) can only be told a name: write run=\"module:attribute\""
    ]


def test_a_state_directory_that_can_not_be_made(tmp_path: Path) -> None:
    assert refused(tmp_path, Child("a", command="x"), state_dir="/dev/null/x") == [
        "Supervisor: state_dir: can't write /dev/null/x/tree.json: Not a directory"
    ]
