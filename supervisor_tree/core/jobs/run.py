"""One run under way: what of it must be known to go on with it after the root's death. Written down whole."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct

from supervisor_tree.core.jobs.records import Cause, RunState, StageState
from supervisor_tree.core.jobs.spec import JobSpec


class Phase(StrEnum):
    """How far a run has come. `machine.py` says which event means what in which."""

    DELAYED = "delayed"
    """Its time has come; it waits for its share of `jitter`."""
    QUEUED = "queued"
    """It waits for one of the tree's `max_runs`."""
    ASKING = "asking"
    """`AskGate` is not answered."""
    REFUSED = "refused"
    """A gate is closed; it is told when it opens."""
    RUNNING = "running"
    """Programs of a stage run, or wait for their retry."""
    VERIFYING = "verifying"
    """`Verify` is not answered: of the present stage, or after the last one of the job."""
    STOPPING = "stopping"
    """Its programs were asked to end; `Run.ending` says as what it ends then."""
    RECOVERING = "recovering"
    """An attempt has ended and `Recover` is not answered."""
    BACKOFF = "backoff"
    """An attempt has failed, the next one waits for its time (`JobState.not_before`)."""
    OVER = "over"
    """It has ended: for whoever still looks at it."""


WAITING = frozenset({Phase.DELAYED, Phase.QUEUED, Phase.ASKING, Phase.REFUSED})
"""No program runs, and none has in this attempt."""


class Task(Struct, kw_only=True, omit_defaults=True):
    """One program: a stage's, or one instance of it."""

    name: str
    instance: str | None = None
    state: Literal["todo", "alive", "again", "done", "failed"] = "todo"
    """`again`: it failed, and is tried again at ``at``."""
    start: int = 0
    tries: int = 0
    at: float | None = None
    """Monotonic."""
    running: bool = False
    started: float | None = None
    ended: float | None = None
    exit: int | None = None
    signal: str | None = None
    timed_out: bool = False
    reason: str | None = None


class Stage(Struct, kw_only=True, omit_defaults=True):
    name: str
    state: StageState = "waiting"
    started: float | None = None
    ended: float | None = None
    reason: str | None = None
    kept: bool = False
    tasks: list[Task] = []

    @property
    def over(self) -> bool:
        """Whether the run has gone past it."""
        return self.state in ("succeeded", "failed", "timed_out")


class Run(Struct, kw_only=True, omit_defaults=True):
    job: str
    id: str
    cause: Cause
    scheduled: float | None = None
    created: float = 0.0
    phase: Phase = Phase.DELAYED
    until: float | None = None
    """While delayed: the wall clock's time to go on."""
    place: int = 0
    """While queued: who has the lower one is served first."""
    slot: bool = False
    """It counts for `max_runs`."""
    attempt: int = 0
    started: float | None = None
    since: float | None = None
    """Monotonic begin of the attempt."""
    duration: float | None = None
    deadline: float | None = None
    """Monotonic; None: none."""
    usual: float | None = None
    """Monotonic: when it has run longer than usual; None: unknown, or said."""
    stop_by: float | None = None
    """While stopping: monotonic time of the kill; None: never."""
    ending: tuple[RunState, str] | None = None
    stages: list[Stage] = []
    stage: int = 0
    exit: int | None = None
    signal: str | None = None
    outcome: str | None = None
    result: tuple[RunState, str | None] | None = None
    """How the last attempt ended."""
    reason: str | None = None
    status: str | None = None
    skipped: int = 0
    of: str | None = None
    args: tuple[str, ...] = ()
    steps: list[dict[str, Any]] = []
    unexpected: bool = False
    """Its last attempt ended as no outcome names it."""
    mended: bool = False
    """The recovery of its last attempt has run the job again, and that has succeeded."""
    overdue: bool = False
    """It was said that it is late."""

    @property
    def begun(self) -> bool:
        """Whether an attempt has begun: then it is under way, and left alone."""
        return self.started is not None

    @property
    def alive(self) -> list[Task]:
        return [task for stage in self.stages for task in stage.tasks if task.state == "alive"]


class Active:
    """A run and what it runs by: the job's specification when its attempt began."""

    __slots__ = ("run", "spec")

    def __init__(self, run: Run, spec: JobSpec) -> None:
        self.run = run
        self.spec = spec
