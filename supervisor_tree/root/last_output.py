"""The last lines of a worker's output, out of its log files: for `why` and for incident files."""

from __future__ import annotations

import os
from datetime import UTC, datetime

_LONGEST = 1000
"""Bytes of one line."""


def streams(log: dict[str, str | None] | None) -> dict[str, str | None]:
    """The files of a log, and what each one's bytes are where the index does not say (None: it does)."""
    if log is None:
        return {}
    found = {log["path"]: None if log["stderr"] is None else "out", log["stderr"]: "err"}
    return {path: stream for path, stream in found.items() if path}


def last_lines(name: str, log: dict[str, str | None] | None, most: int) -> list[str]:
    """At most so many, oldest first, each behind its time (UTC). Reads the disk: not for the loop.

    Args:
        log: the files as `Spawning.log_file` names them.

    Raises:
        OSError: a file can't be read.
    """
    from supervisor_tree.logs.read import Cursor, tail

    cursors = [Cursor(name, path, stream) for path, stream in streams(log).items() if os.path.exists(path)]
    if not cursors:
        return []
    try:
        rows = []
        for line in tail(cursors, most):
            text = line.data[:_LONGEST].decode(errors="replace").rstrip("\r\n")
            rows.append(f"{_clock(line.time)} {text if not line.dropped else f'… {line.dropped} bytes were dropped'}")
        return rows
    finally:
        for cursor in cursors:
            cursor.close()


def _clock(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%H:%M:%S.%f")[:-3] + "Z"
