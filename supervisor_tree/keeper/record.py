"""`keeper.log`: the table on disk. The keeper words it, the logger writes it, the next start reads it.

One JSON object a line: ``life`` (first line), ``is`` (a process), ``gone``.
A hint beside the tree's id (`processes.md` 8): not fsynced, may lack its last lines, holds no secret.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


# Two lines for each restart of a worker: written without building an object first.
_string = json.encoder.encode_basestring_ascii


def life(tree_id: str, boot: str, namespace: str, keeper: int, start: int) -> str:
    entry = {"e": "life", "id": tree_id, "boot": boot, "ns": namespace, "keeper": keeper, "start": start}
    return json.dumps(entry, separators=(",", ":"))


def process(name: str, inc: int, pid: int, start: int) -> str:
    return f'{{"e":"is","name":{_string(name)},"inc":{inc},"pid":{pid},"start":{start}}}'


def gone(name: str, inc: int) -> str:
    return f'{{"e":"gone","name":{_string(name)},"inc":{inc}}}'


class Record:
    """What the lines say. ``rows`` are as in ``hello`` (name, incarnation, pid, start)."""

    def __init__(self) -> None:
        self.life: dict[str, Any] = {}
        self._rows: dict[tuple[str, int], list[Any]] = {}

    def add(self, line: str) -> None:
        """One line (or several joined by newlines); what is no line of ours is ignored."""
        for each in line.splitlines():
            try:
                entry = json.loads(each)
                kind = entry["e"]
                if kind == "life":
                    self.life = entry
                    self._rows.clear()
                    continue
                key = str(entry["name"]), int(entry["inc"])
                if kind == "is":
                    self._rows[key] = [*key, int(entry["pid"]), int(entry["start"])]
                elif kind == "gone":
                    self._rows.pop(key, None)
            except (ValueError, KeyError, TypeError, RecursionError):
                continue

    @property
    def rows(self) -> list[list[Any]]:
        return list(self._rows.values())


def rows(lines: Iterable[str]) -> list[list[Any]]:
    """The processes that were there after these lines: for `sweep.kill_all`."""
    record = Record()
    for line in lines:
        record.add(line)
    return record.rows


def read(path: str) -> Record:
    """The record at ``path``; empty when there is none."""
    record = Record()
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                record.add(line)
    except OSError:
        pass
    return record
