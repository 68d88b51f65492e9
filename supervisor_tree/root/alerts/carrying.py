"""A notice as it is handed to the program that sends it: in one variable of its environment, and not in a file, so that
a full disk keeps nobody from being told. And what is written to files, and read of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import msgspec

from supervisor_tree.root.alerts.notices import MOST, AlertFile, Notice, clip

TO_STDIN = 'a=$SUPERVISOR_TREE_ALERT; unset SUPERVISOR_TREE_ALERT; printf "%s\\n" "$a" | "$@"'
"""What a shell does for `alerts.command`: the event is what it reads."""
_FITS = 120_000
"""Bytes of a variable: the kernel takes 128 KiB."""
_TYPES = {"info": "info", "warning": "warning", "error": "failure", "critical": "failure"}
"""Apprise's words."""


def for_apprise(notice: Notice, label: str) -> str:
    """What `send.py` reads."""
    type_ = "success" if notice.all_over else _TYPES[notice.severity]
    return _fitting(notice, lambda text: {"title": notice.title, "text": text, "type": type_, "label": label})


def event_of(notice: Notice) -> str:
    """What `alerts.command` reads."""
    event = notice.event()
    if len(msgspec.json.encode(event)) > _FITS:  # many, with much about each
        event["alerts"] = [{**each, "context": {}} for each in event["alerts"]]
    while len(msgspec.json.encode(event["alerts"])) > _FITS // 2:
        half = len(event["alerts"]) // 2
        event["more"] += len(event["alerts"]) - half
        event["alerts"] = event["alerts"][:half]
    return _fitting(notice, lambda text: {**event, "text": text})


def _fitting(notice: Notice, make: Callable[[str], dict[str, Any]]) -> str:
    """JSON short enough for a variable: text that JSON has to write in other letters grows."""
    most = MOST
    while True:
        data: bytes = msgspec.json.encode(make(clip(notice.text, most)))
        if len(data) <= _FITS or most < 1000:
            return data.decode()
        most //= 2


def append(file: AlertFile) -> None:
    """Write `alerts.file`, behind what is there."""
    os.makedirs(os.path.dirname(file.path), exist_ok=True)
    with open(file.path, "a", encoding="utf-8", errors="replace") as out:
        out.write(file.text)


def last_words(path: str, since: float) -> str:
    """The last line that is not empty, of what was written since then."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_mtime < since - 1.0:
                return ""
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1].strip()[:300] if lines else ""
