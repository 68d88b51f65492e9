"""Trading days of exchanges: a table that comes with the package (`calendars.json`), valid for the years it names.

Made from and compared with `exchange_calendars` (tests/unit/config/test_calendars.py); that package itself needs 74 MB
and half a second, and is asked nothing at run time.
"""

from __future__ import annotations

import functools
import json
import os
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from supervisor_tree.config.schedules.zones import zone

_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "calendars.json")
_ALIASES = {"NYSE": "XNYS", "NASDAQ": "XNYS", "XNAS": "XNYS", "LSE": "XLON", "TSX": "XTSE", "ASX": "XASX"}


class Calendar:
    """One exchange. A day is one of its own time zone."""

    def __init__(self, name: str, entry: dict[str, Any]) -> None:
        self.name = name
        self.zone = zone(entry["zone"])
        self.first = date.fromisoformat(entry["first"])
        self.last = date.fromisoformat(entry["last"])
        """The table knows the days from `first` to `last`. Others count by their day of the week alone."""
        self.closed = frozenset(date.fromisoformat(day) for day in entry["closed"])
        """Mondays to Fridays without a session."""
        self.open_weekends = frozenset(date.fromisoformat(day) for day in entry.get("open", ()))

    def is_session_day(self, day: date) -> bool:
        return day in self.open_weekends or (day.weekday() < 5 and day not in self.closed)

    def is_session(self, wall: float) -> bool:
        """Whether that instant lies on a trading day."""
        return self.is_session_day(datetime.fromtimestamp(wall, UTC).astimezone(self.zone).date())

    def last_before_next_session(self, wall: float) -> float:
        """The last second before the next trading day begins, for an instant that lies on none."""
        day = datetime.fromtimestamp(wall, UTC).astimezone(self.zone).date()
        while not self.is_session_day(day):
            day += timedelta(days=1)
        return datetime.combine(day, time(), self.zone).timestamp() - 1.0


@functools.cache
def _table() -> dict[str, Any]:
    with open(_FILE, encoding="utf-8") as file:
        table: dict[str, Any] = json.load(file)
    return table


def names() -> list[str]:
    """The calendars that there are, by their ISO 10383 code, and the names that some also go by."""
    return sorted([*_table(), *_ALIASES])


@functools.cache
def calendar_of(name: str) -> Calendar:
    """Raises `KeyError` for an unknown name; `check` has asked before."""
    code = _ALIASES.get(name.upper(), name.upper())
    return Calendar(code, _table()[code])
