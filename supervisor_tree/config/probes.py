"""Probes: one table for `require`, `ready`, `health`, `verify` and `[checks]` (configuration.md rule 9)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from supervisor_tree.config.containers import ListOf
from supervisor_tree.config.kinds import Boolean, Choice, Duration, FilePath, Pattern, Size, Text, Whole
from supervisor_tree.config.problems import Key
from supervisor_tree.config.program_kinds import Command, program_rule
from supervisor_tree.config.reading import At, Invalid, Option, Table, shown
from supervisor_tree.core import json_path

Place = Literal["require", "ready", "health", "verify", "checks"]
PROBE_KINDS = ("command", "http", "tcp", "unix", "file", "output", "heartbeat", "notify", "env", "mount", "disk_free")


class Url:
    """An address of HTTP."""

    words = "a URL, http://… or https://…"

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        text = Text(self.words).read(value, at, key)
        if isinstance(text, str):
            if not re.fullmatch(r"https?://[^\s/]\S*", text):
                return at.wrong(f"must be {self.words}, not {shown(text)}", key)
            try:
                urlsplit(text).port  # noqa: B018  # raises
            except ValueError as error:
                return at.wrong(f"is no URL: {error}", key)
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^https?://|\$\{"}


class Address:
    """A TCP address."""

    words = "an address, HOST:PORT"

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        text = Text(self.words).read(value, at, key)
        if isinstance(text, str):
            host, _, port = text.rpartition(":")
            if not host or "/" in host or not port.isdecimal() or not 1 <= int(port[:9]) <= 65535:
                return at.wrong(f"must be {self.words}, not {shown(text)}", key)
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r":[0-9]+$|\$\{"}


class JsonPath:
    """Where in a JSON document a value is."""

    words = "a JSON path"

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        text = Text(self.words).read(value, at, key)
        if isinstance(text, str):
            try:
                json_path.steps(text)
            except json_path.PathError as error:
                return at.wrong(str(error), key)
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


class TrueOrSilence:
    """`true` in `ready`, the longest silence in `health`."""

    words = "in `ready` true, in `health` a duration: the longest silence"

    def read(self, value: Any, at: At, key: Key) -> bool | float | Invalid:
        if value is True:
            return True
        if value is False:
            return at.wrong("must be true; leave it out where it is not meant", key)
        return Duration(positive=True).read(value, at, key)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": True}, *Duration().schema()["anyOf"]]}


class StatusCodes:
    """HTTP statuses: numbers or classes."""

    words = 'statuses of HTTP: 200, "2xx", or a list'

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
            return str(value)
        if isinstance(value, str) and re.fullmatch("[1-5](xx|[0-9][0-9])", value.lower()):
            return value.lower()
        return at.wrong(f"must be {self.words}, not {shown(value)}", key)

    def schema(self) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 599},
                {"type": "string", "pattern": "^[1-5](xx|XX|[0-9]{2})$"},
            ]
        }


class Probe(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One question. Exactly one of the kinds `command` … `disk_free`, and options."""

    command: Annotated[tuple[str, ...] | None, Option(Command(), "Passes when the program exits 0.")] = None
    shell: Annotated[bool, Option(Boolean(), "Give `command`, a string, to `/bin/sh -c`.")] = False
    http: Annotated[str | None, Option(Url(), "Passes when a GET is answered with `code` (and `body`, `key`).")] = None
    code: Annotated[tuple[str, ...], Option(ListOf(StatusCodes()), "With `http`: the statuses that pass.")] = ("2xx",)
    body: Annotated[str | None, Option(Pattern(), "With `http`: what the body must match.")] = None
    tcp: Annotated[str | None, Option(Address(), "Passes when a connection is accepted.")] = None
    unix: Annotated[str | None, Option(FilePath(), "Passes when a connection to the socket is accepted.")] = None
    file: Annotated[str | None, Option(FilePath(), "Passes by `exists`, `fresh`, or `key` and `changes`.")] = None
    exists: Annotated[bool, Option(Boolean(), "With `file`: whether it must be there.")] = True
    fresh: Annotated[
        float | None, Option(Duration(positive=True), "With `file` or `output`: changed or matched within this time.")
    ] = None
    key: Annotated[
        str | None,
        Option(JsonPath(), "With `http` or `file`: a JSON path that must be there (JSON lines: in the last)."),
    ] = None
    changes: Annotated[
        float | None, Option(Duration(positive=True), "With `key` of a `file`: the value must change within.")
    ] = None
    output: Annotated[str | None, Option(Pattern(), "Passes when this incarnation's or run's output matches.")] = None
    heartbeat: Annotated[
        bool | float | None,
        Option(TrueOrSilence(), "In `ready` true: the worker says so; in `health` the longest silence."),
    ] = None
    notify: Annotated[
        bool | float | None, Option(TrueOrSilence(), "The same through sd_notify: READY=1, WATCHDOG=1.")
    ] = None
    env: Annotated[
        tuple[str, ...] | None, Option(ListOf(Text("a name"), least=1), "Variables that the child has, not empty.")
    ] = None
    mount: Annotated[str | None, Option(FilePath(), "Passes when something is mounted there.")] = None
    disk_free: Annotated[int | None, Option(Size(), "Passes when so much is free under `path`.")] = None
    path: Annotated[str | None, Option(FilePath(), "With `disk_free`: where.", default="`tree.dir`")] = None
    delay: Annotated[float, Option(Duration(), "Before the first question.", "live")] = 0.0
    every: Annotated[float, Option(Duration(positive=True), "Between questions.", "live")] = 10.0
    timeout: Annotated[float, Option(Duration(positive=True), "Of one question.", "live")] = 5.0
    failures: Annotated[int, Option(Whole(1), "So many in a row until it counts as failed.", "live")] = 3
    successes: Annotated[int, Option(Whole(1), "So many in a row until it counts as passed.", "live")] = 1
    status: Annotated[str | None, Option(Text(), "Shown and recorded while it fails.", "live")] = None
    then: Annotated[
        str, Option(Choice("restart", "hold", "alert"), "In `health`: what a failure leads to.", "live")
    ] = "restart"
    level: Annotated[
        str, Option(Choice("info", "warn", "error"), "In `[checks]`: how `doctor` shows a failure.", "live")
    ] = "error"

    @property
    def kind(self) -> str:
        """Which of the kinds it is; "": its value is a variable that is not set, and who it is about is held."""
        return next((kind for kind in PROBE_KINDS if getattr(self, kind) is not None), "")


