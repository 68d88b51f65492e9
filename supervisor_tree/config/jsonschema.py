"""JSON Schema (draft 2020-12) of the tree file, for editors."""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct

from supervisor_tree.config import job_settings as jobs
from supervisor_tree.config.loading import DEFAULTS
from supervisor_tree.config.probes import Probe
from supervisor_tree.config.reading import Field, options_of
from supervisor_tree.config.settings import SupervisorSettings, TreeSettings, WorkerSettings
from supervisor_tree.config.tree_kinds import LogKeys

_PARTS: tuple[type[Struct], ...] = (
    *(TreeSettings, SupervisorSettings, WorkerSettings, jobs.JobSettings, jobs.Stage, jobs.Record, Probe),
    *(jobs.RecoverSettings, jobs.Step, jobs.ActivitySettings, jobs.ActivitySource, jobs.RetentionSettings),
    *(jobs.StoreSettings, jobs.AlertSettings),
)


def schema() -> dict[str, Any]:
    """The schema; what only the whole file tells (names, order, needs) is left to `check`."""
    named: dict[str, type[Struct]] = {
        "supervisors": SupervisorSettings,
        "workers": WorkerSettings,
        "jobs": jobs.JobSettings,
        "recover": jobs.RecoverSettings,
        "activity": jobs.ActivitySettings,
        "retention": jobs.RetentionSettings,
        "checks": Probe,
    }
    properties: dict[str, Any] = {"tree": _reference(TreeSettings), "defaults": {"$ref": "#/$defs/Defaults"}}
    for name, struct in named.items():
        properties[name] = {
            "type": "object",
            "description": _summary(struct),
            "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"},
            "additionalProperties": _reference(struct),
        }
    properties |= {
        "store": _reference(jobs.StoreSettings),
        "logs": LogKeys(files=False).schema(),
        "alerts": _reference(jobs.AlertSettings),
    }
    properties["x"] = {"description": "The user's own; ignored."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "supervisor-tree: tree file",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": {struct.__name__: _table(options_of(struct), _summary(struct)) for struct in _PARTS}
        | {
            "Defaults": _table(
                DEFAULTS.known, "`[defaults]`: for each worker and job that does not set the key.", defaults=False
            )
        },
    }


def _reference(struct: type[Struct]) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{struct.__name__}"}


def _summary(struct: type[Struct]) -> str:
    return (struct.__doc__ or "").partition("\n")[0]


def _table(options: dict[str, Field], summary: str, *, defaults: bool = True) -> dict[str, Any]:
    properties = {}
    for key, field in options.items():
        schema = {"description": field.option.doc, **field.option.kind.schema()}
        default = plain(field.default)
        if defaults and not field.option.default and default is not None:
            schema["default"] = default
        properties[key] = schema
    return {"type": "object", "description": summary, "properties": properties, "additionalProperties": False}


def plain(default: object) -> Any:
    """A default in JSON's words; None where there is none to tell."""
    if isinstance(default, Enum):
        return default.value
    if isinstance(default, bool | int | float | str):
        return default
    if isinstance(default, tuple) and default:
        return list(default)
    return None
