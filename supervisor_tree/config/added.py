"""``added.toml``: what `ctl add` put into a running tree, kept in its state directory and read last (rule 19).

Its tables are those of the tree file; ``to`` in a worker or supervisor names the supervisor it was added under.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Any

from msgspec.structs import replace

from supervisor_tree.config.plan import Plan
from supervisor_tree.config.positions import index
from supervisor_tree.config.problems import ConfigError, Problem, dotted
from supervisor_tree.config.sources import NAMED

_HEAD = "# Written by `supervisor-tree ctl add` and `ctl remove`; read after the tree file.\n"


def join(text: str, new: str, to: str | None, plan: Plan) -> str:
    """The file's text with the tables of ``new``, which go last under the supervisor ``to`` (None: the root).

    What can't be added, or is there already, is left for `load` to refuse. Both are valid TOML, or the answer is none.
    """
    try:
        data = tomllib.loads(text)
        added = tomllib.loads(new)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return f"{text}\n{new}"
    here = {*data.get("workers", ()), *data.get("supervisors", ()), *data.get("jobs", ())}
    for kind, tables in added.items():
        if not isinstance(tables, dict) or kind not in NAMED:
            data[kind] = tables
            continue
        for name, table in tables.items():
            if name in here or name in plan.added:
                return f"{text}\n{new}"
            if to is not None and kind in ("workers", "supervisors") and isinstance(table, dict):
                table.setdefault("to", to)
            data.setdefault(kind, {})[name] = table
    return _HEAD + "".join(_tables(data))


def without(text: str, names: Iterable[str]) -> str:
    """The file's text without the tables of these names."""
    gone = set(names)
    data = tomllib.loads(text)
    for kind in NAMED:
        if kind in data:
            data[kind] = {name: table for name, table in data[kind].items() if name not in gone}
    return _HEAD + "".join(_tables(data))


def as_given(error: ConfigError, added: str, new: str, file: str) -> ConfigError:
    """The error with the problems of ``added``, the path of this file, that ``new`` has brought told as people find
    them: with the line in ``file``, from which it came."""
    lines = {dotted(path): line for path, line in index(new).items()}

    def found(problem: Problem) -> Problem:
        line = lines.get(problem.key) if problem.file == added else None
        return problem if line is None else replace(problem, file=file, line=line)

    return ConfigError(sorted(map(found, error.errors)))


def _tables(data: dict[str, Any]) -> Iterable[str]:
    # Values that are no table come first: after a header they would belong to it.
    yield from (f"{_key(kind)} = {_value(value)}\n" for kind, value in data.items() if not isinstance(value, dict))
    for kind, tables in data.items():
        if not isinstance(tables, dict):
            continue
        if kind not in NAMED or not all(isinstance(table, dict) for table in tables.values()):
            tables = {None: tables}
        for name, table in tables.items():
            yield f"\n[{_key(kind)}]\n" if name is None else f"\n[{_key(kind)}.{_key(name)}]\n"
            yield from (f"{_key(key)} = {_value(value)}\n" for key, value in table.items())


def _key(key: str) -> str:
    plain = key.replace("-", "").replace("_", "")
    return key if plain.isascii() and plain.isalnum() else _string(key)


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char >= " " and char != "\x7f" else f"\\u{ord(char):04x}" for char in escaped) + '"'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return repr(value)