_ONLY_WITH = {
    "code": ("http",),
    "body": ("http",),
    "exists": ("file",),
    "fresh": ("file", "output"),
    "key": ("http", "file"),
    "changes": ("file",),
    "path": ("disk_free",),
    "shell": ("command",),
}


def _rule_of(place: Place) -> Any:
    def rule(at: At, written: dict[str, Any], values: dict[str, Any]) -> None:
        kinds = [kind for kind in PROBE_KINDS if kind in written]
        if len(kinds) != 1:
            said = "has " + " and ".join(f"`{kind}`" for kind in kinds) if kinds else "asks nothing"
            at.wrong(f"{said}: write exactly one of {', '.join(PROBE_KINDS)}")
            return
        kind = kinds[0]
        for option, needed in _ONLY_WITH.items():
            if option in written and kind not in needed:
                at.wrong(f"goes with {' or '.join(f'`{other}`' for other in needed)}, not with `{kind}`", option)
        if "changes" in written and "key" not in written:
            at.wrong("needs `key`, the value that must change", "changes")
        if values.get("exists") is False and any(option in written for option in ("fresh", "key", "changes")):
            at.wrong("a file that must not be there can't be fresh or have a key", "exists")
        if "then" in written and place != "health":
            at.wrong("goes with `health` only", "then")
        if "level" in written and place != "checks":
            at.wrong("goes with `[checks]` only", "level")
        if kind in ("heartbeat", "notify"):
            _silence(at, kind, values.get(kind), place)
        elif kind == "output" and place == "require":
            at.wrong("nothing has run before `require` is asked: use it in `ready`, `health` or `verify`", kind)

    return rule


def _silence(at: At, kind: str, value: bool | float | None, place: Place) -> None:
    if place not in ("ready", "health"):
        at.wrong("goes with `ready` and `health` only", kind)
    elif place == "ready" and value is not None and value is not True:
        at.wrong("must be true in `ready`", kind)
    elif place == "health" and value is True:
        at.wrong('must be a duration in `health`, the longest silence, as in "90s"', kind)


def probe(place: Place) -> Table:
    """The table of a probe at one of its places."""
    return Table(Probe, program_rule, _rule_of(place))


def probes(place: Place) -> ListOf:
    """Probes, all of which must pass."""
    return ListOf(probe(place), words="a probe or a list of probes")
