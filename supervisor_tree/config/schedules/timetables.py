"""Instants of cron expressions: each exactly once, whatever the clocks of their time zone do.

`cronsim` finds the local times that match an expression; it is asked without a time zone, and what a local time is in
UTC is worked out here, by the rules of Debian's cron:

    * An expression of fixed times (neither minute nor hour begins with `*`) runs once a day and time: one that the
      clocks leave out runs when they have been set forward, one that comes twice runs the first time.
    * Any other (`*/15 * * * *`, `30 * * * *`) runs whenever the clocks show it: twice where they show it twice, and not
      where they leave it out, so that its pace stays.

(cronsim's own handling answers a time in the past when asked inside the hour that comes twice, and loses time where
the clocks change by half an hour: tests/unit/config/test_schedules.py.)
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice

from cronsim import CronSim, CronSimError

from supervisor_tree.config.schedules.calendars import Calendar, calendar_of
from supervisor_tree.core.jobs.spec import Timetable

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_AHEAD = timedelta(hours=25)
"""No clock has been set by more."""
_SOME_DAYS = 4000
"""So many instants without a trading day among them: there is none to come."""
_LAST_YEAR = 9000


def parse(line: str) -> CronSim:
    """A cron expression, read. Raises `CronSimError` for one that never is, as `0 0 30 2 *`."""
    fields = MACROS.get(line.strip().lower(), line).upper().split()
    if len(fields) != 5:
        raise CronSimError("Wrong number of fields")
    fields[4] = ",".join(_day_of_week(item) for item in fields[4].split(","))
    return CronSim(" ".join(fields), datetime(2026, 1, 1))  # noqa: DTZ001 - local times, on purpose


def _day_of_week(item: str) -> str:
    """Days by number, ranges over the end of the week (`fri-mon`) spelt out: cronsim knows no `5-1` and no `MONL`."""
    base, slash, step = item.partition("/")
    for number, name in enumerate(_DAYS):
        base = base.replace(name, str(number))
    first, dash, last = base.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and int(first) > int(last)):
        return base + slash + step
    days = range(int(first), int(last) + 8)[:: int(step or 1)]
    return ",".join(dict.fromkeys(str(day % 7) for day in days))


class Cron:
    """One expression in one time zone, on the trading days of an exchange where one is named."""

    def __init__(self, line: str, where: tzinfo, calendar: str | None = None) -> None:
        self._parsed = parse(line)
        minute, hour = self._parsed.parts[1], self._parsed.parts[2]
        self._fixed = not minute.startswith("*") and not hour.startswith("*")
        self._where = where
        self._calendar: Calendar | None = None if calendar is None else calendar_of(calendar)

    def next_after(self, wall: float) -> float | None:
        """The first instant later than ``wall``; None where there is none before the year 9000."""
        if self._calendar is None:
            return self._next(wall)
        for _ in range(_SOME_DAYS):
            found = self._next(wall)
            if found is None or self._calendar.is_session(found):
                return found
            wall = max(found, self._calendar.last_before_next_session(found))
        return None

    def _next(self, wall: float) -> float | None:
        try:
            now = datetime.fromtimestamp(wall, UTC).astimezone(self._where)
            if now.year > _LAST_YEAR:
                return None
        except (OverflowError, ValueError, OSError):
            return None
        best: float | None = None
        for local in self._locals_from(now):
            for instant in self._instants(local):
                if instant > wall and (best is None or instant < best):
                    best = instant
            # Local times that follow come no earlier than the first of this one.
            if best is not None and local.replace(tzinfo=self._where).timestamp() >= best:
                return best
        return best

    def _locals_from(self, now: datetime) -> Iterator[datetime]:
        """The local times that match, from before any whose instant can be later than ``now``."""
        start = now.replace(tzinfo=None, fold=0)
        later = (now.astimezone(UTC) + _AHEAD).astimezone(self._where).utcoffset()
        here = now.utcoffset()
        if later is not None and here is not None and later < here:
            start -= here - later + timedelta(seconds=1)
        found = copy.copy(self._parsed)
        found.dt = start.replace(microsecond=0)
        return islice(found, 100_000)

    def _instants(self, local: datetime) -> tuple[float, ...]:
        """When the clocks show this local time, or when it is run where they never do."""
        first = local.replace(tzinfo=self._where, fold=0)
        second = local.replace(tzinfo=self._where, fold=1)
        one, other = first.timestamp(), second.timestamp()
        if one == other:
            return (one,)
        if one < other:  # they are set back: it comes twice
            return (one,) if self._fixed else (one, other)
        # They are set forward: it does not come. With the offset of before it lies after the change, and the reverse.
        return (self._change(other, one),) if self._fixed else ()

    def _change(self, before: float, after: float) -> float:
        """When, between these two, the clocks are set."""
        offset = datetime.fromtimestamp(after, UTC).astimezone(self._where).utcoffset()
        low, high = int(before), int(after)
        while high - low > 1:
            middle = (low + high) // 2
            if datetime.fromtimestamp(middle, UTC).astimezone(self._where).utcoffset() == offset:
                high = middle
            else:
                low = middle
        return float(high)


class Once:
    """`at`."""

    def __init__(self, instant: float) -> None:
        self._instant = instant

    def next_after(self, wall: float) -> float | None:
        return self._instant if self._instant > wall else None


class Merged:
    """Several expressions of one job; an instant of two of them is one."""

    def __init__(self, tables: Sequence[Timetable]) -> None:
        self._tables = tables

    def next_after(self, wall: float) -> float | None:
        found = [instant for table in self._tables if (instant := table.next_after(wall)) is not None]
        return min(found, default=None)
