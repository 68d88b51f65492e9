"""The kinds that describe a program: command, environment, limits, exit statuses, instances."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from supervisor_tree.config.kinds import FilePath, Size, Text, signal_names
from supervisor_tree.config.problems import Key, did_you_mean
from supervisor_tree.config.reading import INVALID, At, Invalid, shown
from supervisor_tree.config.variables import MARK

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
NAME_WORDS = "letters, digits, `_`, `.` and `-`, at most 64, the first a letter or digit"

_REFERENCE = re.compile(r"\$(?:\$|\{[^}]*\})")
_SHELL_SIGNS = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1", "&>"})
_VARIABLE = re.compile(r"[^=\0]+")


class Command:
    """A program and its arguments; kept as written until `program_rule` knows whether a shell reads it."""

    words = "a string, split as a POSIX shell would, or a list of strings"

    def read(self, value: Any, at: At, key: Key) -> Any:
        if isinstance(value, str):
            return value if value.strip() else at.wrong("must name a program, not be empty", key)
        if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
            return value if value[0] else at.wrong("must name a program, not be empty", key, 0)
        return at.wrong(f"must be {self.words}, not {'empty' if value == [] else shown(value)}", key)

    def schema(self) -> dict[str, Any]:
        words = {"type": "array", "items": {"type": "string"}, "minItems": 1}
        return {"anyOf": [{"type": "string", "minLength": 1}, words]}


def program_rule(at: At, written: dict[str, Any], values: dict[str, Any]) -> None:
    """Turn `command` into the argument list; words are split before references are answered, so that a value
    with blanks stays one argument."""
    # Only a worker or a job itself takes `shell` from `[defaults]`, not the probes and steps in it.
    shell = values.get("shell", at.reading.shell and len(at.path) == 2)
    for key in ("command", "stop_command"):
        if key in values:
            argv = argument_list(values[key], at, key, shell=shell)
            if isinstance(argv, Invalid):
                del values[key]
            else:
                values[key] = argv
    if "command" not in written and written.get("shell") is True and "stop_command" not in written:
        at.wrong("is about `command`, which is not there", "shell")


def argument_list(command: str | list[str], at: At, key: Key, *, shell: bool) -> tuple[str, ...] | Invalid:
    if shell and isinstance(command, str):
        text = at.expand(command, key)
        return text if isinstance(text, Invalid) else ("/bin/sh", "-c", text)
    if isinstance(command, list):
        if shell:
            return at.wrong("is a list, which needs no shell: write a string, or leave out `shell`", key)
        inner = at.below(key)
        words = [inner.expand(word, number) for number, word in enumerate(command)]
    elif "$" in command or "'" in command or '"' in command or "\\" in command or MARK in command:
        split = _split(command, at, key)
        if isinstance(split, Invalid):
            return split
        words = [at.expand(word, key) for word in split]
    else:
        words = list(command.split())
    if isinstance(command, str):
        _warn_of_shell_signs(words, at, key)
    argv = tuple(word for word in words if not isinstance(word, Invalid))
    if len(argv) < len(words):
        return INVALID
    return argv if argv and argv[0] else at.wrong("must name a program, not be empty", key)


def _split(command: str, at: At, key: Key) -> list[str] | Invalid:
    """POSIX shell splitting with the references, which may hold blanks in their defaults, kept whole."""
    import shlex

    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"{MARK}{len(kept) - 1}{MARK}"

    if MARK in command:
        return at.wrong("holds a NUL character, which no program argument may", key)
    try:
        words = shlex.split(_REFERENCE.sub(keep, command))
    except ValueError as error:
        reason = {"No closing quotation": "a quote is not closed", "No escaped character": "ends in a backslash"}
        return at.wrong(f"can't be split into words: {reason.get(str(error), str(error))}", key)
    return [re.sub(f"{MARK}([0-9]+){MARK}", lambda found: kept[int(found[1])], word) for word in words]


def _warn_of_shell_signs(words: list[Any], at: At, key: Key) -> None:
    for word in words:
        if word in _SHELL_SIGNS or (isinstance(word, str) and len(word) > 1 and word[-1] == ";"):
            at.warn(
                f"{shown(word)} is handed to the program as an argument: write shell = true to have a shell read it",
                key,
            )
            return


class FromFile(Struct, frozen=True, tag="file", tag_field="from"):
    """An environment value that is the content of a file, without its last line end."""

    file: str


class FromCommand(Struct, frozen=True, tag="command", tag_field="from"):
    """An environment value that a program prints, without its last line ends."""

    command: tuple[str, ...]


EnvValue = str | FromFile | FromCommand | None
"""None: the variable is removed."""


class Environment:
    """Variables of a child."""

    words = "a table: NAME = string | integer | { file = path } | { command = program } | false"

    def read(self, value: Any, at: At, key: Key) -> dict[str, EnvValue] | Invalid:
        if not isinstance(value, dict):
            return at.wrong(f"must be {self.words}, not {shown(value)}", key)
        inner = at.below(key)
        read: dict[str, Any] = {}
        for name, written in value.items():
            if not _VARIABLE.fullmatch(name):
                inner.wrong("is no name of a variable", name)
            elif name.startswith("SUPERVISOR_TREE_"):
                inner.wrong("is set by the tree itself", name)
            else:
                read[name] = self._value(written, inner, name)
        # What is wrong or unset is left out; the problem or the hold speaks for it.
        return {name: got for name, got in read.items() if not isinstance(got, Invalid)}

    def _value(self, written: Any, at: At, name: str) -> EnvValue | Invalid:
        if isinstance(written, str):
            return at.expand(written, name)
        if written is False:
            return None
        if isinstance(written, int) and written is not True:
            return str(written)
        if isinstance(written, dict) and len(written) == 1:
            if "file" in written:
                path = FilePath().read(written["file"], at.below(name), "file")
                return path if isinstance(path, Invalid) else FromFile(path)
            if "command" in written:
                return self._command(written["command"], at.below(name))
        if isinstance(written, dict):
            wrong = next((key for key in written if key not in ("file", "command")), None)
            if wrong is not None:
                return at.wrong(
                    f"unknown key{did_you_mean(wrong, ['file', 'command'], '; known: file, command')}", name, wrong
                )
            return at.wrong("must have exactly one of `file` and `command`", name)
        hint = f': write "{shown(written)}"' if isinstance(written, bool | float) else ""
        return at.wrong(
            f"must be a string, an integer, {{ file = … }}, {{ command = … }} or false, not {shown(written)}{hint}",
            name,
        )

    def _command(self, written: Any, at: At) -> FromCommand | Invalid:
        command = Command().read(written, at, "command")
        if isinstance(command, Invalid):
            return command
        argv = argument_list(command, at, "command", shell=False)
        return argv if isinstance(argv, Invalid) else FromCommand(argv)

    def schema(self) -> dict[str, Any]:
        source = {
            "type": "object",
            "properties": {"file": {"type": "string"}, "command": Command().schema()},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        }
        value = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"const": False}, source]}
        return {"type": "object", "additionalProperties": value}


class InheritEnv:
    """What a child takes over from the environment of `start`."""

    words = "true, false or a list of names"

    def read(self, value: Any, at: At, key: Key) -> bool | tuple[str, ...] | Invalid:
        if isinstance(value, bool):
            return value
        if isinstance(value, list) and all(isinstance(name, str) and _VARIABLE.fullmatch(name) for name in value):
            return tuple(value)
        return at.wrong(f"must be {self.words}, not {shown(value)}", key)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}]}


_MOST_INSTANCES = 10_000


class Instances:
    """How many of a kind, or their names; read as the names."""

    words = "a number N (1 … N) or a list of names"

    def read(self, value: Any, at: At, key: Key) -> tuple[str, ...] | Invalid:
        if isinstance(value, str) and "$" in value:
            text = at.expand(value, key)
            if isinstance(text, Invalid):
                return text
            value = int(text) if text.isdecimal() and len(text) < 9 else text
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= _MOST_INSTANCES:
                return at.wrong(f"must be from 1 to {_MOST_INSTANCES} (enabled = false leaves the table out)", key)
            return tuple(map(str, range(1, value + 1)))
        if not isinstance(value, list) or not value:
            return at.wrong(f"must be {self.words}, not {'empty' if value == [] else shown(value)}", key)
        names: dict[str, str] = {}
        inner = at.below(key)
        for number, element in enumerate(value):
            name: str | Invalid = INVALID
            if isinstance(element, str):
                name = inner.expand(element, number)
            elif isinstance(element, int) and not isinstance(element, bool):
                name = str(element)
            else:
                inner.wrong(f"must be a name or a number, not {shown(element)}", number)
            if isinstance(name, Invalid):
                return name
            if not NAME.fullmatch(name):
                return inner.wrong(f"{shown(name)} is no name of an instance: {NAME_WORDS}", number)
            if name.lower() in names:
                return inner.wrong(f"{shown(name)} is there twice", number)
            names[name.lower()] = name
        return tuple(names.values())

    def schema(self) -> dict[str, Any]:
        names = {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1}
        return {"anyOf": [{"type": "integer", "minimum": 1}, names, {"type": "string", "pattern": r"\$\{"}]}


class Umask:
    """File mode bits to clear."""

    words = 'octal digits in quotes, as in "022"'

    def read(self, value: Any, at: At, key: Key) -> int | Invalid:
        text = at.expand(value, key) if isinstance(value, str) else value
        if isinstance(text, Invalid):
            return text
        if isinstance(text, str) and re.fullmatch("(0o)?[0-7]{1,4}", text) and int(text, 8) <= 0o777:
            return int(text, 8)
        if isinstance(text, int) and not isinstance(text, bool) and 0 <= text <= 0o777:
            return text
        return at.wrong(f"must be {self.words}, not {shown(text)}", key)

    def schema(self) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "string", "pattern": r"^(0o)?[0-7]{1,4}$|\$\{"},
                {"type": "integer", "minimum": 0, "maximum": 511},
            ]
        }


UNLIMITED = -1


class Limits:
    """Resource limits by their names of `setrlimit`, lower case."""

    words = 'a table of rlimits: name = number | size | "unlimited" | [soft, hard]'

    def read(self, value: Any, at: At, key: Key) -> dict[str, int | tuple[int, int]] | Invalid:
        if not isinstance(value, dict):
            return at.wrong(f"must be {self.words}, not {shown(value)}", key)
        known = limit_names()
        inner = at.below(key)
        read: dict[str, int | tuple[int, int]] = {}
        for name, written in value.items():
            if name not in known:
                inner.wrong(
                    f"is no limit of this system{did_you_mean(name, known, '; known: ' + ', '.join(known))}", name
                )
                continue
            got = self._pair(written, inner, name)
            if not isinstance(got, Invalid):
                read[name] = got
        return read

    def _pair(self, written: Any, at: At, name: str) -> int | tuple[int, int] | Invalid:
        if not isinstance(written, list):
            return self._one(written, at, name)
        if len(written) != 2:
            return at.wrong("must be one value or [soft, hard]", name)
        below = at.below(name)
        soft, hard = self._one(written[0], below, 0), self._one(written[1], below, 1)
        if isinstance(soft, Invalid) or isinstance(hard, Invalid):
            return INVALID
        if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
            return at.wrong("the soft limit, which comes first, must not be above the hard one", name)
        return soft, hard

    def _one(self, written: Any, at: At, key: Key) -> int | Invalid:
        if written in ("unlimited", "infinity"):
            return UNLIMITED
        return Size().read(written, at, key)

    def schema(self) -> dict[str, Any]:
        one = {"anyOf": [*Size().schema()["anyOf"], {"const": "unlimited"}]}
        pair = {"type": "array", "items": one, "minItems": 2, "maxItems": 2}
        names = (
            *("as", "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc"),
            *("rss", "rtprio", "rttime", "sigpending", "stack"),
        )
        return {
            "type": "object",
            "properties": {name: {"anyOf": [one, pair]} for name in names},
            "additionalProperties": False,
        }


def limit_names() -> list[str]:
    """The names that `limits` knows on this system."""
    import resource

    return sorted(name[7:].lower() for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE")


class ExitStatus:
    """An exit status or the signal that ended a program."""

    words = 'an exit status from 0 to 255 or a signal, as in "TERM"'

    def read(self, value: Any, at: At, key: Key) -> int | str | Invalid:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255:
            return value
        name = value.upper().removeprefix("SIG") if isinstance(value, str) else None
        if name and name in signal_names():
            return name
        return at.wrong(f"must be {self.words}, not {shown(value)}", key)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 255}, {"type": "string"}]}


class Outcomes:
    """Names for the ways in which a run ends."""

    words = 'a table: exit status | SIGNAME | "timeout" | "other" = a name'

    def read(self, value: Any, at: At, key: Key) -> dict[str, str] | Invalid:
        if not isinstance(value, dict):
            return at.wrong(f"must be {self.words}, not {shown(value)}", key)
        inner = at.below(key)
        read: dict[str, str] = {}
        for name, written in value.items():
            status = name.isascii() and name.isdigit() and int(name[:9]) <= 255 and name == str(int(name[:9]))
            signal = name.startswith("SIG") and name[3:] in signal_names()
            if not (status or signal or name in ("timeout", "other")):
                inner.wrong(
                    "names no outcome: write a status from 0 to 255, SIGTERM and the like, timeout or other", name
                )
                continue
            word = Text("a name").read(written, inner, name)
            if not isinstance(word, Invalid):
                read[name] = word
        return read

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "propertyNames": {"pattern": "^([0-9]{1,3}|SIG[A-Z0-9+-]+|timeout|other)$"},
            "additionalProperties": {"type": "string"},
        }
