"""The simple values of the language: text, numbers, durations, sizes, paths, patterns, signals, words."""

from __future__ import annotations

import re
from typing import Any

from supervisor_tree.config.backtracking import may_take_for_ever
from supervisor_tree.config.problems import Key, nearest
from supervisor_tree.config.reading import At, Invalid, shown

_REFERENCE_SCHEMA = {"type": "string", "pattern": r"\$\{"}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([A-Za-z]*)\s*", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}
_BYTES |= {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_LONGEST = 3.2e9
"""Seconds in about a hundred years: longer can't be added to a clock everywhere, and is a slip of the pen."""


class Text:
    """A string; references are answered."""

    def __init__(self, words: str = "a string", *, empty: bool = False) -> None:
        self.words = words
        self.empty = empty

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        if not isinstance(value, str):
            return at.wrong(f"must be {self.words}, not {shown(value)}", key)
        text = at.expand(value, key)
        if text == "" and not self.empty:
            return at.wrong(f"must be {self.words}, not empty", key)
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string"} if self.empty else {"type": "string", "minLength": 1}


class Boolean:
    words = "true or false"

    def read(self, value: Any, at: At, key: Key) -> bool | Invalid:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and "$" in value:
            text = at.expand(value, key)
            if isinstance(text, Invalid):
                return text
            if text in ("true", "false"):
                return text == "true"
            value = text
        return at.wrong(f"must be true or false, not {shown(value)}", key)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, _REFERENCE_SCHEMA]}


class Whole:
    """A whole number in bounds."""

    def __init__(self, least: int = 0, most: int = 2**53) -> None:
        self.least = least
        self.most = most
        self.words = f"a whole number from {least} to {most}" if most < 2**53 else f"a whole number, {least} or more"

    def read(self, value: Any, at: At, key: Key) -> int | Invalid:
        if isinstance(value, str) and "$" in value:
            text = at.expand(value, key)
            if isinstance(text, Invalid):
                return text
            digits = text.strip()
            value = int(digits) if digits.removeprefix("-").isdecimal() and len(digits) < 20 else text
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            return at.wrong(f"must be {self.words}, not {shown(value)}", key)
        return value

    def schema(self) -> dict[str, Any]:
        bounds = {"minimum": self.least} | ({"maximum": self.most} if self.most < 2**53 else {})
        return {"anyOf": [{"type": "integer", **bounds}, _REFERENCE_SCHEMA]}


class Number:
    """A number in bounds."""

    def __init__(self, least: float = 0.0, most: float = 1e9, *, more_than: bool = False) -> None:
        self.least = least
        self.most = most
        self.more_than = more_than
        bound = f"more than {least:g}" if more_than else f"{least:g} or more"
        self.words = f"a number, {bound}" if most >= 1e9 else f"a number, {bound}, at most {most:g}"

    def read(self, value: Any, at: At, key: Key) -> float | Invalid:
        if isinstance(value, str) and "$" in value:
            text = at.expand(value, key)
            if isinstance(text, Invalid):
                return text
            try:
                value = float(text)
            except ValueError:
                value = text
        good = isinstance(value, int | float) and not isinstance(value, bool) and self.least <= value <= self.most
        if not good or (self.more_than and value == self.least):
            return at.wrong(f"must be {self.words}, not {shown(value)}", key)
        return float(value)

    def schema(self) -> dict[str, Any]:
        low = {"exclusiveMinimum" if self.more_than else "minimum": self.least}
        high = {"maximum": self.most} if self.most < 1e9 else {}
        return {"anyOf": [{"type": "number", **low, **high}, _REFERENCE_SCHEMA]}


class Duration:
    """Seconds as a number, or a number and a unit."""

    words = 'a duration, as in "10s" (ms s m h d w)'

    def __init__(self, *, positive: bool = False) -> None:
        self.positive = positive

    def read(self, value: Any, at: At, key: Key) -> float | Invalid:
        seconds: float | None = None
        expanded = False
        if isinstance(value, str):
            text = at.expand(value, key)
            if isinstance(text, Invalid):
                return text
            expanded = text != value
            value = text
            seconds = parse_duration(text, unit_needed=not expanded)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = float(value)
        if seconds is None or not 0 <= seconds <= _LONGEST:
            return at.wrong(_no_quantity(value, "duration", "10s", _SECONDS), key)
        if self.positive and seconds == 0:
            return at.wrong("must be longer than 0", key)
        return seconds

    def schema(self) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\s*([0-9]+(\.[0-9]+)?|\.[0-9]+)\s*(ms|s|m|h|d|w)\s*$|\$\{"},
            ]
        }


