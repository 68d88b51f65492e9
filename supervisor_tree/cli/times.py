"""Times and durations as people read and write them. No datetime: it costs more than all of this."""

from __future__ import annotations

import re
import time

from supervisor_tree.cli.errors import CommandError

_DAY = 86400
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": _DAY, "w": 7 * _DAY, "": 1}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w|)\Z")
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?(?:([Zz])|([+-])(\d\d):(\d\d))?\Z")
_CLOCK = re.compile(r"(\d\d?):(\d\d)(?::(\d\d))?\Z")
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)\Z")


def now() -> float:
    """The wall clock, in Unix seconds."""
    return time.time()


def duration(text: str) -> float:
    """Seconds of ``10m``, ``1.5h``, ``90`` (seconds).

    Raises:
        CommandError: it is no duration.
    """
    found = _DURATION.match(text.strip())
    if found is None:
        raise CommandError("usage", f"{text!r} is no duration", "write a number and ms, s, m, h, d or w, as in 30s")
    return float(found[1]) * _UNITS[found[2]]


def moment(text: str, now: float) -> float:
    """Unix time of ``10m`` (so long ago), ``14:05`` (today), a date, or an RFC 3339 time (local without zone).

    Raises:
        CommandError: it is none of these.
    """
    text = text.strip()
    if found := _DURATION.match(text):
        return now - float(found[1]) * _UNITS[found[2]]
    today = time.localtime(now)
    if found := _CLOCK.match(text):
        hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
        return time.mktime((today.tm_year, today.tm_mon, today.tm_mday, hour, minute, second, 0, 0, -1))
    if found := _DATE.match(text):
        return time.mktime((int(found[1]), int(found[2]), int(found[3]), 0, 0, 0, 0, 0, -1))
    if _RFC3339.match(text):
        return unix(text)
    raise CommandError("usage", f"{text!r} is no time", "write 10m (ago), 14:05, 2026-11-22 or 2026-11-22T14:05:00Z")


def unix(text: str) -> float:
    """Unix time of an RFC 3339 time; local time where no zone is written.

    Raises:
        ValueError: it is none.
    """
    found = _RFC3339.match(text)
    if found is None:
        raise ValueError(text)
    year, month, day, hour, minute = (int(found[i]) for i in range(1, 6))
    second = float(found[6] or 0)
    if not found[7] and not found[8]:
        return time.mktime((year, month, day, hour, minute, 0, 0, 0, -1)) + second
    offset = 0
    if found[8]:
        offset = (int(found[9]) * 3600 + int(found[10]) * 60) * (1 if found[8] == "+" else -1)
    return _days(year, month, day) * _DAY + hour * 3600 + minute * 60 + second - offset


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date of the Gregorian calendar."""
    year -= month <= 2
    of_era = year % 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return year // 400 * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def rfc3339(at: float) -> str:
    """``at`` (Unix time) in UTC, to the millisecond."""
    milliseconds = round(at * 1000)
    whole, fraction = divmod(milliseconds, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{fraction:03d}Z"


def clock(at: float, now: float) -> str:
    """``at`` in local time: without the date when it is today."""
    then, today = time.localtime(at), time.localtime(now)
    return time.strftime("%H:%M:%S" if then[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", then)


def span(seconds: float) -> str:
    """A length of time in at most two units: ``850ms``, ``42s``, ``3m 5s``, ``2h 10m``, ``4d 3h``."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms" if seconds > 0 else "0s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    for size, name, small, small_name in ((60, "m", 1, "s"), (3600, "h", 60, "m"), (_DAY, "d", 3600, "h")):
        if whole < size * (60 if size < 3600 else 24) or size == _DAY:
            rest = whole % size // small
            return f"{whole // size}{name} {rest}{small_name}" if rest else f"{whole // size}{name}"
    raise AssertionError(whole)


def relative(at: float, now: float) -> str:
    """“3m 5s ago”, “in 12s”, “just now”."""
    distance = at - now
    if -1 < distance <= 0:
        return "just now"
    return f"in {span(distance)}" if distance > 0 else f"{span(-distance)} ago"


def age(since: str, now: float) -> str:
    """How long ago ``since`` (RFC 3339) was, in whole seconds at the finest."""
    return span(int(max(0.0, now - unix(since))))
