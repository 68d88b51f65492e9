"""The API mirrors the tree file: every key, under its name, with OTP's defaults where the file has others."""

from __future__ import annotations

import inspect
import json
import re
import typing
from datetime import timedelta
from pathlib import Path

import pytest

from supervisor_tree import Child, Supervisor, config
from supervisor_tree.api import describing, tables
from supervisor_tree.config.probes import Probe
from supervisor_tree.config.reading import options_of
from supervisor_tree.config.settings import SupervisorSettings, TreeSettings, WorkerSettings
from supervisor_tree.config.tree_kinds import DEFAULT_BACKOFF, LogKeys
from supervisor_tree.core.spec import AutoShutdown, Backoff, Level, Restart, Strategy, SupervisorSpec, WorkerSpec

TREE = set(options_of(TreeSettings)) - {"include"}
"""A program imports what it would include."""
INSIDE = set(options_of(SupervisorSettings)) | {"name"}


def parameters(what: type) -> dict[str, inspect.Parameter]:
    return dict(list(inspect.signature(what).parameters.items()))


def test_a_child_takes_every_key_of_a_worker_and_no_other() -> None:
    (first, name), *rest = parameters(Child).items()
    assert (first, name.kind) == ("name", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert [key for key, _ in rest] == list(options_of(WorkerSettings))
    assert all(given.kind is inspect.Parameter.KEYWORD_ONLY and given.default is None for _, given in rest)


def test_a_supervisor_takes_every_key_of_the_tree_and_of_a_supervisor_and_no_other() -> None:
    assert set(parameters(Supervisor)) == TREE | INSIDE
    assert set(describing.INSIDE) == INSIDE - TREE
    assert set(describing.OUTSIDE) == TREE - INSIDE


@pytest.mark.parametrize("what", [Child, Supervisor])
def test_every_argument_is_documented(what: type) -> None:
    documented = re.findall(r"^    (\w+): ", inspect.getdoc(what) or "", re.MULTILINE)
    assert documented == list(parameters(what))


def test_the_tables_have_the_keys_of_the_tree_file() -> None:
    assert set(tables.Probe.__annotations__) == set(options_of(Probe))
    assert set(tables.Backoff.__annotations__) == set(DEFAULT_BACKOFF)
    assert set(tables.Log.__annotations__) == set(LogKeys().kinds)


@pytest.mark.parametrize(
    ("words", "members"),
    [
        (tables.Strategy, Strategy),
        (tables.Restart, Restart),
        (tables.AutoShutdown, AutoShutdown),
        (tables.Level, Level),
    ],
)
def test_the_words_are_those_of_the_core(words: object, members: type[Strategy]) -> None:
    assert typing.get_args(words) == tuple(member.value for member in members)


def plan(root: Supervisor, folder: Path) -> config.Plan:
    """What the root would make of it."""
    text = json.dumps(describing.Tables(root).data())
    return config.load_text(str(folder / "tree.json"), text, {"HOME": "/home/me", "PATH": "/bin"})


def test_the_defaults_are_those_of_otp(tmp_path: Path) -> None:
    made = plan(
        Supervisor([Child("a", command="x"), Supervisor([Child("b", command="y")], name="s")], dir=tmp_path), tmp_path
    )
    counted = Backoff(reset=300)  # no delay, as in OTP; `reset` only says from when on a crash loop counts as over
    assert made.root == SupervisorSpec(
        name="root",
        children=(
            WorkerSpec(name="a", backoff=counted),
            SupervisorSpec(name="s", backoff=counted, children=(WorkerSpec(name="b", backoff=counted),)),
        ),
    )
    assert (made.root.intensity, made.root.period, made.root.on_give_up) == (1, 5.0, "exit")
    assert (made.state_dir, made.dir) == (f"{tmp_path}/.supervisor-tree", str(tmp_path))
    assert made.warnings == made.not_yet == []


def test_all_that_is_given_arrives(tmp_path: Path) -> None:
    root = Supervisor(
        [
            Child(
                "a",
                command=["prog", tmp_path / "x", "${self.name}"],
                env={"A": "1", "B": 2, "C": False, "D": {"file": tmp_path / "secret"}},
                shutdown=timedelta(minutes=1.5),
                backoff={"initial": "2s", "max": timedelta(seconds=8)},
                umask=0o27,
                limits={"nofile": (100, "unlimited")},
                ready={"notify": True},
                health=[{"heartbeat": timedelta(seconds=90)}, {"file": Path("f"), "fresh": "2m"}],
                success=(0, "TERM"),
                instances=[8001, "x"],
                autostart=False,
                log={"file": Path("logs") / "${self.instance}", "keep": 2},
            ),
            Supervisor(
                [Child("t", run="m:f", args={"deep": {"n": 1}, "when": timedelta(seconds=2)}, preload="json")],
                name="s",
                strategy="simple_one_for_one",
                intensity=7,
                period="1m",
                restart="transient",
                shutdown=30,
                backoff=1.5,
            ),
        ],
        name="mine",
        dir=tmp_path,
        state_dir="state",
        strategy="rest_for_one",
        intensity=3,
        period=timedelta(minutes=1),
        on_give_up="hold",
        make_dirs="made",
    )
    made = plan(root, tmp_path)
    worker = made.workers["a@8001"]
    assert worker.command == ("prog", f"{tmp_path}/x", "a@8001")
    assert list(worker.env) == ["A", "B", "C", "D"]
    assert (worker.shutdown, worker.umask, worker.limits) == (90, 0o27, {"nofile": (100, -1)})
    # A backoff that is given is as in the tree file
    assert (worker.backoff.first, worker.backoff.initial, worker.backoff.max, worker.backoff.factor) == (0, 2, 8, 2)
    assert [probe.kind for probe in (*worker.ready, *worker.health)] == ["notify", "heartbeat", "file"]
    assert (worker.health[0].heartbeat, worker.success, worker.autostart) == (90, (0, "TERM"), False)
    assert worker.log is not None
    assert (worker.log.file, worker.log.keep) == (f"{tmp_path}/logs/8001", 2)
    inner = made.supervisors["s"]
    assert (inner.intensity, inner.period, inner.restart, inner.shutdown) == (7, 60, "transient", 30)
    assert (inner.backoff.first, inner.backoff.max) == (1.5, 1.5)
    assert made.workers["t"].args == {"deep": {"n": 1}, "when": 2.0}
    assert (made.name, made.state_dir, made.make_dirs) == ("mine", f"{tmp_path}/state", (f"{tmp_path}/made",))
    assert (made.root.strategy, made.root.intensity, made.root.period, made.root.on_give_up) == (
        "rest_for_one",
        3,
        60,
        "hold",
    )


def test_arguments_may_be_a_struct_or_a_dataclass(tmp_path: Path) -> None:
    from dataclasses import dataclass

    import msgspec

    class Struct(msgspec.Struct):
        every: float = 2.0

    @dataclass
    class Data:
        every: float = 3.0

    made = plan(
        Supervisor([Child("a", run="m:f", args=Struct()), Child("b", run="m:f", args=Data())], dir=tmp_path), tmp_path
    )
    assert (made.workers["a"].args, made.workers["b"].args) == ({"every": 2.0}, {"every": 3.0})


def test_how_they_look() -> None:
    assert repr(Child("a", command="x", nice=1)) == "Child('a', command='x', nice=1)"
    assert repr(Child("a")) == "Child('a')"
    assert repr(Supervisor([Child("a")], name="s", intensity=2)) == "Supervisor([Child('a')], name='s', intensity=2)"
