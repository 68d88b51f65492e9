"""The types of values: what Python has for the values and tables of the tree file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal, TypeAlias, TypedDict, TypeVar

_T = TypeVar("_T")

Many: TypeAlias = _T | Sequence[_T]
"""One value counts as a list of one."""
Duration: TypeAlias = float | str | timedelta
"""Seconds, text as in ``"10s"`` (ms s m h d w), or a `timedelta`."""
Size: TypeAlias = int | str
"""Bytes, or text as in ``"50MB"`` (kB MB GB, KiB MiB GiB)."""
Path: TypeAlias = str | os.PathLike[str]
"""Relative to the tree's `dir`."""
Command: TypeAlias = str | Sequence[Path]
"""Text is split as a POSIX shell would, without expansion."""

Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]
Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]
Level: TypeAlias = Literal["started", "ready", "healthy", "completed"]
Shutdown: TypeAlias = Literal["brutal_kill", "infinity"] | Duration
Limit: TypeAlias = Size | Literal["unlimited"]


class EnvSource(TypedDict, total=False):
    """Where the value of a variable comes from: exactly one of these."""

    file: Path
    command: Command


Env: TypeAlias = Mapping[str, str | int | Literal[False] | EnvSource]
"""False removes a variable."""


class Probe(TypedDict, total=False):
    """One question; exactly one of the kinds `command` … `disk_free`."""

    command: Command
    shell: bool
    http: str
    code: Many[int | str]
    body: str
    tcp: str
    unix: Path
    file: Path
    exists: bool
    fresh: Duration
    key: str
    changes: Duration
    output: str
    heartbeat: bool | Duration
    notify: bool | Duration
    env: Many[str]
    mount: Path
    disk_free: Size
    path: Path
    delay: Duration
    every: Duration
    timeout: Duration
    failures: int
    successes: int
    status: str
    then: Literal["restart", "hold", "alert"]
    level: Literal["info", "warn", "error"]


class Backoff(TypedDict, total=False):
    """The delay before a restart; keys that are not set are the tree file's defaults."""

    first: Duration
    initial: Duration
    factor: float
    max: Duration
    jitter: float
    reset: Duration


class Log(TypedDict, total=False):
    """Where output goes, and how it is rotated."""

    file: Path
    stderr: Path
    max_size: Size
    keep: int
    max_age: Duration
    on_full: Literal["drop", "block"]
