"""What a tree is to be: the specifications of supervisors and workers, in OTP's words.

Frozen data. The defaults are OTP's (`supervisor:child_spec()`, `supervisor:sup_flags()`), so that a
specification that uses none of our additions behaves exactly as Erlang/OTP's `supervisor`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct


class Restart(StrEnum):
    """When a child that ended is restarted."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(StrEnum):
    """Who else is restarted when one child must be."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"
    SIMPLE_ONE_FOR_ONE = "simple_one_for_one"


class AutoShutdown(StrEnum):
    """Whether the end of significant children ends their supervisor."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class Level(StrEnum):
    """How far a worker must have come for those who need it."""

    STARTED = "started"
    READY = "ready"
    HEALTHY = "healthy"
    COMPLETED = "completed"


Shutdown = float | Literal["brutal_kill", "infinity"]
"""Seconds between the request to stop and the kill, or OTP's two words."""


class Backoff(Struct, frozen=True, kw_only=True):
    """The delay between a counted restart decision and the start, in seconds.

    ``first`` before the first restart, ``initial * factor ** (n - 2)`` before the n-th, at most ``max``,
    plus or minus the fraction ``jitter``; n starts anew after ``reset`` of being ready. All zero is OTP:
    restart at once, and the retry of a failed start goes to the end of the queue.
    """

    first: float = 0.0
    initial: float = 0.0
    factor: float = 1.0
    max: float = 0.0
    jitter: float = 0.0
    reset: float = 0.0


class Need(Struct, frozen=True):
    """A gate on a start: ``path`` (earlier in the tree) must have reached ``level``."""

    path: str
    level: Level


class WorkerSpec(Struct, frozen=True, kw_only=True, tag="worker"):
    """One supervised program."""

    name: str
    restart: Restart = Restart.PERMANENT
    shutdown: Shutdown = 5.0
    significant: bool = False
    backoff: Backoff = Backoff()
    told_ready: bool = False
    """True: ready when `ChildReady` says so, within ``start_timeout``. False: ready once spawned."""
    start_timeout: float | None = None
    needs: tuple[Need, ...] = ()


class SupervisorSpec(Struct, frozen=True, kw_only=True, tag="supervisor"):
    """An inner node. ``intensity`` None: it never gives up."""

    name: str
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int | None = 1
    period: float = 5.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    children: tuple[ChildSpec, ...] = ()
    restart: Restart = Restart.PERMANENT
    shutdown: Shutdown = "infinity"
    significant: bool = False
    backoff: Backoff = Backoff()
    first_start: Literal["fail", "retry"] = "fail"
    """A child whose first start fails: "fail" fails this supervisor's own start (OTP), "retry" treats it
    as a restart that failed (tree files)."""
    on_give_up: Literal["exit", "hold"] | float = "exit"
    """What giving up is, for the root only: its end (OTP), or `hold`: it lives on without the child that
    broke the intensity; a number: hold, then try once after so many seconds."""
    asked: bool = False
    """True: its begin is asked of the shell with a `SpawnChild`, as a worker's; the answer may be a failure.
    For replays of OTP, where a supervisor is a process and its start can fail by itself."""


ChildSpec = WorkerSpec | SupervisorSpec