class Size:
    """Bytes as a number, or a number and a unit."""

    words = 'a size, as in "50MB" (kB MB GB, KiB MiB GiB)'

    def read(self, value: Any, at: At, key: Key) -> int | Invalid:
        size: float | None = None
        if isinstance(value, str):
            text = at.expand(value, key)
            if isinstance(text, Invalid):
                return text
            size = parse_size(text, unit_needed=text == value)
            value = text
        elif isinstance(value, int) and not isinstance(value, bool):
            size = value
        if size is None or not 0 <= size < 2**62:
            return at.wrong(_no_quantity(value, "size", "50MB", _BYTES), key)
        return int(size)

    def schema(self) -> dict[str, Any]:
        unit = "|".join(_BYTES)
        return {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": rf"^\s*([0-9]+(\.[0-9]+)?|\.[0-9]+)\s*({unit})\s*$|\$\{{"},
            ]
        }


def parse_duration(text: str, *, unit_needed: bool = True) -> float | None:
    """Seconds of ``"1.5h"``; None when it is no duration."""
    return _quantity(text, _SECONDS, unit_needed)


def parse_size(text: str, *, unit_needed: bool = True) -> float | None:
    """Bytes of ``"50MB"``; None when it is no size."""
    return _quantity(text, _BYTES, unit_needed)


def _quantity(text: str, units: dict[str, float] | dict[str, int], unit_needed: bool) -> float | None:
    found = _QUANTITY.fullmatch(text)
    if not found or len(found[1]) > 30 or (unit_needed and not found[2]):
        return None
    factor = units.get(found[2]) if found[2] else 1
    return None if factor is None else float(found[1]) * factor


def _no_quantity(value: object, what: str, example: str, units: dict[str, float] | dict[str, int]) -> str:
    said = f"{shown(value)} is no {what}"
    if isinstance(value, str) and (found := _QUANTITY.fullmatch(value)):
        if not found[2]:
            return f"{said}: it has no unit; write {found[1]} without quotes, or a unit ({' '.join(units)})"
        if near := next((unit for unit in units if unit.lower() == found[2].lower()), None):
            return f'{said}: write "{found[1]}{near}"'
    return f'{said}: write a number and a unit ({" ".join(units)}), as in "{example}"'


class Choice:
    """One of some words."""

    def __init__(self, *choices: str) -> None:
        self.choices = choices
        self.words = " | ".join(f'"{choice}"' for choice in choices)

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        text = at.expand(value, key) if isinstance(value, str) else value
        if isinstance(text, Invalid):
            return text
        if isinstance(text, str) and text in self.choices:
            return text
        near = nearest(text, list(self.choices)) if isinstance(text, str) else None
        hint = f' (did you mean "{near}"?)' if near else ""
        return at.wrong(f"must be {self.words}, not {shown(text)}{hint}", key)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self.choices)}, _REFERENCE_SCHEMA]}


class Member:
    """A word read into an enumeration of the core."""

    def __init__(self, enumeration: type[Any]) -> None:
        self.members = {member.value: member for member in enumeration}
        self.choice = Choice(*self.members)
        self.words = self.choice.words

    def read(self, value: Any, at: At, key: Key) -> Any:
        if isinstance(value, str) and value in self.members:
            return self.members[value]
        word = self.choice.read(value, at, key)
        return word if isinstance(word, Invalid) else self.members[word]

    def schema(self) -> dict[str, Any]:
        return self.choice.schema()


class WordsOr:
    """Some words, or else another kind."""

    def __init__(self, choices: tuple[str, ...], other: Duration | Whole) -> None:
        self.choices = choices
        self.other = other
        self.words = " | ".join(f'"{choice}"' for choice in choices) + f" | {other.words}"

    def read(self, value: Any, at: At, key: Key) -> Any:
        if isinstance(value, str) and value in self.choices:
            return value
        if isinstance(value, str) and value[:1].isalpha():
            near = nearest(value, list(self.choices))
            hint = f' (did you mean "{near}"?)' if near else ""
            return at.wrong(f"must be {self.words}, not {shown(value)}{hint}", key)
        return self.other.read(value, at, key)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self.choices)}, self.other.schema()]}


class FilePath:
    """A path: under ``tree.dir`` when relative, ``~/`` is the home folder, ``?`` (where allowed) may be missing."""

    def __init__(self, *, may_be_missing: bool = False) -> None:
        self.may_be_missing = may_be_missing
        self.words = 'a path ("?path": may be missing)' if may_be_missing else "a path"

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        if not isinstance(value, str):
            return at.wrong(f"must be {self.words}, not {shown(value)}", key)
        text = at.expand(value, key)
        if isinstance(text, Invalid):
            return text
        mark = "?" if self.may_be_missing and text.startswith("?") else ""
        if text == mark:
            return at.wrong("must be a path, not empty", key)
        return mark + absolute(text.removeprefix(mark), at)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


def absolute(path: str, at: At) -> str:
    """The path with ``~/`` answered, under ``tree.dir`` when it is relative."""
    if path.startswith("/"):
        return path
    if path == "~" or path.startswith("~/"):
        return at.reading.home + path[1:]
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return at.reading.base if path in ("", ".") else f"{at.reading.base}/{path}"


class Pattern:
    """A regular expression of Python's `re`; nothing is expanded in it."""

    words = "a regular expression"

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        if not isinstance(value, str):
            return at.wrong(f"must be {self.words}, not {shown(value)}", key)
        import warnings

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                re.compile(value)
                slow = may_take_for_ever(value)
        except (re.error, OverflowError, RecursionError) as error:
            return at.wrong(f"{shown(value)} is no regular expression: {error}", key)
        if slow:
            at.warn(
                f"{shown(value)} may take for ever on a line that it does not match, as (a+)+b does: a repetition "
                "within a repetition, which can share out the same text in many ways",
                key,
            )
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "regex"}


class SignalName:
    """A signal by its name, with or without ``SIG``; read without."""

    words = 'a signal, as in "TERM"'

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        text = at.expand(value, key) if isinstance(value, str) else value
        if isinstance(text, Invalid):
            return text
        known = signal_names()
        if isinstance(text, str):
            name = text.upper().removeprefix("SIG")
            if name in known:
                return name
            near = nearest(name, known)
            hint = f' (did you mean "{near}"?)' if near else ""
            return at.wrong(f"{shown(text)} is no signal here{hint}", key)
        return at.wrong(f"must be {self.words}, not {shown(text)}", key)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^(?i:SIG)?[A-Za-z0-9+]+$|\\$\\{".replace("(?i:SIG)", "(SIG|sig)")}


def signal_names() -> list[str]:
    """The names of this system's signals, without ``SIG``."""
    import signal

    return [name[3:] for name in signal.Signals.__members__]
