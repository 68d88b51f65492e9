"""The kinds that hold other kinds: lists, tables of the user's keys, anything at all."""

from __future__ import annotations

from datetime import date, time
from math import isfinite
from typing import Any

from supervisor_tree.config.problems import Key
from supervisor_tree.config.reading import INVALID, At, Invalid, shown


class ListOf:
    """A list; one value counts as a list of one."""

    def __init__(self, kind: Any, *, least: int = 0, words: str = "") -> None:
        self.kind = kind
        self.least = least
        self.words = words or f"a list, or one: {kind.words}"

    def read(self, value: Any, at: At, key: Key) -> tuple[Any, ...] | Invalid:
        if not isinstance(value, list):
            one = self.kind.read(value, at, key)
            return INVALID if one is INVALID else (one,)
        if len(value) < self.least:
            return at.wrong("must not be empty", key)
        inner = at.below(key)
        read = [self.kind.read(element, inner, number) for number, element in enumerate(value)]
        return INVALID if any(element is INVALID for element in read) else tuple(read)

    def schema(self) -> dict[str, Any]:
        one = self.kind.schema()
        many: dict[str, Any] = {"type": "array", "items": one}
        if self.least:
            many["minItems"] = self.least
        return {"anyOf": [one, many]}


class MapOf:
    """A table whose keys are the user's."""

    def __init__(self, kind: Any, key_words: str = "a name") -> None:
        self.kind = kind
        self.words = f"a table: {key_words} = {kind.words}"

    def read(self, value: Any, at: At, key: Key) -> dict[str, Any] | Invalid:
        if not isinstance(value, dict):
            return at.wrong(f"must be {self.words}, not {shown(value)}", key)
        inner = at.below(key)
        read = {name: self.kind.read(element, inner, name) for name, element in value.items()}
        return INVALID if any(element is INVALID for element in read.values()) else read

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.kind.schema()}


class Anything:
    """A value that somebody else judges; its strings are expanded."""

    words = "any value"

    def read(self, value: Any, at: At, key: Key) -> Any:
        if isinstance(value, str):
            return at.expand(value, key)
        inner = at.below(key)
        if isinstance(value, list):
            return [self.read(element, inner, number) for number, element in enumerate(value)]
        if isinstance(value, dict):
            return {name: self.read(element, inner, name) for name, element in value.items()}
        if isinstance(value, date | time):
            return value.isoformat()  # handed on as JSON, which has no dates
        if isinstance(value, float) and not isfinite(value):
            return at.wrong(f"must be a finite number, not {value}", key)
        return value

    def schema(self) -> dict[str, Any]:
        return {}
