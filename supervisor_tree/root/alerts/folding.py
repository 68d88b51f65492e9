"""What has waited for very long becomes less: a target that is down for weeks must not fill memory, disk and mailbox.

The two oldest notices that the same targets still have to get become one, again and again: a list of what began and
ended by then, each condition in one line, with how often and since when. The journal has all of it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from itertools import pairwise

from msgspec.structs import replace

from supervisor_tree.core.severity import LEVELS
from supervisor_tree.root.alerts.notices import Item, Notice, clip, subject
from supervisor_tree.root.clocks import rfc3339

WAITING = 100
"""Notices that wait at most before the oldest are folded."""
_ITEMS = 200
"""Conditions that a folded notice tells of at most: the worst."""
_TEXT = 20_000
"""Characters of its text."""


def oldest(notices: Mapping[str, Notice], busy: Container[str]) -> tuple[Notice, Notice] | None:
    """The two oldest neighbours that can become one; ``busy``: ids of those that are just being sent."""
    free = (each for each in notices.values() if each.id not in busy)
    return next((pair for pair in pairwise(free) if pair[0].todo == pair[1].todo), None)


def fold(older: Notice, newer: Notice) -> Notice:
    """Both as one, in the place of the newer."""
    found: dict[tuple[str, str | None, str], Item] = {}
    for item in [*older.items, *newer.items]:
        # What ends by itself is one condition, however its title has changed; an alert of a step is what it says.
        key = (item.kind, item.name, item.title if item.kind == "alert" else "")
        was = found.pop(key, None)
        found[key] = replace(item, context={}) if was is None else _again(was, item)
    items = sorted(found.values(), key=lambda item: -LEVELS.index(item.severity))  # of one severity as they came
    kept, left = items[:_ITEMS], items[_ITEMS:]
    folded = older.folded + newer.folded
    unnamed = older.unnamed + newer.unnamed + len(left)
    begin = older.begin or older.at
    rows = [
        f"{folded} messages, from {rfc3339(begin)} to {rfc3339(newer.at)}, waited so long that they became this list.",
        "The journal has all of them: supervisor-tree ctl events\n",
        *(_row(item) for item in kept),
        *([f"… and {unnamed} of no higher severity"] if unnamed else []),
    ]
    return replace(
        newer,
        title=subject(newer.tree, kept),
        text=clip("\n".join(rows) + "\n", _TEXT),
        items=kept,
        files=[],
        folded=folded,
        unnamed=unnamed,
        begin=begin,
    )


def _again(was: Item, item: Item) -> Item:
    """The same condition as it was told of later: as it is now, as bad as it ever was."""
    return replace(
        item,
        severity=max(was.severity, item.severity, key=LEVELS.index),
        since=min(was.since, item.since),
        count=max(was.count, item.count) if was.since == item.since else was.count + item.count,
        context={},
    )


def _row(item: Item) -> str:
    times = f", {item.count} times" if item.count > 1 else ""
    now = "over by then" if item.over else "not over by then"
    return f"{item.severity.upper():<8} {item.title} (since {rfc3339(item.since)}{times}; {now})"
