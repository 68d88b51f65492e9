"""Reading files that somebody may just be writing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.waiting import eventually


def json_lines(file: Path) -> list[dict[str, Any]]:
    """One JSON a line: those that are whole; none where there is no file."""
    data = file.read_bytes() if file.exists() else b""
    # A line that is just being written has no end yet.
    return [json.loads(line) for line in data.splitlines(keepends=True) if line.endswith(b"\n")]


def environment(file: Path) -> dict[str, str]:
    """What `env > new; mv new FILE` of a worker has written, once it is there."""
    eventually(file.exists, f"{file} is written")
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
