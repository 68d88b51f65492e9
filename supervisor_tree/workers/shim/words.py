"""Lengths of time as people write and read them, in the standard library only: a shim runs in any interpreter."""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(ms|s|m|h|d|w)\s*", re.ASCII)


def duration(value: object) -> float | None:
    """Seconds of ``"2m"`` or of a number, as the tree file has them (configuration.md §2.1); None: it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if value >= 0 else None
    if not isinstance(value, str) or not (found := _DURATION.fullmatch(value)):
        return None
    return float(found[1]) * _UNITS[found[2]]


def span(seconds: float) -> str:
    """A length of time in at most two units: ``850ms``, ``42s``, ``3m 5s``, ``2h 10m``, ``4d 3h``."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return _two(whole, "m", 60, "s", 1)
    return _two(whole, "h", 3600, "m", 60) if whole < 86400 else _two(whole, "d", 86400, "h", 3600)


def _two(seconds: int, unit: str, size: int, small_unit: str, small_size: int) -> str:
    rest = seconds % size // small_size
    return f"{seconds // size}{unit} {rest}{small_unit}" if rest else f"{seconds // size}{unit}"
