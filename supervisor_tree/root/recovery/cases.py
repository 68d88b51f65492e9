"""One case: what befell a job or worker, and how far the rules that are for it have been gone through."""

from __future__ import annotations

from msgspec import Struct

from supervisor_tree.core.recovery.outcomes import Result
from supervisor_tree.core.recovery.progress import Recovery
from supervisor_tree.root.outputs.runs import RunOutput


class Case(Struct, kw_only=True, omit_defaults=True):
    """The state of a case: a root that takes over goes on with it."""

    id: str
    """Of an attempt of a run: `JOB/RUN/ATTEMPT`."""
    about: str
    at: float
    """When it came up, wall clock."""
    rules: list[tuple[str, str]]
    """The rules that are to be answered, in order, and why each fires."""
    matched: dict[str, tuple[str, ...]] = {}
    """By rule: what has matched, where that is known already."""
    result: Result | None = None
    """How the run or the worker ended; None: it was not an end."""
    outcome: str | None = None
    run: str | None = None
    """Of a job."""
    attempt: int = 0
    output: RunOutput | None = None
    lines: list[str] = []
    """Of a worker: its last lines."""
    recovery: Recovery | None = None
    """The recovery under way: by the first of ``rules``."""
    steps: list[dict[str, object]] = []
    """What was done by now."""
    over: bool = False
    """All is done; kept until the job has heard of it."""
