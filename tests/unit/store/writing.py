"""A journal for tests: lines as the root writes them."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from supervisor_tree.store.journal import Journal
from supervisor_tree.store.segments import read_backwards


class Written:
    """Waits for the writer's thread by its own word."""

    def __init__(self) -> None:
        self.seq = 0
        self._condition = threading.Condition()

    def __call__(self, seq: int) -> None:
        with self._condition:
            self.seq = seq
            self._condition.notify_all()

    def wait(self, seq: int) -> None:
        with self._condition:
            assert self._condition.wait_for(lambda: self.seq >= seq, timeout=10)


def line(seq: int, event: str = "x", name: str | None = None, time: str = "", **fields: object) -> tuple[int, bytes]:
    at = time or f"2026-11-22T14:{seq // 60 % 60:02}:{seq % 60:02}.000Z"
    told = {"time": at, "seq": seq, "event": event, "name": name, **fields}
    return seq, json.dumps(told, separators=(",", ":")).encode()


def write(folder: Path, lines: list[tuple[int, bytes]]) -> None:
    """Open a journal, append, close."""
    journal = Journal(folder, Written())
    journal.append(lines)
    journal.close()


def numbers(folder: Path) -> list[int]:
    return [json.loads(raw)["seq"] for raw in read_backwards(folder)][::-1]
