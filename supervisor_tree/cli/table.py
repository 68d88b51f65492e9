"""What goes to a terminal: aligned tables, colour, and the width there is.

Colour only on a terminal, without NO_COLOR and not on a dumb one; lines are clipped only on a terminal, so that
pipes get everything.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TextIO

_CODES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}

_STATES = {
    "running": "green",
    "completed": "green",
    "done": "green",
    "starting": "yellow",
    "waiting": "yellow",
    "stopping": "yellow",
    "backoff": "yellow",
    "degraded": "yellow",
    "held": "cyan",
    "stopped": "dim",
    "failed": "red",
}


class Cell:
    """A piece of text with a colour that takes no room."""

    __slots__ = ("colour", "text")

    def __init__(self, text: str, colour: str = "") -> None:
        self.text = " ".join(text.splitlines())  # of one row: somebody's `--reason` may have several lines
        self.colour = colour


def state(word: str | None) -> Cell:
    """A state in its colour."""
    return Cell(word or "?", _STATES.get(word or "", ""))


def coloured() -> bool:
    """Whether standard output is to be coloured."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str) -> str:
    """``text`` in ``colour``, where colour is wanted."""
    return f"\033[{_CODES[colour]}m{text}\033[0m" if colour and text and coloured() else text


def width(stream: TextIO | None = None) -> int | None:
    """Columns of the terminal that ``stream`` (standard output) is; None when it is none."""
    stream = stream or sys.stdout
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else None
    except (OSError, ValueError):
        return None


def clip(text: str, room: int | None) -> str:
    """``text`` in at most ``room`` columns, with “…” where something was left out."""
    if room is None or len(text) <= room:
        return text
    return text[: max(0, room - 1)] + "…" if room > 0 else ""


def show(head: Sequence[str], rows: Sequence[Sequence[str | Cell]], right: Sequence[str] = ()) -> None:
    """Print a table: columns as wide as they need, the last one clipped; columns in ``right`` flush right."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    table = [[Cell(title, "dim") for title in head], *cells] if head else cells
    widths = [max(len(row[i].text) for row in table) for i in range(len(table[0]))]
    total = width()
    paints = coloured()
    lines = []
    for row in table:
        parts, room = [], total
        for i, cell in enumerate(row):
            last = i == len(row) - 1
            text = clip(cell.text, room) if last else cell.text
            flush_right = bool(head) and head[i] in right
            padding = " " * (widths[i] - len(text)) if flush_right or not last else ""
            shown = f"\033[{_CODES[cell.colour]}m{text}\033[0m" if paints and cell.colour and text else text
            parts.append(padding + shown if flush_right else shown + padding)
            room = None if room is None else room - widths[i] - 2
        lines.append("  ".join(parts).rstrip())
    print("\n".join(lines))


def print_json(data: Any) -> None:
    """Machine output: one line, indented only for eyes (a terminal)."""
    import json

    if sys.stdout.isatty():
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        print(json.dumps(data, separators=(",", ":"), ensure_ascii=False))
