"""The API mirrors the tree file: every key, under its name, with OTP's defaults where the file has others."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from supervisor_tree import Child, Job, Stage, Supervisor, config
from supervisor_tree.api import describing, tables
from supervisor_tree.config import job_settings
from supervisor_tree.config.job_settings import JobSettings
from supervisor_tree.config.loading import DEFAULTS
from supervisor_tree.config.probes import Probe
from supervisor_tree.config.reading import options_of
from supervisor_tree.config.settings import SupervisorSettings, TreeSettings, WorkerSettings
from supervisor_tree.config.sources import TABLES
from supervisor_tree.config.tree_kinds import DEFAULT_BACKOFF, LOG_LIMITS, LogKeys
from supervisor_tree.core.spec import AutoShutdown, Backoff, Level, Restart, Strategy, SupervisorSpec, WorkerSpec

TREE = set(options_of(TreeSettings)) - {"include"}
"""A program imports what it would include."""
INSIDE = set(options_of(SupervisorSettings)) | {"name"}
BESIDE = set(TABLES) - {"tree", "supervisors", "workers"}


def parameters(what: type) -> dict[str, inspect.Parameter]:
    return dict(list(inspect.signature(what).parameters.items()))


@pytest.mark.parametrize(
    ("what", "settings"), [(Child, WorkerSettings), (Job, JobSettings), (Stage, job_settings.Stage)]
)
def test_it_takes_every_key_of_its_table_and_no_other(what: type, settings: type[WorkerSettings]) -> None:
    (first, name), *rest = parameters(what).items()
    assert (first, name.kind) == ("name", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert [key for key, _ in rest] == [key for key in options_of(settings) if key != "name"]
    assert all(given.kind is inspect.Parameter.KEYWORD_ONLY and given.default is None for _, given in rest)


def test_a_supervisor_takes_every_key_of_the_tree_and_of_a_supervisor_and_all_other_tables() -> None:
    assert set(parameters(Supervisor)) == TREE | INSIDE | BESIDE
    assert set(describing.INSIDE) == INSIDE - TREE
    assert set(describing.OUTSIDE) == (TREE - INSIDE) | BESIDE
    assert set(describing.BESIDE) == BESIDE - {"jobs"}


@pytest.mark.parametrize("what", [Child, Job, Stage, Supervisor])
def test_every_argument_is_documented(what: type) -> None:
    documented = re.findall(r"^    (\w+): ", inspect.getdoc(what) or "", re.MULTILINE)
    assert documented == list(parameters(what))


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        (tables.Probe, options_of(Probe)),
        (tables.Backoff, DEFAULT_BACKOFF),
        (tables.Log, LogKeys().kinds),
        (tables.Logs, LOG_LIMITS),
        (tables.Defaults, DEFAULTS.known),
        (tables.Record, options_of(job_settings.Record)),
        (tables.Recover, options_of(job_settings.RecoverSettings)),
        (tables.RecoverLog, LogKeys(tail=True).kinds),
        (tables.Step, options_of(job_settings.Step)),
        (tables.Activity, options_of(job_settings.ActivitySettings)),
        (tables.Source, options_of(job_settings.ActivitySource)),
        (tables.Retention, options_of(job_settings.RetentionSettings)),
        (tables.Alerts, options_of(job_settings.AlertSettings)),
        (tables.Store, options_of(job_settings.StoreSettings)),
    ],
)
def test_the_tables_have_the_keys_of_the_tree_file(table: type, keys: Iterable[str]) -> None:
    assert set(typing.get_type_hints(table)) == set(keys)


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


def test_all_that_is_said_of_jobs_arrives(tmp_path: Path) -> None:
    stage = Stage(
        "train",
        command=["train", tmp_path / "x", "${self.instance}"],
        instances=("1w", 2),
        at_least=1,
        parallel=2,
        critical=False,
        timeout=timedelta(hours=1),
        retries=1,
        backoff="5s",
        env={"A": 1},
        verify={"file": tmp_path / "model", "fresh": "1h"},
    )
    root = Supervisor(
        [Child("web", command="x")],
        dir=tmp_path,
        max_runs=2,
        jobs=[
            Job(
                "nightly",
                schedule=["0 3 * * *", "@weekly"],
                timezone="America/Chicago",
                calendar="XNYS",
                needs={"web": "ready"},
                catch_up="all",
                missed_after=timedelta(hours=26),
                log={"file": "logs/${run.time}.log"},
                stages=[Stage("export", run="m:export", args={"rows": 3}), stage],
                record={"event_type": "NIGHTLY"},
            ),
            Job(
                "once",
                command="y",
                at=datetime.fromisoformat("2026-12-24T09:00"),
                timezone="UTC",
                outcome={3: "odd", "other": "bad"},
            ),
            Job("often", run="m:f", every=timedelta(seconds=90), overlap="kill", jitter=1, instances=2),
            Job("by-hand", command="z", recover="heal", enabled=False),
        ],
    )
    made = plan(root, tmp_path)
    nightly = made.jobs["nightly"]
    assert (nightly.schedule, nightly.timezone, nightly.calendar) == (
        ("0 3 * * *", "@weekly"),
        "America/Chicago",
        "XNYS",
    )
    assert (nightly.needs, nightly.catch_up, nightly.missed_after) == ({"web": Level.READY}, "all", 93600)
    assert nightly.record == job_settings.Record(event_type="NIGHTLY")
    export, train = nightly.stages
    assert (export.name, export.run, export.args) == ("export", "m:export", {"rows": 3})
    assert (train.instances, train.at_least, train.parallel, train.critical) == (("1w", "2"), 1, 2, False)
    assert (train.timeout, train.retries, train.backoff.first, train.env) == (3600, 1, 5, {"A": "1"})
    assert [(probe.file, probe.fresh) for probe in train.verify] == [(f"{tmp_path}/model", 3600)]
    assert made.jobs["once"].at == "2026-12-24T09:00:00"
    assert made.jobs["once"].outcome == {"3": "odd", "other": "bad"}
    assert (made.jobs["often@2"].every, made.jobs["often@2"].overlap, made.jobs["often@2"].jitter) == (90, "kill", 1)
    assert "by-hand" not in made.jobs
    # OTP has no jobs: their defaults are the tree file's
    assert (made.jobs["once"].shutdown, made.jobs["once"].backoff.initial, made.workers["web"].shutdown) == (10, 1, 5)


def test_all_that_is_said_of_recovery_alerts_and_the_rest_arrives(tmp_path: Path) -> None:
    root = Supervisor(
        [Child("web", command="x", recover=["heal"])],
        dir=tmp_path,
        recover={
            "heal": {
                "when": ["exit", "output"],
                "match": {"net": ["refused", "timeout"], "disk": "full"},
                "cooldown": timedelta(minutes=10),
                "max": 5,
                "per": "24h",
                "steps": [
                    {"clear_locks": tmp_path / "state" / "*.lock"},
                    {"restart": "web", "if": "net"},
                    {"alert": "critical", "file": "alert.txt"},
                    {"command": ["mend", "it"], "timeout": 5},
                ],
                "log": {"file": "heal.log", "tail": 50},
            },
        },
        activity={"posts": {"any": {"of": "web", "activity": "POST"}, "within": "6h", "level": "error"}},
        retention={"models": {"files": ["models/*.bin", tmp_path / "tmp" / "*"], "max_age": "7d", "keep": 3}},
        checks={"disk": {"disk_free": "1GB", "level": "warn"}},
        alerts={"command": ["notify", tmp_path / "x"], "file": "${self.name}.txt", "level": "error", "repeat": "6h"},
        store={"url": "sqlite:///events.sqlite", "max_age": timedelta(days=90)},
        logs={"max_size": "5MB", "keep": 2},
    )
    made = plan(root, tmp_path)
    rule = made.recover["heal"]
    assert (rule.when, rule.match) == (("exit", "output"), {"net": ("refused", "timeout"), "disk": ("full",)})
    assert (rule.cooldown, rule.max, rule.per) == (600, 5, 86400)
    locks, restart, alert, command = rule.steps
    assert (locks.clear_locks, restart.restart, restart.if_) == ((f"{tmp_path}/state/*.lock",), ("web",), "net")
    assert (alert.alert, alert.file, command.command) == ("critical", f"{tmp_path}/alert.txt", ("mend", "it"))
    assert rule.log is not None
    assert (rule.log.file, rule.log.tail, rule.log.keep) == (f"{tmp_path}/heal.log", 50, 2)
    assert made.workers["web"].recover == ("heal",)
    assert made.activity["posts"].any == (job_settings.ActivitySource(of="web", activity="POST"),)
    assert (made.activity["posts"].within, made.activity["posts"].level) == (21600, "error")
    models = made.retention["models"]
    assert (models.files, models.max_age, models.keep) == (
        (f"{tmp_path}/models/*.bin", f"{tmp_path}/tmp/*"),
        604800,
        3,
    )
    assert made.checks["disk"].disk_free == 10**9
    assert (made.alerts.command, made.alerts.level, made.alerts.repeat) == (("notify", f"{tmp_path}/x"), "error", 21600)
    assert made.store.max_age == 90 * 86400
    assert made.workers["web"].log is not None
    assert (made.workers["web"].log.max_size, made.workers["web"].log.keep) == (5_000_000, 2)


def test_defaults_are_for_workers_and_jobs_that_say_nothing_and_come_before_those_of_otp(tmp_path: Path) -> None:
    root = Supervisor(
        [Child("a", command="x"), Child("b", command="y", shutdown=1, backoff="2s")],
        jobs=[Job("j", command="z")],
        dir=tmp_path,
        defaults={"shutdown": "30s", "backoff": {"initial": "3s"}, "env": {"A": "1"}, "timeout": "1h"},
    )
    made = plan(root, tmp_path)
    a, b, j = made.workers["a"], made.workers["b"], made.jobs["j"]
    assert (a.shutdown, a.backoff.initial, a.backoff.max) == (30, 3, 300)
    assert (b.shutdown, b.backoff.initial) == (1, 2)
    assert (j.shutdown, j.backoff.initial, j.timeout, made.default_env) == (30, 3, 3600, {"A": "1"})


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
    stage = Stage("s", command="x")
    assert repr(Job("j", every=1, stages=[stage])) == "Job('j', every=1, stages=[Stage('s', command='x')])"
