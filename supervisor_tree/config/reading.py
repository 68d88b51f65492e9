"""Reading one table of the configuration: where we are, what went wrong, what an option is.

A *kind* reads one value and never raises: what is wrong is noted with its place, the answer is `INVALID` and the
option keeps its default, so that every error of all files is found in one go.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, Protocol

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields as struct_fields

from supervisor_tree.config.problems import Key, Path, did_you_mean, quoted
from supervisor_tree.config.variables import MARK, Scope, Unknown, Unset


class Invalid:
    """The type of `INVALID`."""


INVALID: Final = Invalid()


class Reading:
    """What is common to the tables that are read together."""

    __slots__ = ("base", "held", "home", "problems", "scope", "shell", "warnings")

    def __init__(self, scope: Scope, base: str, home: str, *, holds: bool = False) -> None:
        self.scope = scope
        self.base = base
        self.home = home
        self.shell = False
        """What `[defaults]` says of ``shell``."""
        self.problems: list[tuple[Path, str]] = []
        self.warnings: list[tuple[Path, str]] = []
        self.held: list[str] | None = [] if holds else None
        """Reasons to hold the child instead of refusing the file; None where a variable must be set."""


class At:
    """A table under way: its path and its reading."""

    __slots__ = ("path", "reading")

    def __init__(self, reading: Reading, path: Path) -> None:
        self.reading = reading
        self.path = path

    def below(self, key: Key) -> At:
        return At(self.reading, (*self.path, key))

    def wrong(self, message: str, *keys: Key) -> Invalid:
        self.reading.problems.append(((*self.path, *keys), message))
        return INVALID

    def warn(self, message: str, *keys: Key) -> None:
        self.reading.warnings.append(((*self.path, *keys), message))

    def expand(self, text: str, key: Key) -> str | Invalid:
        """The text with its references answered, and fit for a system call."""
        if MARK in text:
            return self.wrong("holds a NUL character, which no program argument, variable or file name may", key)
        if "$" not in text:
            return text
        try:
            return self.reading.scope.expand(text)
        except Unset as unset:
            if self.reading.held is None:
                return self.wrong(f"{unset}: set it, or write ${{NAME:-default}}", key)
            self.reading.held.append(str(unset))
            return INVALID
        except Unknown as unknown:
            return self.wrong(str(unknown), key)


class Kind(Protocol):
    """How the value of an option is read."""

    words: str
    """What it is, for messages and the reference: "a duration"."""

    def read(self, value: Any, at: At, key: Key) -> Any: ...

    def schema(self) -> dict[str, Any]: ...


Reload = Literal["restart", "live", "tree"]
"""What a changed option asks for: a restart of the child, nothing (applied as it runs), or a new start of the tree."""


class Option:
    """The one definition of an option: parser, default, schema, reference, reload class and diff read it."""

    __slots__ = ("default", "doc", "key", "kind", "reload", "shared")

    def __init__(
        self, kind: Kind, doc: str, reload: Reload = "restart", *, key: str = "", default: str = "", shared: bool = True
    ) -> None:
        self.kind = kind
        self.doc = doc
        self.reload = reload
        self.key = key
        self.default = default
        """The default in words, where the field's own does not say it."""
        self.shared = shared
        """Whether `[defaults]` may set it."""


class Field(typing.NamedTuple):
    """An option in its table."""

    key: str
    name: str
    option: Option
    default: object


_fields: dict[type[Struct], dict[str, Field]] = {}


def options_of(struct: type[Struct]) -> dict[str, Field]:
    """The options of a settings class by their keys, in the order of the class."""
    if struct not in _fields:
        hints = typing.get_type_hints(struct, include_extras=True)
        found = {}
        for field in struct_fields(struct):
            for note in getattr(hints[field.name], "__metadata__", ()):
                if isinstance(note, Option):
                    key = note.key or field.name
                    found[key] = Field(key, field.name, note, None if field.default is NODEFAULT else field.default)
        _fields[struct] = found
    return _fields[struct]


Rule = Callable[[At, dict[str, Any], dict[str, Any]], None]
"""A check over the keys of a table: gets the place, the table as written and the values read (which it may amend)."""


class Table:
    """A table with known keys, read into a settings class (or into the keys that were set, see `keys`)."""

    words = "a table"

    def __init__(self, struct: type[Struct], *rules: Rule, only: Iterable[str] | None = None) -> None:
        self.struct = struct
        self.rules = rules
        self.only = None if only is None else frozenset(only)
        self._known: dict[str, Field] | None = None

    @property
    def known(self) -> dict[str, Field]:
        if self._known is None:
            known = options_of(self.struct)
            if self.only is not None:
                known = {key: field for key, field in known.items() if key in self.only}
            self._known = known
        return self._known

    def keys(self, value: Any, at: At) -> dict[str, Any]:
        """The fields that the table sets; ``at`` is the place of the table itself."""
        known = self.known
        values: dict[str, Any] = {}
        for key, written in value.items():
            field = known.get(key)
            if field is None:
                self.unknown(at, key)
                continue
            read = field.option.kind.read(written, at, key)
            if read is not INVALID:
                values[field.name] = read
        for rule in self.rules:
            rule(at, value, values)
        return values

    def unknown(self, at: At, key: str) -> None:
        """Note a key that the table does not have."""
        unknown_key(at, key, list(self.known))

    def read(self, value: Any, at: At, key: Key) -> Any:
        if not isinstance(value, dict):
            return at.wrong(f"must be a table, {{ key = value, … }}, not {shown(value)}", key)
        before = len(at.reading.problems)
        values = self.keys(value, at.below(key))
        if len(at.reading.problems) > before:
            return INVALID
        return self.struct(**values)

    def schema(self) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{self.struct.__name__}"}


def unknown_key(at: At, key: str, known: list[str]) -> None:
    """Note a key that the table does not have."""
    listed = "; known: " + ", ".join(known) if len(known) <= 12 else ""
    at.wrong(f"unknown key{did_you_mean(key, known, listed)}", key)


def shown(value: object) -> str:
    """A value of the file in an error message: short, in TOML's words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return str(value)
