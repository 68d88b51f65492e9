"""The configuration of a tree: read, checked, expanded, and made into specifications for the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor_tree.config import added
from supervisor_tree.config.commands import command_program, helper_program
from supervisor_tree.config.loading import load, load_text
from supervisor_tree.config.places import Found, example_file, find
from supervisor_tree.config.plan import Plan
from supervisor_tree.config.problems import ConfigError, Held, Problem, UnknownName
from supervisor_tree.config.programs import Program, is_static, log_settings, program
from supervisor_tree.config.runs import is_static_job, job_logs, run_log, run_names, run_program
from supervisor_tree.config.templates import carry, name_of, names_of, path_of, template
from supervisor_tree.config.variables import as_written

if TYPE_CHECKING:
    from supervisor_tree.config.compare import Change

__all__ = [
    "ConfigError",
    "Found",
    "Held",
    "Plan",
    "Problem",
    "Program",
    "UnknownName",
    "added",
    "as_written",
    "carry",
    "command_program",
    "diff",
    "example_file",
    "find",
    "helper_program",
    "is_static",
    "is_static_job",
    "job_logs",
    "load",
    "load_text",
    "log_settings",
    "name_of",
    "names_of",
    "path_of",
    "program",
    "reference",
    "run_log",
    "run_names",
    "run_program",
    "schema",
    "template",
]


def diff(old: Plan, new: Plan) -> list[Change]:
    """What a changed configuration asks of a running tree."""
    from supervisor_tree.config.compare import diff as compare

    return compare(old, new)


def schema() -> dict[str, Any]:
    """JSON Schema of the tree file."""
    from supervisor_tree.config.jsonschema import schema as made

    return made()


def reference() -> str:
    """The reference of the tree file, Markdown."""
    from supervisor_tree.config.reference_page import reference as made

    return made()
