"""The kinds that describe a place in the tree and its times: backoff, logs, give-up, names, schedules, zones."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from supervisor_tree.config.kinds import Choice, Duration, FilePath, Number, Size, Whole
from supervisor_tree.config.problems import Key
from supervisor_tree.config.program_kinds import NAME, NAME_WORDS
from supervisor_tree.config.reading import INVALID, At, Invalid, shown, unknown_key
from supervisor_tree.core.spec import Backoff

DEFAULT_BACKOFF: dict[str, float] = {
    "first": 0.0,
    "initial": 1.0,
    "factor": 2.0,
    "max": 300.0,
    "jitter": 0.1,
    "reset": 300.0,
}
_BACKOFF_KINDS: dict[str, Any] = {
    "first": Duration(),
    "initial": Duration(),
    "factor": Number(1.0, 1000.0),
    "max": Duration(),
    "jitter": Number(0.0, 1.0),
    "reset": Duration(),
}


class BackoffKeys:
    """A constant, or a table of which only the keys named are set; read as the keys that are set."""

    words = "a duration (constant) or a table: { first, initial, factor, max, jitter, reset }"

    def read(self, value: Any, at: At, key: Key) -> dict[str, float] | Invalid:
        if not isinstance(value, dict):
            constant = Duration().read(value, at, key)
            if isinstance(constant, Invalid):
                return constant
            return {
                "first": constant,
                "initial": constant,
                "factor": 1.0,
                "max": constant,
                "jitter": 0.0,
                "reset": 300.0,
            }
        inner = at.below(key)
        read: dict[str, float] = {}
        for name, written in value.items():
            if name not in _BACKOFF_KINDS:
                unknown_key(inner, name, list(_BACKOFF_KINDS))
                continue
            got = _BACKOFF_KINDS[name].read(written, inner, name)
            if not isinstance(got, Invalid):
                read[name] = got
        return read

    def schema(self) -> dict[str, Any]:
        keys = {name: {**kind.schema(), "default": DEFAULT_BACKOFF[name]} for name, kind in _BACKOFF_KINDS.items()}
        table = {"type": "object", "properties": keys, "additionalProperties": False}
        return {"anyOf": [*Duration().schema()["anyOf"], table]}


def backoff_of(*layers: dict[str, float]) -> Backoff:
    """The ladder of layers of keys, later ones winning. No delay at all is OTP's immediate restart; its rungs are still
    counted, so that a crash loop is known as one."""
    keys = dict(DEFAULT_BACKOFF)
    for layer in layers:
        keys.update(layer)
    if not (keys["first"] or (keys["initial"] and keys["max"])):
        return Backoff(reset=keys["reset"])
    return Backoff(**keys)


class LogSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the output of one child goes. ``stderr`` None: to ``file`` as well, told apart in the index."""

    file: str
    stderr: str | None = None
    max_size: int = 50_000_000
    keep: int = 5
    max_age: float | None = None
    on_full: str = "drop"
    tail: int = 0


_LIMIT_KINDS: dict[str, Any] = {
    "max_size": Size(),
    "keep": Whole(0, 100_000),
    "max_age": Duration(positive=True),
    "on_full": Choice("drop", "block"),
}
LOG_LIMITS = tuple(_LIMIT_KINDS)
_PATH_KINDS: dict[str, Any] = {"file": FilePath(), "stderr": FilePath()}


class LogKeys:
    """The keys of a `log` that are set."""

    def __init__(self, *, files: bool = True, tail: bool = False) -> None:
        self.kinds = {**(_PATH_KINDS if files else {}), **_LIMIT_KINDS, **({"tail": Whole(0, 100_000)} if tail else {})}
        self.words = "a table: { " + ", ".join(self.kinds) + " }"

    def read(self, value: Any, at: At, key: Key) -> dict[str, Any] | Invalid:
        if not isinstance(value, dict):
            hint = f": write {{ file = {shown(value)} }}" if isinstance(value, str) and "file" in self.kinds else ""
            return at.wrong(f"must be {self.words}, not {shown(value)}{hint}", key)
        return self.keys(value, at.below(key))

    def keys(self, value: dict[str, Any], at: At) -> dict[str, Any]:
        read: dict[str, Any] = {}
        for name, written in value.items():
            if name not in self.kinds:
                unknown_key(at, name, list(self.kinds))
                continue
            got = self.kinds[name].read(written, at, name)
            if got is not INVALID:
                read[name] = got
        return read

    def schema(self) -> dict[str, Any]:
        properties = {name: kind.schema() for name, kind in self.kinds.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}


