"""Lines about the journal and its SQL view in words (a part of `root/sentences.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor_tree.root.words import duration, size

Line = dict[str, Any]


def _damaged(line: Line) -> str:
    more = f" and {line['places'] - 1} more places" if line["places"] > 1 else ""
    lost = f"{line['lost'] or 'no'} line{'' if line['lost'] == 1 else 's'} lost"
    return (
        f"the journal is damaged: {size(float(line['length']))} at byte {line['offset']} of {line['file']}{more}, "
        f"after line {line['after']}; {'its end was torn' if line['torn'] else lost}; "
        "what stood there is kept in quarantine.jsonl beside it"
    )


SENTENCES: dict[str, Callable[[Line], str]] = {
    "journal_damaged": _damaged,
    "journal_not_checked": lambda line: f"the journal can't be looked through for damage: {line.get('error')}",
    "view_behind": lambda line: f"the SQL view ({line.get('database')}) falls behind the journal: {line.get('reason')}",
    "view_caught_up": lambda line: (
        f"the SQL view ({line.get('database')}) has caught up after {duration(float(line['seconds']))}: "
        f"{line.get('lines')} lines"
    ),
    "view_made_anew": lambda line: (
        f"the SQL view ({line.get('database')}) is made anew from the journal: {line.get('reason')}; "
        f"the old file is kept as {line.get('kept')}"
    ),
}
