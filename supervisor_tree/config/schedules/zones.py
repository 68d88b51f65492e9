"""Time zones: the named ones, and that of the machine."""

from __future__ import annotations

import functools
import os
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_LOCALTIME = "/etc/localtime"


@functools.cache
def zone(name: str) -> ZoneInfo:
    """A zone of the zone database. Raises `ZoneInfoNotFoundError`; `check` has asked before."""
    return ZoneInfo(name)


def machine_zone() -> tzinfo:
    """``$TZ``, else what /etc/localtime is, else UTC; with its changes to summer time, not only today's offset."""
    named = os.environ.get("TZ", "").removeprefix(":")
    try:
        if named:
            return zone(named)
        real = os.path.realpath(_LOCALTIME)
        _, found, key = real.partition("zoneinfo/")
        if found:
            return zone(key.removeprefix("posix/").removeprefix("right/"))
        with open(_LOCALTIME, "rb") as file:
            return ZoneInfo.from_file(file)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC if os.path.exists(_LOCALTIME) is False else _fixed()


def _fixed() -> tzinfo:
    """The machine's present offset: all that the C library tells of a zone that Python does not know."""
    return datetime.now().astimezone().tzinfo or UTC
