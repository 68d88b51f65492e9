"""Each argument and each key of a table has the type that the tree file's kind of value has in Python."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import pytest
from msgspec import Struct

from supervisor_tree import Child, Job, Stage, Supervisor
from supervisor_tree.api import tables
from supervisor_tree.config import containers, job_settings, kinds, probes, program_kinds, python_kinds, tree_kinds
from supervisor_tree.config.loading import DEFAULTS
from supervisor_tree.config.reading import Field, Table, options_of
from supervisor_tree.config.settings import SupervisorSettings, TreeSettings, WorkerSettings
from supervisor_tree.config.urls import DatabaseUrl

MANY: Any = tables.Many
WORDS: Any = Literal
TABLE: Any = Mapping
_TEXTS = (kinds.Text, kinds.Pattern, kinds.SignalName, DatabaseUrl, probes.Url, probes.Address, probes.JsonPath)
_TREE_TEXTS = (tree_kinds.Name, tree_kinds.Cron, tree_kinds.Zone, tree_kinds.Exchange)
_PYTHON_TEXTS = (python_kinds.Used, python_kinds.Module)
PLAIN: dict[type, Any] = {
    **dict.fromkeys((*_TEXTS, *_TREE_TEXTS, *_PYTHON_TEXTS), str),
    kinds.Boolean: bool,
    kinds.Whole: int,
    kinds.Number: float,
    kinds.Duration: tables.Duration,
    kinds.Size: tables.Size,
    kinds.FilePath: tables.Path,
    python_kinds.Interpreter: tables.Path,
    python_kinds.Target: str | Callable[..., object],
    program_kinds.Command: tables.Command,
    program_kinds.Environment: tables.Env,
    program_kinds.InheritEnv: bool | MANY[str],
    program_kinds.Instances: int | MANY[str | int],
    program_kinds.Umask: str | int,
    program_kinds.Limits: tables.Limits,
    program_kinds.ExitStatus: int | str,
    program_kinds.Outcomes: Mapping[str | int, str],
    probes.TrueOrSilence: bool | tables.Duration,
    probes.StatusCodes: int | str,
    tree_kinds.BackoffKeys: tables.Duration | tables.Backoff,
    tree_kinds.Moment: datetime | str,
    job_settings.Stages: Sequence[Stage],
    containers.Anything: Any,
}
TABLES: dict[type, Any] = {
    probes.Probe: tables.Probe,
    job_settings.Record: tables.Record,
    job_settings.Step: tables.Step,
    job_settings.ActivitySource: tables.Source,
}


def fitting(kind: Any) -> Any:
    """What a value of this kind is in Python."""
    if isinstance(kind, containers.ListOf):
        return MANY[fitting(kind.kind)]
    if isinstance(kind, containers.MapOf):
        return TABLE[str, fitting(kind.kind)]
    if isinstance(kind, kinds.Choice):
        return WORDS[kind.choices]
    if isinstance(kind, kinds.Member):
        return WORDS[tuple(kind.members)]
    if isinstance(kind, kinds.WordsOr):
        return WORDS[kind.choices] | fitting(kind.other)
    if isinstance(kind, Table):
        return TABLES[kind.struct]
    if isinstance(kind, tree_kinds.LogKeys):
        return tables.RecoverLog if "tail" in kind.kinds else tables.Log
    return PLAIN[type(kind)]


def types(struct: type[Struct]) -> dict[str, Any]:
    """By key, the type of each option."""
    return {key: of(field) for key, field in options_of(struct).items()}


def of(field: Field) -> Any:
    # A table of arguments may stand as the object that checks them.
    return Mapping[str, Any] | object if field.key == "args" else fitting(field.option.kind)


@pytest.mark.parametrize(
    ("what", "struct"),
    [
        (Child, WorkerSettings),
        (Job, job_settings.JobSettings),
        (Stage, job_settings.Stage),
        (Supervisor, SupervisorSettings),
        (Supervisor, TreeSettings),
    ],
)
def test_arguments_have_the_types_of_the_tree_files_values(what: type, struct: type[Struct]) -> None:
    hints = typing.get_type_hints(what.__init__)  # type: ignore[misc]
    # The names of the tree's children are the objects'; what a program would include it imports.
    expected = {key: kind for key, kind in types(struct).items() if key not in ("name", "children", "include")}
    assert {key: hints[key] for key in expected} == {key: kind | None for key, kind in expected.items()}


@pytest.mark.parametrize(
    ("table", "struct"),
    [
        (tables.Probe, probes.Probe),
        (tables.Record, job_settings.Record),
        (tables.Recover, job_settings.RecoverSettings),
        (tables.Step, job_settings.Step),
        (tables.Activity, job_settings.ActivitySettings),
        (tables.Source, job_settings.ActivitySource),
        (tables.Retention, job_settings.RetentionSettings),
        (tables.Alerts, job_settings.AlertSettings),
        (tables.Store, job_settings.StoreSettings),
    ],
)
def test_tables_have_the_types_of_the_tree_files_values(table: type, struct: type[Struct]) -> None:
    assert typing.get_type_hints(table) == types(struct)


def test_so_have_the_defaults_and_logs() -> None:
    assert typing.get_type_hints(tables.Defaults) == {key: of(field) for key, field in DEFAULTS.known.items()}
    kinds_of_log = tree_kinds.LogKeys(tail=True).kinds
    expected = {key: fitting(kind) for key, kind in kinds_of_log.items()}
    for table in (tables.Log, tables.Logs, tables.RecoverLog):
        hints = typing.get_type_hints(table)
        assert hints == {key: expected[key] for key in hints}
