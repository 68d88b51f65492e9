"""`outcome`: names of results."""

from __future__ import annotations

from collections.abc import Mapping


def outcome(table: Mapping[str, str], code: int | None, signal: str | None, timed_out: bool) -> str | None:
    """The name of a result: `timeout`, the signal (`SIGKILL`), the status, `other`; None: the table names none."""
    key = "timeout" if timed_out else signal if signal is not None else None if code is None else str(code)
    found = None if key is None else table.get(key)
    return table.get("other") if found is None else found