class Name:
    """The name of a worker, supervisor, job or table."""

    words = "a name"

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        if not isinstance(value, str):
            return at.wrong(f"must be a name, not {shown(value)}", key)
        name = at.expand(value, key)
        if not isinstance(name, Invalid) and not NAME.fullmatch(name.replace("@", "-", 1)):
            return at.wrong(f"{shown(name)} is no name: {NAME_WORDS}", key)
        return name

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_CRON: tuple[tuple[str, int, int, list[str]], ...] = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)
_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


def _expanded(words: str, value: Any, at: At, key: Key) -> str | Invalid:
    """The text with its variables; anything but text is wrong: it must be ``words``."""
    if not isinstance(value, str):
        return at.wrong(f"must be {words}, not {shown(value)}", key)
    return at.expand(value, key)


class Cron:
    """Five fields, or a word such as ``@daily``."""

    words = 'a cron expression of five fields, as in "15 9 * * mon-fri", or "@daily" and the like'

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        text = _expanded(self.words, value, at, key)
        if isinstance(text, Invalid):
            return text
        if text in _MACROS:
            return text
        parts = text.lower().split()
        if len(parts) != 5:
            return at.wrong(f"{shown(text)} has {len(parts)} fields: write {self.words}", key)
        for part, (field, low, high, words) in zip(parts, _CRON, strict=True):
            if not all(_cron_item(item, low, high, words) for item in part.split(",")):
                return at.wrong(f"{shown(part)} is no {field} ({low} to {high})", key)
        from cronsim import CronSimError

        from supervisor_tree.config.schedules.timetables import parse

        try:
            parse(text)
        except CronSimError as error:
            return at.wrong(f"{shown(text)} is never due: {str(error).lower()}", key)
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^\s*(@[a-z]+|\S+(\s+\S+){4})\s*$|\$\{"}


def _cron_item(item: str, low: int, high: int, words: list[str]) -> bool:
    base, slash, step = item.partition("/")
    if slash and not (step.isdecimal() and 1 <= int(step[:9]) <= high):
        return False
    if base == "*":
        return True
    if high == 31 and base in ("l", "lw"):
        return True
    if high == 7:
        base = re.sub("#[1-5]$|(?<=.)l$", "", base)
    first, dash, last = base.partition("-")
    numbers = [
        words.index(end) + (high == 12) if end in words else int(end[:9]) if end.isdecimal() else -1
        for end in (first, last if dash else first)
    ]
    return all(low <= number <= high for number in numbers) and (numbers[0] <= numbers[1] or high == 7)


class Zone:
    """A time zone of the zone database."""

    words = 'a time zone, as in "America/New_York"'

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        text = _expanded(self.words, value, at, key)
        if isinstance(text, Invalid):
            return text
        import zoneinfo

        try:
            zoneinfo.ZoneInfo(text)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            from supervisor_tree.config.problems import did_you_mean

            hint = did_you_mean(text, sorted(zoneinfo.available_timezones()))
            return at.wrong(f"{shown(text)} is no time zone of this machine{hint}", key)
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


class Exchange:
    """A calendar of trading days."""

    words = 'a calendar, as in "XNYS"'

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        text = _expanded(self.words, value, at, key)
        if isinstance(text, Invalid):
            return text
        from supervisor_tree.config.problems import did_you_mean
        from supervisor_tree.config.schedules.calendars import names

        known = names()
        if text.upper() not in known:
            hint = did_you_mean(text.upper(), known, f"; there are {', '.join(known)}")
            return at.wrong(f"{shown(text)} is no calendar that comes with the package{hint}", key)
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


class Moment:
    """A date and time, TOML's own or its text."""

    words = "a date and time, as in 2026-12-24T09:00:00"

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        from datetime import datetime

        moment = value
        if isinstance(value, str):
            text = at.expand(value, key)
            if isinstance(text, Invalid):
                return text
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                moment = text
        if not isinstance(moment, datetime):
            return at.wrong(f"must be {self.words}, not {shown(moment)}", key)
        return moment.isoformat()

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}
