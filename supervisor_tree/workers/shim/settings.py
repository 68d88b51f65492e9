"""The `args` of a shim: what to run and what to watch, in the words of the tree file's probes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from supervisor_tree.core import json_path
from supervisor_tree.workers.args import ArgsError
from supervisor_tree.workers.shim.asking import HttpQuestion, Question, TcpQuestion, UnixQuestion
from supervisor_tree.workers.shim.watches import AskedWatch, FileWatch, OutputWatch, Watch
from supervisor_tree.workers.shim.words import duration

T = TypeVar("T")

KINDS: dict[str, tuple[str, ...]] = {
    "output": ("fresh",),
    "file": ("exists", "fresh", "key", "changes"),
    "http": ("code", "body", "key"),
    "tcp": (),
    "unix": (),
}
"""What can be watched, and the options that only go with that."""

_ASKED = ("every", "timeout")
_EVERY = 10.0
_TIMEOUT = 5.0


class Asked:
    """Something to be asked every so many seconds."""

    def __init__(self, watch: AskedWatch, question: Question, every: float, timeout: float) -> None:
        self.watch = watch
        self.question = question
        self.every = every
        self.timeout = timeout


class Settings:
    """What a shim does: `command` in `shell` or not, and what is watched of it."""

    def __init__(self, args: Mapping[str, Any]) -> None:
        """Raises `ArgsError`, one line for each thing that is wrong with ``args``."""
        self.outputs: list[OutputWatch] = []
        self.files: list[FileWatch] = []
        self.asked: list[Asked] = []
        self.watches: list[Watch] = []
        """All of the above, as they were written."""
        self._wrong: list[str] = []
        for key in args:
            if key in KINDS:
                self._wrong.append(f"{key}: goes into `watch`, as in watch = {{ {key} = … }}")
            elif key not in ("command", "shell", "watch"):
                self._wrong.append(f"{key}: unknown; there are command, shell and watch")
        self.command = self._command(args.get("command"), args.get("shell", False))
        watch = args.get("watch", ())
        tables = list(watch) if isinstance(watch, list | tuple) else [watch]
        for number, table in enumerate(tables):
            where = "watch" if not isinstance(watch, list | tuple) else f"watch[{number}]"
            if isinstance(table, Mapping):
                self._watch(_Table(table, where, self._wrong))
            else:
                self._wrong.append(f'{where}: must be a table, as in {{ file = "state.json", fresh = "2m" }}')
        if self._wrong:
            raise ArgsError("\n".join(f"args.{line}" for line in self._wrong))

    def _command(self, command: Any, shell: Any) -> tuple[str, ...]:
        if not isinstance(shell, bool):
            self._wrong.append("shell: must be true or false")
        if isinstance(command, str) and command.strip():
            if shell is True:
                return ("/bin/sh", "-c", command)
            try:
                return tuple(shlex.split(command))
            except ValueError as error:
                self._wrong.append(f"command: {error}")
                return ()
        words = isinstance(command, Sequence) and not isinstance(command, str) and len(command) > 0
        if words and shell is not True and all(isinstance(word, str) for word in command):
            return tuple(command)
        if command is None:
            self._wrong.append('command: is missing: what to run, as in command = "bin/server --port 80"')
        elif shell is True:
            self._wrong.append("command: must be one string for `shell = true`")
        else:
            self._wrong.append("command: must be a string or a list of strings, not empty")
        return ()

    def _watch(self, table: _Table) -> None:
        kind = table.kind()
        if kind is None:
            return
        status = table.text("status")
        if kind == "output":
            pattern, fresh = table.pattern("output"), table.duration("fresh")
            if pattern is not None:
                self.outputs.append(OutputWatch(pattern, fresh, status))
                self.watches.append(self.outputs[-1])
        elif kind == "file":
            self._file(table, status)
        else:
            question = table.question(kind)
            every, timeout = table.duration("every", _EVERY), table.duration("timeout", _TIMEOUT)
            if question is not None and every is not None and timeout is not None:
                self.asked.append(Asked(AskedWatch(str(question), status), question, every, timeout))
                self.watches.append(self.asked[-1].watch)

    def _file(self, table: _Table, status: str | None) -> None:
        path, key = table.text("file"), table.json_path("key")
        exists = table.boolean("exists", True)
        fresh, changes = table.duration("fresh"), table.duration("changes")
        if changes is not None and "key" not in table.table:
            table.wrong("changes", "needs `key`, the value that must change")
        if not exists and any(option in table.table for option in ("fresh", "key", "changes")):
            table.wrong("exists", "a file that must not be there can't be fresh or have a key")
        if path is not None:
            self.files.append(FileWatch(path, exists=exists, fresh=fresh, key=key, changes=changes, status=status))
            self.watches.append(self.files[-1])


class _Table:
    """One watch as it was written; what is wrong is noted with its place, the answer is None then."""

    def __init__(self, table: Mapping[str, Any], where: str, problems: list[str]) -> None:
        self.table = table
        self._where = where
        self._problems = problems

    def wrong(self, key: str, message: str) -> None:
        self._problems.append(f"{self._where}.{key}: {message}" if key else f"{self._where}: {message}")

    def kind(self) -> str | None:
        """The one kind that it is of, its other keys checked."""
        kinds = [kind for kind in KINDS if kind in self.table]
        if len(kinds) != 1:
            said = "has " + " and ".join(f"`{kind}`" for kind in kinds) if kinds else "watches nothing"
            self.wrong("", f"{said}: give exactly one of {', '.join(KINDS)}")
            return None
        known = ["status", kinds[0], *KINDS[kinds[0]]]
        if kinds[0] in ("http", "tcp", "unix"):
            known += _ASKED
        for key in self.table:
            if key not in known:
                self.wrong(key, f"does not go with `{kinds[0]}`: there are {', '.join(sorted(known))}")
        return kinds[0]

    def text(self, key: str) -> str | None:
        return self._read(key, lambda value: value if isinstance(value, str) and value else None, "must be a string")

    def boolean(self, key: str, default: bool) -> bool:
        value = self._read(key, lambda value: value if isinstance(value, bool) else None, "must be true or false")
        return default if value is None else value

    def duration(self, key: str, default: float | None = None) -> float | None:
        if key not in self.table:
            return default
        words = 'must be a duration longer than 0, as in "2m" (ms s m h d w)'
        return self._read(key, lambda value: duration(value) or None, words)

    def pattern(self, key: str) -> str | None:
        text = self.text(key)
        if text is not None:
            try:
                re.compile(text)
            except (re.error, OverflowError, RecursionError) as error:
                self.wrong(key, f"is no regular expression: {error}")
                return None
        return text

    def json_path(self, key: str) -> str | None:
        text = self.text(key)
        if text is not None:
            try:
                json_path.steps(text)
            except json_path.PathError as error:
                self.wrong(key, str(error))
                return None
        return text

    def question(self, kind: str) -> Question | None:
        """What to ask a socket; None when it can't be asked so."""
        text, body, key, codes = self.text(kind), self.pattern("body"), self.json_path("key"), self._codes()
        if text is None:
            return None
        if kind == "unix":
            return UnixQuestion(text)
        if kind == "http":
            try:
                return HttpQuestion(text, codes, body, key)
            except ValueError as error:
                self.wrong(kind, str(error))
                return None
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port[:9]) <= 65535:
            self.wrong(kind, "must be an address, HOST:PORT")
            return None
        return TcpQuestion(host.strip("[]"), int(port))

    def _codes(self) -> tuple[str, ...]:
        value = self.table.get("code", "2xx")
        codes = [str(code).lower() for code in (value if isinstance(value, list | tuple) else [value])]
        if not codes or not all(re.fullmatch("[1-5](xx|[0-9][0-9])", code) for code in codes):
            self.wrong("code", 'must be statuses of HTTP: 200, "2xx", or a list')
        return tuple(codes)

    def _read(self, key: str, read: Callable[[Any], T | None], words: str) -> T | None:
        if key not in self.table:
            return None
        value = read(self.table[key])
        if value is None:
            self.wrong(key, words)
        return value
