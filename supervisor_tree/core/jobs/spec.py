"""What a job is to be: plain data, written down with each run, and the two things that only the shell can give."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from supervisor_tree.core.spec import Backoff

Overlap = Literal["skip", "queue", "kill"]
CatchUp = Literal["none", "last", "all"]


class Now(NamedTuple):
    """One instant on two clocks, in seconds. Only `mono` never falls; it stands while the machine sleeps."""

    mono: float
    wall: float


class Timetable(Protocol):
    """When a job is due (cron, `at`): instants of the wall clock, the same whenever they are asked for."""

    def next_after(self, wall: float) -> float | None:
        """The first instant later than ``wall``, never ``wall`` itself; None: there is none."""


class StageSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a run. A job without stages is one of name ``""``."""

    name: str = ""
    critical: bool = True
    timeout: float | None = None
    retries: int = 0
    backoff: Backoff = Backoff()
    verify: bool = False
    """Whether `Verify` is asked when its programs have succeeded."""
    instances: tuple[str, ...] | None = None
    at_least: int | None = None
    """So many instances must succeed; None: all."""
    parallel: int = 1


class JobSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job. Durations in seconds."""

    name: str
    stages: tuple[StageSpec, ...] = (StageSpec(),)
    schedule: str = ""
    """When it is due, in words that differ where the instants differ (`15 9 * * mon-fri (America/New_York, XNYS)`).
    Empty: by hand only. Its instants come from the job's `Timetable`, or from ``every``."""
    every: float | None = None
    timeout: float | None = None
    """Of one attempt."""
    overlap: Overlap = "skip"
    catch_up: CatchUp = "last"
    missed_after: float | None = None
    alert_after: int = 1
    retries: int = 0
    backoff: Backoff = Backoff()
    jitter: float = 0.0
    run_at_start: bool = False
    gated: bool = False
    """Whether `AskGate` is asked before a run (it has `needs` or `require`)."""
    verify: bool = False
    recovers: bool = False
    """Whether `Recover` is asked after a failed attempt, and a success that ``outcome`` names."""
    autostart: bool = True
    shutdown: float | None = 5.0
    """Seconds from TERM to KILL when a run is cancelled; None: never killed."""
    outcome: dict[str, str] = {}
    """Names of results: keys `0`-`255`, `SIGNAME`, `timeout`, `other`."""

    @property
    def staged(self) -> bool:
        """Whether it has stages that people have named."""
        return bool(self.stages[0].name)


def program_name(job: str, stage: str, instance: str | None) -> str:
    """What a program of a run is called: ``JOB``, ``JOB:STAGE``, ``JOB:STAGE@INSTANCE``."""
    name = f"{job}:{stage}" if stage else job
    return name if instance is None else f"{name}@{instance}"
