"""Instants at which a job is due. Only `next_after` is asked of a timetable; the rest follows from it."""

from __future__ import annotations

from math import floor

from supervisor_tree.core.jobs.spec import Timetable


class Grid:
    """`every`: instants ``anchor``, ``anchor + every``, … Each is the same number whenever it is asked for."""

    def __init__(self, anchor: float, every: float) -> None:
        self.anchor = anchor
        self.every = every

    def next_after(self, wall: float) -> float:
        number = max(0, floor((wall - self.anchor) / self.every) - 1)
        while self.anchor + number * self.every <= wall:
            number += 1
        return self.anchor + number * self.every


def last_until(timetable: Timetable, after: float, until: float) -> tuple[float, float] | None:
    """The last instant later than ``after`` and not later than ``until``, and a time before it with none between.

    By halving: a month of missed minutes costs some thirty questions, not forty thousand.
    """
    last = timetable.next_after(after)
    if last is None or last > until:
        return None
    before = after
    while True:
        following = timetable.next_after(last)
        if following is None or following > until:
            return before, last
        before, last = last, following
        low, high = last, until
        while high - low > 1.0:
            middle = (low + high) / 2
            found = timetable.next_after(middle)
            if found is not None and found <= until:
                before, last, low = middle, found, found
            else:
                high = middle


def run_id(wall: float, number: int) -> str:
    """``20261122_140500-17``: when the run came to be (UTC) and which one of the tree it is. Sorts as it came."""
    days, seconds = divmod(floor(wall), 86400)
    # Days since 1970-01-01 to a date of the Gregorian calendar, counted from a 1 March (Howard Hinnant's algorithm).
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    march_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * march_month + 2) // 5 + 1
    month = march_month + 3 if march_month < 10 else march_month - 9
    year = year_of_era + era * 400 + (month <= 2)
    hour, rest = divmod(seconds, 3600)
    return f"{year:04}{month:02}{day:02}_{hour:02}{rest // 60:02}{rest % 60:02}-{number}"
