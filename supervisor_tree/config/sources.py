"""The files of a configuration: found, read, merged; and where in them a key stands."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from supervisor_tree.config import positions
from supervisor_tree.config.problems import ConfigError, Path, Problem, dotted
from supervisor_tree.config.variables import MARK, Scope, Unknown, Unset

TABLES = (
    "tree", "defaults", "supervisors", "workers", "jobs", "recover", "activity", "retention", "checks",
    "store", "logs", "alerts",
)  # fmt: skip
NAMED = ("supervisors", "workers", "jobs", "recover", "activity", "retention", "checks")
"""Tables whose keys are names of the user's, each a table."""


class Source:
    """One file: its name as shown, its text and its values.

    One whose name ends in ``.json`` was written by the Python API (`supervisor_tree.api`): the same tables as JSON, and
    `program`, which tells whose they are. Its keys have no lines.
    """

    def __init__(self, file: str, text: str, *, added: bool = False, to: str | None = None) -> None:
        self.file = file
        self.text = text
        self.added = added
        self.program: dict[str, Any] | None = None
        if file.endswith(".json"):
            self.data = _parse_json(file, text)
            self.program = self.data.pop("program")
        else:
            self.data = _parse(file, text)
        self.places: dict[str, str] = {}
        """Of what was added at run time: name → the supervisor that it goes under."""
        if added:
            self._take_places(to)
        self._lines: dict[Path, int] | None = None

    def _take_places(self, to: str | None) -> None:
        for kind in ("workers", "supervisors"):
            tables = self.data.get(kind)
            for name, table in tables.items() if isinstance(tables, dict) else ():
                place = table.pop("to", to) if isinstance(table, dict) else None
                self.places[name] = place if isinstance(place, str) else ""

    @property
    def folder(self) -> str:
        return os.path.dirname(os.path.abspath(self.file))

    def says(self, path: Path) -> bool:
        """Whether the key is in this file."""
        return _depth(self.data, path) == len(path)

    @property
    def lines(self) -> dict[Path, int]:
        if self._lines is None:
            try:
                self._lines = {} if self.program is not None else positions.index(self.text)
            except (RecursionError, ValueError, IndexError):
                # Absurdly nested values: the header's line is out of reach, the file is not.
                self._lines = {}
        return self._lines


def _parse(file: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).rpartition(" (at ")
        line = text.count("\n") + 1 - text.endswith("\n")
        if place.startswith("line "):
            line = int(place[5:].partition(",")[0])
        raise ConfigError([Problem(file, max(line, 1), "", f"no valid TOML: {message or error}")]) from None
    except RecursionError:
        raise ConfigError([Problem(file, 1, "", "no valid TOML: values are nested too deeply")]) from None
    except (ValueError, OverflowError) as error:
        # A date that does not exist or a number without end: tomllib lets these through as they come.
        raise ConfigError([Problem(file, _line_of_value(text), "", f"no valid TOML: {error}")]) from None


def _parse_json(file: str, text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ConfigError([Problem(file, 1, "", f"no valid JSON: {error}")]) from None
    if not isinstance(data, dict) or not isinstance(data.get("program"), dict):
        raise ConfigError([Problem(file, 1, "", "is of no Python program: write a tree file in TOML")])
    return data


def _line_of_value(text: str) -> int:
    """The first line up to which the text fails with something else than a syntax error."""
    lines = text.splitlines(keepends=True)
    for number in range(1, len(lines) + 1):
        try:
            tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        except (ValueError, OverflowError):
            return number
    return 1


class Sources:
    """All files together, in the order of reading."""

    def __init__(self) -> None:
        self.all: list[Source] = []
        self.merged: dict[str, Any] = {}
        self.warnings: list[Problem] = []
        self.problems: list[Problem] = []

    def add(self, source: Source) -> None:
        self.all.append(source)
        self.merged = merge(self.merged, source.data) if self.merged else source.data

    def locate(self, path: Path) -> tuple[str, int]:
        """File and line of a key; of the nearest table above that is written, for a missing one."""
        best, depth = self.all[0], -1
        for source in self.all:
            reached = _depth(source.data, path)
            if reached > depth or (reached == depth == len(path)):
                best, depth = source, reached
        for length in range(depth, 0, -1):
            if path[:length] in best.lines:
                return best.file, best.lines[path[:length]]
        return best.file, 1

    def problem(self, path: Path, message: str) -> Problem:
        return Problem(*self.locate(path), dotted(path), message)

    @property
    def program(self) -> dict[str, Any] | None:
        """What the Python program whose tree this is has told of itself; None: it is a tree file."""
        return next((source.program for source in self.all if source.program is not None), None)

    def order(self) -> list[tuple[str, str]]:
        """("workers" | "supervisors", name) in the order of their first headers, both kinds mixed."""
        order: dict[tuple[str, str], None] = {}
        for source in self.all:
            tables = {kind: source.data.get(kind) for kind in ("workers", "supervisors")}
            written = {kind: table for kind, table in tables.items() if isinstance(table, dict) and table}
            if len(written) < 2:
                found = [(kind, name) for kind, table in written.items() for name in table]
            else:
                count = sum(map(len, written.values()))
                found = positions.header_order(source.text, count) or [
                    (kind, str(name))
                    for kind, name in (path for path in source.lines if len(path) == 2)
                    if kind in written
                ]
                found += [(kind, name) for kind, table in written.items() for name in table]
            order.update(dict.fromkeys(found))
        return list(order)


def _depth(data: Any, path: Path) -> int:
    """How many keys of the path the data has."""
    for depth, key in enumerate(path):
        there = (
            key in data
            if isinstance(data, dict)
            else isinstance(data, list) and isinstance(key, int) and key < len(data)
        )
        if not there:
            return depth
        data = data[key]
    return len(path)


def merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Tables merge key by key; any other value replaces."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def read_file(file: str, blamed: Problem) -> Source:
    """A file as a source; ``blamed`` is the place that names it, for what can't be read."""
    try:
        with open(file, "rb") as opened:
            raw = opened.read()
    except OSError as error:
        raise ConfigError(
            [Problem(blamed.file, blamed.line, blamed.key, f"can't read {file}: {error.strerror}")]
        ) from None
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(file, line, "", "no valid TOML: the text is not UTF-8")]) from None
    return Source(file, text.removeprefix("\ufeff").replace("\r\n", "\n"))


