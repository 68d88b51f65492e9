"""Journal lines about probes, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Line = dict[str, Any]

_THEN = {"restart": "it is to be restarted", "hold": "it is to be stopped and held", "alert": "it is left running"}


def _status(line: Line) -> str:
    return f"{line['status']}: " if line.get("status") else ""


SENTENCES: dict[str, Callable[[Line], str]] = {
    "probe_failed": lambda line: (
        f"{line['name']} fails its probe: {_status(line)}{line['reason']}; {_THEN.get(str(line.get('then')), 'seen')}"
    ),
    "probe_passed": lambda line: (
        f"{line['name']}: {line['probe']} is not asked any more"
        if line.get("why")
        else f"{line['name']} passes its probe again: {line['probe']}"
    ),
    "unhealthy": lambda line: f"{line['name']} counts as unhealthy",
    "healthy": lambda line: f"{line['name']} counts as healthy again",
    "looked_into": lambda line: (
        f"{line['name']} was looked into: {line['explanation']}"
        + (f" (all that is known: {line['incident']})" if line.get("incident") else "")
    ),
}
