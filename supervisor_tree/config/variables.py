"""``${}`` in values: one syntax, expanded once, before units are parsed (configuration.md rule 5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

_REFERENCE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*|[a-z]+\.[A-Za-z0-9_.-]*)(?::-([^}]*))?\})")

RUN_NAMES = ("run.id", "run.time")

MARK = "\0"
"""Stands before a reference that only a run can answer: TOML text can hold it, but no program argument and no
file name may, so it is refused in what the user writes."""


class Unset(Exception):
    """A variable is set nowhere and has no default."""


class Unknown(Exception):
    """A dotted name that the tree does not know, or not here."""


class Scope(Struct):
    """Where references of one table are looked up.

    ``variables`` are the tree's env files over the environment of ``start``; ``names`` the dotted names known
    here; ``later`` those that only a run or an alert knows: they stay in the text, marked, for `finish`.
    """

    variables: Callable[[str], str | None]
    names: dict[str, str]
    later: tuple[str, ...] = ()

    def expand(self, text: str) -> str:
        """Answer every reference in the text. Raises `Unset` or `Unknown`, whose text is a message."""

        def answer(match: re.Match[str]) -> str:
            name, default = match.group(1), match.group(2)
            if name is None:
                return "$"
            if "." in name:
                return self._dotted(name)
            value = self.variables(name)
            if default is not None:
                return value or default
            if value is None:
                raise Unset(f"env {name} is not set")
            return value

        return _REFERENCE.sub(answer, text)

    def _dotted(self, name: str) -> str:
        if name in self.names:
            return self.names[name]
        if name in self.later:
            return f"{MARK}{{{name}}}"
        if name in RUN_NAMES:
            raise Unknown(f"${{{name}}} is known only while a job runs: it can stand in jobs, recover and alerts")
        if name == "self.instance":
            raise Unknown("${self.instance} has no value here: give the table `instances = […]`")
        if name == "self.name":
            raise Unknown("${self.name} has no value here: it can stand in workers, jobs, recover and alerts")
        known = sorted({*self.names, *self.later})
        raise Unknown(f"${{{name}}} is no name of the tree; here are known: {', '.join(known)} (`$$` writes a plain $)")


def as_written(value: Any) -> Any:
    """A setting with the references that are left for a run as people write them."""
    if isinstance(value, str):
        return value.replace(MARK + "{", "${")
    if isinstance(value, dict):
        return {key: as_written(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_written(inner) for inner in value]
    return value


def finish(text: str, names: dict[str, str]) -> str:
    """Answer the references that were left for a run or an alert."""
    for name, value in names.items():
        text = text.replace(f"{MARK}{{{name}}}", value)
    return text