def read_sources(
    files: Sequence[str], environ: Mapping[str, str], extra: Sequence[tuple[str, str] | tuple[str, str, str | None]]
) -> Sources:
    """The files with what they include, in order; what ``extra`` gives as text stands for the file of that name.

    Raises `ConfigError` for what can't be read or parsed, the first such file alone.
    """
    sources = Sources()
    texts = {os.path.abspath(given[0]) for given in extra}
    for file in files:
        if os.path.abspath(file) not in texts:
            _read(file, Problem(file, 1, "", ""), sources, environ, ())
    for given in extra:
        sources.add(Source(given[0], given[1], added=True, to=given[2] if len(given) > 2 else None))
    return sources


def _read(file: str, blamed: Problem, sources: Sources, environ: Mapping[str, str], above: tuple[str, ...]) -> None:
    real = os.path.realpath(file)
    if real in above:
        raise ConfigError([Problem(blamed.file, blamed.line, blamed.key, f"{file} includes itself")])
    source = read_file(file, blamed)
    _check_mode(source, sources)
    sources.add(source)
    tree = source.data.get("tree")
    include = tree.get("include") if isinstance(tree, dict) else None
    # A wrong type here is found when `[tree]` is read.
    listed = [include] if isinstance(include, str) else include if isinstance(include, list) else []
    for number, name in enumerate(listed):
        if not isinstance(name, str):
            continue
        key: Path = ("tree", "include", number) if isinstance(include, list) else ("tree", "include")
        try:
            path = Scope(environ.get, {}).expand(name)
        except (Unset, Unknown) as error:
            raise ConfigError([sources.problem(key, f"{error}")]) from None
        if MARK in path:
            raise ConfigError([sources.problem(key, "holds a NUL character, which no file name may")])
        optional = path.startswith("?")
        path = _under(path.removeprefix("?"), source, environ)
        if optional and not os.path.exists(path):
            continue
        _read(path, sources.problem(key, ""), sources, environ, (*above, real))


def _under(path: str, source: Source, environ: Mapping[str, str]) -> str:
    """An include's path: under its file's ``tree.dir``, else under its file's folder."""
    path = _home(path, environ)
    said = source.data["tree"].get("dir")
    base = os.path.dirname(source.file)
    if isinstance(said, str) and "$" not in said:
        base = os.path.join(base, _home(said, environ))
    return os.path.normpath(os.path.join(base, path))


def _home(path: str, environ: Mapping[str, str]) -> str:
    return home_folder(environ) + path[1:] if path.startswith("~/") else path


def home_folder(environ: Mapping[str, str]) -> str:
    """The home folder that ``~/`` means."""
    return environ.get("HOME") or os.path.expanduser("~")


def _check_mode(source: Source, sources: Sources) -> None:
    """A file that others may write is a way to run programs as this user (rule 2)."""
    try:
        mode = os.stat(source.file).st_mode
    except OSError:
        return
    if mode & stat.S_IWOTH and stat.S_ISREG(mode):
        found = Problem(source.file, 1, "", f"is writable by everybody: chmod o-w {source.file}")
        (sources.problems if os.geteuid() == 0 else sources.warnings).append(found)
