"""One value of a JSON file, or of the last line of a JSON-lines file, without reading a big one whole."""

from __future__ import annotations

import json
import os
import re
from typing import Any

_TAIL = 1 << 20
"""Bytes. Of a longer file only the last line is looked at, and no line longer than this."""

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?[0-9]+)\]")


class PathError(ValueError):
    """It is no JSON path; the message says what one looks like."""


def steps(path: str) -> tuple[str | int, ...]:
    """What a JSON path (``state.orders[0].id``, ``$.state``) goes through.

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


def read(path: str) -> Any:
    """The document in a file; of JSON lines that in the last whole line.

    Raises:
        OSError: it can't be read.
        ValueError: it is neither, or just being written.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _TAIL))
        content = file.read(_TAIL)
    if size <= _TAIL:
        try:
            return json.loads(content)
        except ValueError as error:
            whole = error
    else:
        whole = ValueError("its last line is longer than 1 MiB")
    # An end without a newline may be half a line that is being written.
    lines = content.splitlines(keepends=True)
    for line in reversed(lines[1:] if size > _TAIL else lines):
        if not line.strip():
            continue
        try:
            return json.loads(line)
        except ValueError:
            if line.endswith(b"\n"):
                break
    raise whole
