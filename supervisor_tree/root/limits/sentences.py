"""Journal lines about limits of memory and CPU, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor_tree.root.words import cores, duration, size

Line = dict[str, Any]

_AFTER_LIMIT: dict[str, str] = {
    "restart": "it is to be restarted",
    "fail": "it is stopped, and has failed",
    "hold": "left alone while it is held",
}


def _limited(line: Line) -> str:
    """Who has a limit: a worker, or a program of a run."""
    return str(line.get("program") or line["name"])


def _amount(line: Line, key: str) -> str:
    value = float(line[key])
    if line["kind"] == "memory":
        return size(value)
    return cores(value) + (f" over {duration(float(line['seconds']))}" if key == "value" else "")


def _most(line: Line) -> str:
    processes = [
        f"{each.get('command') or '?'} (pid {each['pid']}) {_share(each)}" for each in line.get("processes") or ()
    ]
    return f" (most: {'; '.join(processes)})" if processes else ""


def _share(process: dict[str, Any]) -> str:
    return size(process["memory"]) if "memory" in process else cores(process["cpu"])


SENTENCES: dict[str, Callable[[Line], str]] = {
    "limit_exceeded": lambda line: (
        f"{_limited(line)} is over its {line['kind']}_max: {_amount(line, 'value')}, limit {_amount(line, 'limit')}"
        f"{_most(line)}; {_AFTER_LIMIT.get(str(line.get('then')), 'told of once')}"
    ),
    "limit_kept_again": lambda line: (
        f"{_limited(line)} keeps its {line['kind']}_max again: {_amount(line, 'value')}, limit {_amount(line, 'limit')}"
        if line.get("limit") is not None
        else f"{_limited(line)} has no {line['kind']}_max any more"
    ),
    "limits_not_watched": lambda line: (
        f"limits can't be watched: the system has not told in {duration(float(line['seconds']))} what processes use"
    ),
}
