"""What the shell is told to do. Imperative. Each is idempotent by (path, incarnation) or by request."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class SpawnChild(Struct, frozen=True, tag=True):
    """Start the program of the worker at ``path``. Answered by `ChildSpawned`, `SpawnFailed` or `StartIgnored`."""

    path: str
    incarnation: int


class StopChild(Struct, frozen=True, tag=True):
    """Ask this incarnation to stop, kill what is left after ``grace`` seconds (None: never, 0: at once).

    Answered by `ChildExited`. Sent again with a smaller ``grace`` when the stop must hurry."""

    path: str
    incarnation: int
    grace: float | None


class ArmTimer(Struct, frozen=True, tag=True):
    """Tell `TimerFired` at monotonic ``at``; replaces a timer of the same path and name. ``at`` not after
    now means: behind every event that is already there (OTP's message to itself)."""

    path: str
    timer: str
    at: float


class CancelTimer(Struct, frozen=True, tag=True):
    path: str
    timer: str


class Reply(Struct, frozen=True, tag=True):
    """A request ended. For OTP's calls ``result`` is OTP's answer; for operators' requests a list of
    ``{"name": path, "ok": bool, "reason": str | None}``."""

    request: str
    result: Any


class Note(Struct, frozen=True, tag=True):
    """One decision for the journal: ``kind`` in snake case, past tense (`restart_scheduled`, `gave_up`)."""

    kind: str
    path: str
    fields: dict[str, Any] = field(default_factory=dict)


class EndTree(Struct, frozen=True, tag=True):
    """The root supervisor has ended and nothing of the tree runs. ``why``: "shutdown" (asked), "gave_up",
    "auto_shutdown", "failed_start"; ``path``: the significant child that ended last, of auto shutdown."""

    why: str
    path: str | None = None


Effect = SpawnChild | StopChild | ArmTimer | CancelTimer | Reply | Note | EndTree
