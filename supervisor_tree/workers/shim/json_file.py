"""One value of a JSON file, or of the last line of a JSON-lines file, without reading a big one whole."""

from __future__ import annotations

import json
import os
from typing import Any

_TAIL = 1 << 20
"""Bytes. Of a longer file only the last line is looked at, and no line longer than this."""


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
