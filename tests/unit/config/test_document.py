"""The examples that users read must load; the schema, the reference page and the loader must agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from supervisor_tree import config
from supervisor_tree.config import positions
from supervisor_tree.config.reading import options_of
from supervisor_tree.config.settings import WorkerSettings
from tests.unit.config.conftest import Good
from tests.unit.config.examples import CONTAINER, LANGUAGE, RUN_TIME

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def language(good: Good, tmp_path: Path) -> config.Plan:
    (tmp_path / ".env").write_text("")
    return good(LANGUAGE)


def test_the_whole_language(language: config.Plan) -> None:
    assert [child.name for child in language.root.children] == [
        "market", "ticker", "browser", "web@8001", "web@8002", "cache", "migrate", "server",
    ]  # fmt: skip
    assert list(language.jobs) == ["pre-market", "schedule-once", "nightly", "login"]
    assert set(language.recover) == {"guardian", "uw-errors"}
    assert language.held == {"browser": 'not yet: use = "chrome-cdp" is not run by this version'}
    assert language.warnings == []
    nightly = language.jobs["nightly"]
    assert [stage.name for stage in nightly.stages] == ["export", "audit", "train", "predict", "upload", "evaluate"]
    assert (nightly.missed_after, nightly.wake, nightly.catch_up, nightly.timeout) == (93600, 60, "last", 14400)
    assert nightly.stages[2].instances == ("1w", "1m", "3m", "6m", "12m")
    assert language.jobs["schedule-once"].every == 60
    assert language.jobs["schedule-once"].backoff.max == 300
    assert language.jobs["pre-market"].outcome == {
        "0": "healthy",
        "1": "degraded",
        "2": "unhealthy",
        "other": "unexpected",
    }
    steps = language.recover["guardian"].steps
    assert (steps[1].restart, steps[1].if_, steps[4].wait, steps[5].rerun) == (("uw-daemon",), "uw", 5, True)
    health = language.workers["trading-bot"].health
    assert [probe.kind for probe in health] == ["http", "file", "file"]
    assert (health[1].key, health[1].changes, health[2].exists, health[2].then) == ("iter_count", 180, False, "alert")


def test_what_is_not_run_yet_is_said(language: config.Plan, tmp_path: Path) -> None:
    said = [(problem.key, problem.message) for problem in language.not_yet]
    assert not any(key.rpartition(".")[2] in ("ready", "health", "require") for key, _ in said)
    assert ("checks.bigquery", "not yet: there is no `doctor` that asks them") in said
    assert [key for key, _ in said if key.startswith("jobs.")] == ["jobs.nightly.wake"]
    assert not any(key.partition(".")[0] in ("alerts", "activity", "retention", "store") for key, _ in said)
    assert {problem.file for problem in language.not_yet} == {str(tmp_path / "tree.toml")}
    lines = LANGUAGE.splitlines()
    for problem in language.not_yet:
        last = problem.key.rpartition(".")[2]
        assert last in lines[problem.line - 1]


def test_the_other_examples(good: Good) -> None:
    pod = good(CONTAINER)
    assert (pod.root.intensity, pod.root.on_give_up, pod.workers["app"].significant) == (5, "exit", True)
    assert list(good(RUN_TIME).templates) == ["fetchers"]


def test_the_example_of_the_package_loads_without_a_warning(tmp_path: Path) -> None:
    plan = config.load([config.example_file()], {"HOME": str(tmp_path)})
    assert plan.state_dir == f"{tmp_path}/.local/state/supervisor-tree/example"
    assert plan.warnings == plan.not_yet == []
    assert plan.held == {}


@pytest.mark.parametrize("text", [LANGUAGE, CONTAINER, RUN_TIME], ids=["language", "container", "run-time"])
def test_every_value_of_the_examples_has_a_line(text: str) -> None:
    import tomllib

    lines = positions.index(text)

    def walk(value: Any, path: tuple[Any, ...]) -> None:
        assert path in lines
        last = next((part for part in reversed(path) if isinstance(part, str)), "")
        if not isinstance(path[-1], int):
            assert last in text.splitlines()[lines[path] - 1]
        for key, below in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            walk(below, (*path, key))

    for key, value in tomllib.loads(text).items():
        walk(value, (key,))


def test_the_reference_is_what_the_definitions_say() -> None:
    page = REPOSITORY / "docs" / "reference-configuration.md"
    assert page.read_text(encoding="utf-8") == config.reference(), (
        "write it anew: python -c 'from supervisor_tree import config; print(config.reference(), end=\"\")'"
    )


def test_the_schema_knows_every_option_and_default() -> None:
    schema = config.schema()
    json.dumps(schema)
    worker = schema["$defs"]["WorkerSettings"]["properties"]
    assert set(worker) == set(options_of(WorkerSettings))
    assert worker["shutdown"]["default"] == 10.0
    assert worker["restart"]["default"] == "permanent"
    assert worker["stop_to"]["anyOf"][0] == {"enum": ["group", "leader"]}
    for reference in _references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"]


def _references(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["$ref"]] if "$ref" in schema else []
        return own + [one for below in schema.values() for one in _references(below)]
    return [one for below in schema for one in _references(below)] if isinstance(schema, list) else []


@pytest.mark.parametrize("text", [LANGUAGE, CONTAINER, RUN_TIME], ids=["language", "container", "run-time"])
def test_the_examples_fit_the_schema(text: str) -> None:
    import tomllib

    schema = config.schema()
    problems = list(_misfits(tomllib.loads(text), schema, schema["$defs"], "$"))
    assert problems == []


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    schema = config.schema()
    wrongs: list[Any] = [{"workers": {"a": {"comand": "x"}}}, {"tre": {}}, {"workers": {"a": {"nice": "high"}}}]
    for wrong in wrongs:
        assert list(_misfits(wrong, schema, schema["$defs"], "$"))


def _misfits(value: Any, schema: dict[str, Any], defs: dict[str, Any], at: str) -> Any:
    """As much of JSON Schema as ours uses."""
    import re

    if "$ref" in schema:
        yield from _misfits(value, defs[schema["$ref"].removeprefix("#/$defs/")], defs, at)
    if "anyOf" in schema and all(list(_misfits(value, one, defs, at)) for one in schema["anyOf"]):
        yield f"{at}: fits none of {schema['anyOf']}"
    if "const" in schema and value is not schema["const"] and value != schema["const"]:
        yield f"{at}: not {schema['const']}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: not in {schema['enum']}"
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
    }
    wanted = schema.get("type")
    if wanted:
        names = [wanted] if isinstance(wanted, str) else wanted
        fits = any(isinstance(value, kinds[name]) for name in names) and (
            not isinstance(value, bool) or "boolean" in names
        )
        if not fits and not (wanted == "string" and hasattr(value, "isoformat")):
            yield f"{at}: {value!r} is no {wanted}"
            return
    if isinstance(value, dict):
        for key, below in value.items():
            if "propertyNames" in schema and not re.search(schema["propertyNames"]["pattern"], key):
                yield f"{at}: {key} is no name"
            if key in schema.get("properties", {}):
                yield from _misfits(below, schema["properties"][key], defs, f"{at}.{key}")
            elif schema.get("additionalProperties") is False:
                yield f"{at}: unknown key {key}"
            elif isinstance(schema.get("additionalProperties"), dict):
                yield from _misfits(below, schema["additionalProperties"], defs, f"{at}.{key}")
    if isinstance(value, list) and "items" in schema:
        for number, below in enumerate(value):
            yield from _misfits(below, schema["items"], defs, f"{at}[{number}]")
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at}: {value!r} does not match {schema['pattern']}"
    if isinstance(value, int | float) and not isinstance(value, bool) and value < schema.get("minimum", value):
        yield f"{at}: {value} is below {schema['minimum']}"
