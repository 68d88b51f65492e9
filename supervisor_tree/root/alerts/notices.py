"""What is told at once: one notice, with all that began or ended by then. It is what waits in the queue, and its JSON
is what `alerts.command` reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from supervisor_tree.core.alerting import Condition
from supervisor_tree.core.severity import LEVELS, Severity
from supervisor_tree.root.clocks import rfc3339

MOST = 60_000
"""Characters of a notice's text; its JSON must fit into one variable of an environment (128 KiB)."""
_ITEMS = 200
"""Items that the JSON of one message lists in full."""


class Item(Struct, kw_only=True, omit_defaults=True):
    """One condition in a notice."""

    kind: str
    name: str | None
    severity: Severity
    title: str
    since: float
    count: int = 1
    over: bool = False
    seconds: float | None = None
    """How long it lasted, where it is over."""
    context: dict[str, Any] = {}


class AlertFile(Struct):
    """A file to be written: `alerts.file`, for one item."""

    path: str
    text: str


class Notice(Struct, kw_only=True):
    """One message, and to whom it must still go."""

    id: str
    at: float
    tree: str
    host: str
    title: str
    text: str
    items: list[Item]
    todo: list[str]
    """Targets (`delivery`) that do not have it yet."""
    files: list[AlertFile] = []
    """Those that are not written yet."""
    folded: int = 1
    """For how many it stands (`folding`); where that is more than one:"""
    begin: float = 0.0
    """when the first of them was made, and …"""
    unnamed: int = 0
    """… how many conditions it has no room for."""

    @property
    def severity(self) -> Severity:
        """The worst that it tells of."""
        return worst(item.severity for item in self.items if not item.over)

    @property
    def all_over(self) -> bool:
        return all(item.over for item in self.items)

    def event(self) -> dict[str, Any]:
        """As `alerts.command` reads it."""
        first = self.items[0]
        return {
            "event": "alert_resolved" if self.all_over else "alert_raised",
            "alert": self.id,
            "time": rfc3339(self.at),
            "tree": self.tree,
            "host": self.host,
            "severity": self.severity,
            "name": first.name if len(self.items) == 1 else None,
            "title": self.title,
            "text": self.text,
            "alerts": [_told(item) for item in self.items[:_ITEMS]],
            "more": max(0, len(self.items) - _ITEMS) + self.unnamed,
        }


def _told(item: Item) -> dict[str, Any]:
    return {
        "event": "alert_resolved" if item.over else "alert_raised",
        "kind": item.kind,
        "name": item.name,
        "severity": item.severity,
        "title": item.title,
        "since": rfc3339(item.since),
        "count": item.count,
        "seconds": item.seconds,
        "context": item.context,
    }


def worst(levels: Any) -> Severity:
    return max(levels, key=LEVELS.index, default="info")


def item_of(condition: Condition, now: float, *, over: bool) -> Item:
    """What is told of a condition now."""
    return Item(
        kind=condition.kind,
        name=condition.about,
        severity=condition.severity,
        title=condition.title,
        since=condition.since,
        count=condition.count,
        over=over,
        seconds=round(max(0.0, now - condition.since), 3) if over else None,
        context=condition.context,
    )


def subject(tree: str, items: Sequence[Item]) -> str:
    """One line that says it all on a telephone's lock screen."""
    begun = [item for item in items if not item.over] or list(items)
    first = max(begun, key=lambda item: LEVELS.index(item.severity))
    word = "RESOLVED" if first.over else first.severity.upper()
    names = list(dict.fromkeys(item.name for item in begun if item.name))
    rest = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
    if len(names) > 1 and len({item.kind for item in begun}) == 1:
        shown = ", ".join(names[:3]) + (f" … {len(names) - 3} more" if len(names) > 3 else "")
        return f"[{tree}] {word}: {len(names)} × {first.kind.replace('_', ' ')}: {shown}"
    return f"[{tree}] {word}: {first.title}"[:180] + rest


def merged(notices: Sequence[Notice]) -> Notice:
    """Several that have waited for the same target, as one message: the newest first, for that is what is true now."""
    if len(notices) == 1:
        return notices[0]
    newest = notices[-1]
    items = [item for notice in reversed(notices) for item in notice.items]
    count = sum(notice.folded for notice in notices)
    parts = [f"{count} messages have waited until this one could be delivered, the newest first.\n"]
    parts += [f"{'=' * 72}\n{notice.title}\n\n{notice.text}" for notice in reversed(notices)]
    return Notice(
        id=newest.id,
        at=newest.at,
        tree=newest.tree,
        host=newest.host,
        title=subject(newest.tree, items),
        text=clip("\n".join(parts)),
        items=items,
        todo=[],
    )


def clip(text: str, most: int = MOST) -> str:
    return text if len(text) <= most else text[: most - 40] + "\n[the rest was cut off: ask the tree]\n"
