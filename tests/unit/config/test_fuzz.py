"""Whatever is written: a plan, or errors that say where. Never anything else."""

# ruff: noqa: E501 - golden texts stand on one line, as users see them

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor_tree import config
from supervisor_tree.config import job_settings as jobs
from supervisor_tree.config import positions
from supervisor_tree.config.added import _value
from supervisor_tree.config.probes import Probe
from supervisor_tree.config.reading import options_of
from supervisor_tree.config.settings import SupervisorSettings, TreeSettings, WorkerSettings
from tests.unit.config.examples import CONTAINER, LANGUAGE, RUN_TIME

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / ".env").write_text("SET=1\nODD='${SET} $$'\n")
        yield Path(made)


def try_load(text: str) -> None:
    """Load it; everything that is asked of a plan must work, everything that is said must have a place."""
    with folder() as here:
        file = here / "tree.toml"
        file.write_text(text, encoding="utf-8")
        try:
            plan = config.load([str(file)], {"HOME": "/h", "X": "x y", "EMPTY": ""})
        except config.ConfigError as error:
            problems = error.errors
        else:
            use(plan, text)
            return
        assert problems
        assert problems == sorted(problems)
        last = len(text.splitlines()) + 1
        for problem in problems:
            assert problem.file
            assert problem.message
            assert 1 <= problem.line <= (last if problem.file == str(file) else 10**6)
            assert "\n" not in str(problem)


def use(plan: config.Plan, text: str) -> None:
    """Everything that is asked of a plan works."""
    again = msgspec.json.decode(msgspec.json.encode(plan), type=config.Plan)
    assert all(change.action in ("keep", "live", "restart") for change in config.diff(plan, again))
    for name in plan.workers:
        with suppress(config.Held):
            msgspec.json.encode(config.program(plan, name).spawn())
    assert all(1 <= problem.line <= len(text.splitlines()) + 1 for problem in (*plan.warnings, *plan.not_yet))


@QUICK
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    try_load(text.encode("utf-8", "replace").decode())


@QUICK
@given(st.data())
def test_examples_with_lines_and_letters_changed(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([LANGUAGE, CONTAINER, RUN_TIME]))
    for _ in range(data.draw(st.integers(1, 6))):
        lines = text.splitlines(keepends=True)
        one, two = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.integers(0, 5)):
            case 0:
                lines[one : one + 3] = []
            case 1:
                lines.insert(one, lines[two])
            case 2:
                lines[one], lines[two] = lines[two], lines[one]
            case 3:
                at = data.draw(st.integers(0, len(lines[one])))
                lines[one] = (
                    lines[one][:at] + data.draw(st.sampled_from(list("[]{}\"'=.,#$\n0x \\-"))) + lines[one][at:]
                )
            case 4:
                at = data.draw(st.integers(0, len(lines[one])))
                lines[one] = lines[one][:at] + lines[one][at + 1 :]
            case _:
                key, equals, _ = lines[one].partition("=")
                value = data.draw(
                    st.sampled_from(
                        ["0", "-1", "''", "[]", "{}", "true", "nan", "inf", "1979-05-27", "'${X}'", "'${NONE}'"]
                    )
                )
                lines[one] = f"{key}= {value}\n" if equals else lines[one]
        text = "".join(lines) or "\n"
    try_load(text)


KEYS: dict[str, type[msgspec.Struct]] = {
    "tree": TreeSettings, "supervisors.s": SupervisorSettings, "workers.a": WorkerSettings, "workers.b": WorkerSettings,
    "jobs.j": jobs.JobSettings, "recover.r": jobs.RecoverSettings, "activity.t": jobs.ActivitySettings,
    "retention.e": jobs.RetentionSettings, "checks.c": Probe, "store": jobs.StoreSettings, "alerts": jobs.AlertSettings,
    "defaults": WorkerSettings,
}  # fmt: skip
STRUCTS: list[type[msgspec.Struct]] = [*KEYS.values(), jobs.Stage, jobs.Step, jobs.ActivitySource]
ALL_KEYS = sorted({key for struct in STRUCTS for key in options_of(struct)})
WORDS = st.sampled_from(
    ["a", "b", "s", "j", "r", "web@1", "1s", "10", "5MB", "TERM", "permanent", "transient", "temporary", "simple_one_for_one", "rest_for_one",
     "ready", "x.log", "~/x", "?y", "http://h/", "h:1", "0 0 * * *", "@daily", "${SET}", "${ODD}", "${NONE}", "${self.instance}", "${run.time}",
     "${tree.dir}", "$$", "${", "infinity", "brutal_kill", "hold", "root", "UTC", "mod:attr", "(", "\x00", "", "é \U0001f600", "a 'b", "&& x"]
)  # fmt: skip
SCALARS = st.one_of(
    WORDS,
    st.text(max_size=8),
    st.integers(-3, 10**20),
    st.floats(),
    st.booleans(),
    st.datetimes(),
    st.dates(),
    st.times(),
)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.one_of(
        st.lists(below, max_size=4), st.dictionaries(st.one_of(st.sampled_from(ALL_KEYS), WORDS), below, max_size=4)
    ),
    max_leaves=8,
)


@QUICK
@given(st.data())
def test_any_value_at_any_key(data: st.DataObject) -> None:
    parts = []
    for table, struct in KEYS.items():
        if data.draw(st.integers(0, 2)) == 0:
            continue
        known = list(options_of(struct))
        chosen = data.draw(st.dictionaries(st.sampled_from(known), VALUES, max_size=5))
        lines = "".join(f"{key} = {_toml(value)}\n" for key, value in chosen.items())
        program = (
            "command = 'x'\n"
            if struct in (WorkerSettings, jobs.JobSettings) and table != "defaults" and "command" not in chosen
            else ""
        )
        parts.append(f"[{table}]\n{program}{lines}")
    try_load("".join(parts))


@QUICK
@given(
    st.dictionaries(
        st.sampled_from(["tree", "workers", "supervisors", "jobs", "recover", "logs", "x", "odd key", "defaults"]),
        VALUES,
        max_size=5,
    )
)
def test_any_value_at_the_top(tables: dict[str, Any]) -> None:
    try_load("".join(f"{_toml_key(key)} = {_toml(value)}\n" for key, value in tables.items()))


@QUICK
@given(st.dictionaries(st.text(min_size=1, max_size=6), VALUES, max_size=5))
def test_every_key_of_any_toml_has_a_line(tables: dict[str, Any]) -> None:
    text = "".join(f"\n{_toml_key(key)} = {_toml(value)}\n" for key, value in tables.items())
    try:
        parsed = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError):
        return
    lines = positions.index(text)

    def walk(value: Any, path: tuple[Any, ...]) -> None:
        assert path in lines
        for key, below in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            walk(below, (*path, key))

    for number, (key, value) in enumerate(parsed.items()):
        assert lines[(key,)] == 2 * number + 2
        walk(value, (key,))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return _value(value.encode("utf-8", "replace").decode())
    return _value(value)


def _toml_key(key: str) -> str:
    return _value(key.encode("utf-8", "replace").decode())


@pytest.mark.parametrize("name", ["-x", "?", "~", "$", "${SET}"])
def test_odd_names_of_files(name: str) -> None:
    try_load(
        f"[tree]\nenv_file = {_value(name)}\ninclude = {_value(name)}\nmake_dirs = {_value(name)}\nstate_dir = {_value(name)}\n"
    )
