"""What is wrong with a described tree: everything at once, told of the objects, before anything is started."""

# ruff: noqa: E501 - golden texts stand on one line, as users see them

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from supervisor_tree import Child, ConfigError, Supervisor


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
