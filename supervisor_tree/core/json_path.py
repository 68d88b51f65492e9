"""JSON paths: `state.orders[0].id`, `$.state`; the same in the tree file and in the arguments of a shim."""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?[0-9]+)\]")


class PathError(ValueError):
    """It is no JSON path; the message says what one looks like."""


def steps(path: str) -> tuple[str | int, ...]:
    """What a JSON path goes through.

    Raises:
        PathError: it is none.
    """
    rest = path.removeprefix("$")
    found: list[str | int] = []
    at = 0
    while at < len(rest):
        step = _STEP.match(rest, at)
        if step is None:
            break
        found.append(step[1] if step[2] is None else int(step[2]))
        at = step.end()
    if at < len(rest) or not found:
        raise PathError(f'"{path}" is no JSON path: write names with dots and places in brackets, as in "jobs[0].id"')
    return tuple(found)


def follow(value: Any, path: tuple[str | int, ...]) -> Any:
    """What lies at the end of the path. Raises LookupError when there is nothing."""
    for step in path:
        there = isinstance(value, dict if isinstance(step, str) else list)
        if not there:
            raise LookupError(step)
        value = value[step]
    return value
