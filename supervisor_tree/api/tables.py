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
Limits: TypeAlias = Mapping[str, Limit | tuple[Limit, Limit]]
"""Resource limits by their names in lower case: a value, or soft and hard."""
Overlap: TypeAlias = Literal["skip", "queue", "kill"]
CatchUp: TypeAlias = Literal["none", "last", "all"]
Severity: TypeAlias = Literal["info", "warning", "error", "critical"]


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


class Logs(TypedDict, total=False):
    """`[logs]`: the defaults of every `log`."""

    max_size: Size
    keep: int
    max_age: Duration
    on_full: Literal["drop", "block"]


class Record(TypedDict, total=False):
    """Names of a job's rows in the SQL view."""

    event_type: str
    job_name: str


_If = TypedDict("_If", {"if": str}, total=False)


class Step(_If, total=False):
    """One step of a recovery: exactly one of the verbs `clear_locks` … `command`; `if`: only when this name of `match`
    has matched."""

    clear_locks: Many[Path]
    restart: Many[str]
    reload: Many[str]
    alert: Severity
    wait: Duration
    rerun: bool
    command: Command
    shell: bool
    timeout: Duration
    file: Path


class RecoverLog(Log, total=False):
    """Where recoveries are logged; `tail`: with so many last lines of the run that has failed."""

    tail: int


class Recover(TypedDict, total=False):
    """`[recover.NAME]`: what is done after a failure."""

    when: Many[str]
    match: Mapping[str, Many[str]]
    ignore_case: bool
    count: int
    within: Duration
    cooldown: Duration
    max: int
    per: Duration
    steps: Many[Step]
    stop_on_failure: bool
    log: RecoverLog
    enabled: bool


class Source(TypedDict, total=False):
    """Where useful work shows: an `activity` that `of` reports, or the last time that a query gives."""

    of: str
    activity: str
    sql: str
    url: str


class Activity(TypedDict, total=False):
    """`[activity.NAME]`: alert when nothing useful has happened for too long."""

    any: Many[Source]
    within: Duration
    repeat: Duration
    level: Severity
    event_type: str
    enabled: bool


class Retention(TypedDict, total=False):
    """`[retention.NAME]`: files that are removed when they are old."""

    files: Many[Path]
    max_age: Duration
    keep: int
    enabled: bool


class Store(TypedDict, total=False):
    """`[store]`: the journal and its SQL view."""

    url: str
    max_age: Duration


class Alerts(TypedDict, total=False):
    """`[alerts]`: who is told."""

    urls: Many[str]
    command: Command
    shell: bool
    file: Path
    level: Severity
    repeat: Duration


class Defaults(TypedDict, total=False):
    """`[defaults]`: for each `Child` and `Job` that may have the key and does not set it."""

    shell: bool
    preload: Many[str]
    python: Path
    env_file: Many[Path]
    env: Env
    inherit_env: bool | Many[str]
    cwd: Path
    user: str
    group: str
    umask: str | int
    nice: int
    limits: Limits
    require: Many[Probe]
    success: Many[int | str]
    outcome: Mapping[str | int, str]
    backoff: Duration | Backoff
    shutdown: Shutdown
    stop_signal: str
    stop_command: Command
    stop_to: Literal["group", "leader"]
    sweep: bool
    log: Log
    recover: Many[str]
    memory_max: Size
    cpu_max: float
    on_limit: Literal["restart", "alert"]
    jitter: Duration
    autostart: bool
    timezone: str
    calendar: str
    timeout: Duration
    overlap: Overlap
    catch_up: CatchUp
    missed_after: Duration
    alert_after: int
    retries: int
    run_at_start: bool
    keep_awake: bool
    wake: Duration
    verify: Many[Probe]
    restart: Restart
    significant: bool
    ready: Many[Probe]
    start_timeout: Duration
    health: Many[Probe]
    max_age: Duration
    watch: Many[Path]
