"""The table of trading days against `exchange_calendars`, from which it was made (extra `calendars`).

To make a new one: `python tests/unit/config/test_calendars.py 2025-01-01 2028-12-31`.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import warnings
from typing import Any

import pytest

from supervisor_tree.config.schedules import calendars

# fmt: off
CODES = [
    "XNYS", "XTSE", "XMEX", "BVMF", "XLON", "XPAR", "XAMS", "XBRU", "XETR", "XFRA", "XMIL", "XMAD", "XSWX", "XSTO",
    "XCSE", "XOSL", "XHEL", "XWBO", "XDUB", "XLIS", "XASX", "XNZE", "XTKS", "XHKG", "XSES", "XKRX", "XBOM", "CMES",
]
# fmt: on


def sessions(code: str, first: dt.date, last: dt.date) -> set[dt.date]:
    """What the library says; it warns of pandas that will change."""
    exchange_calendars: Any = pytest.importorskip("exchange_calendars", reason="needs the extra `calendars`")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calendar = exchange_calendars.get_calendar(code, start=first.isoformat(), end=last.isoformat())
    return {session.date() for session in calendar.sessions}


def days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]


@pytest.mark.parametrize("code", CODES)
def test_the_table_is_right(code: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its import
        pytest.importorskip("exchange_calendars", reason="needs the extra `calendars`")
    calendar = calendars.calendar_of(code)
    known = sessions(code, calendar.first, calendar.last)
    ours = {day for day in days(calendar.first, calendar.last) if calendar.is_session_day(day)}
    assert ours == known


def test_the_table_is_valid_for_a_while() -> None:
    assert calendars.calendar_of("XNYS").last >= dt.date(2028, 12, 31)
    assert {calendars.calendar_of(name).name for name in calendars.names()} == set(CODES)


def make(first: dt.date, last: dt.date) -> None:
    import exchange_calendars

    table: dict[str, dict[str, Any]] = {}
    for code in CODES:
        until, known = last, set[dt.date]()
        while not known:
            try:
                known = sessions(code, first, until)
            except ValueError:  # its holidays are recorded for fewer years
                until = until.replace(year=until.year - 1)
        entry = table[code] = {
            "zone": str(exchange_calendars.get_calendar(code).tz),
            "first": first.isoformat(),
            "last": until.isoformat(),
            "closed": [day.isoformat() for day in days(first, until) if day.weekday() < 5 and day not in known],
        }
        weekend = [day.isoformat() for day in days(first, until) if day.weekday() >= 5 and day in known]
        if weekend:
            entry["open"] = weekend
    lines = ",\n".join(f"  {json.dumps(code)}: {json.dumps(entry)}" for code, entry in table.items())
    with open(calendars._FILE, "w", encoding="utf-8") as file:
        file.write("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    make(dt.date.fromisoformat(sys.argv[1]), dt.date.fromisoformat(sys.argv[2]))
