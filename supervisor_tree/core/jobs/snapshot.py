"""The state written down: one record for each job and run, so that a commit costs what changed.

Keys: `head`, `job/NAME`, `last/NAME` (the last run that ended), `run/JOB/RUN`, `work/JOB/RUN` (the specification that a
run goes by), `request/ID`. Values: JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.core.jobs.job import Job, JobState
from supervisor_tree.core.jobs.records import RunRecord
from supervisor_tree.core.jobs.run import Active, Run
from supervisor_tree.core.jobs.spec import JobSpec, Timetable

if TYPE_CHECKING:
    from supervisor_tree.core.jobs.jobs import Jobs


class Head(msgspec.Struct, omit_defaults=True):
    """What belongs to no single job."""

    seed: int = 0
    max_runs: int = 4
    begun: bool = False
    """`TreeStarted` was told."""
    ending: bool = False
    offset: float = 0.0
    """Wall clock less monotonic clock: a step of it is a step of the wall clock, or the machine slept."""
    number: int = 0
    """Of the last run, of whatever job: no two runs of a tree have one id."""
    place: int = 0
    """Of the last run that was put into the queue."""


class Pending(msgspec.Struct, omit_defaults=True):
    """A request that is not answered yet."""

    open: list[str] = []
    """Jobs whose run is still to end."""
    results: list[dict[str, Any]] = []


_encode = msgspec.json.Encoder().encode
_head = msgspec.json.Decoder(Head).decode
_state = msgspec.json.Decoder(JobState).decode
_run = msgspec.json.Decoder(Run).decode
_spec = msgspec.json.Decoder(JobSpec).decode
_record = msgspec.json.Decoder(RunRecord).decode
_pending = msgspec.json.Decoder(Pending).decode


def _active(jobs: Jobs, rest: str) -> Active | None:
    name, _, run = rest.partition("/")
    job = jobs.jobs.get(name)
    if job is not None:
        for active in (job.active, job.rerun):
            if active is not None and active.run.id == run:
                return active
    return None


def dump(jobs: Jobs, key: str) -> bytes | None:
    """The present value of ``key``, or None when there is none."""
    kind, _, rest = key.partition("/")
    if kind == "head":
        return _encode(jobs.head)
    if kind == "request":
        pending = jobs.requests.get(rest)
        return None if pending is None else _encode(pending)
    if kind in ("run", "work"):
        active = _active(jobs, rest)
        if active is None:
            return None
        return _encode(active.run if kind == "run" else active.spec)
    job = jobs.jobs.get(rest)
    if job is None:
        return None
    if kind == "last":
        return None if job.last is None else _encode(job.last)
    return _encode(job.state)


def whole(jobs: Jobs) -> dict[str, bytes]:
    keys = ["head", *(f"request/{request}" for request in jobs.requests)]
    for name, job in jobs.jobs.items():
        keys += [f"job/{name}", f"last/{name}"]
        for active in (job.active, job.rerun):
            if active is not None:
                keys += [f"run/{name}/{active.run.id}", f"work/{name}/{active.run.id}"]
    return {key: value for key in keys if (value := dump(jobs, key)) is not None}


def load(
    jobs: Jobs, items: dict[str, bytes], specs: Mapping[str, JobSpec], timetables: Mapping[str, Timetable]
) -> None:
    """Make ``jobs``, which is blank, the jobs that were written down."""
    max_runs = jobs.head.max_runs
    if "head" in items:
        jobs.head = _head(items["head"])
        jobs.head.max_runs = max_runs
    states: dict[str, JobState] = {}
    works: dict[str, JobSpec] = {}
    for key, value in items.items():
        kind, _, rest = key.partition("/")
        if kind == "job":
            states[rest] = _state(value)
        elif kind == "work":
            works[rest] = _spec(value)
        elif kind == "request":
            jobs.requests[rest] = _pending(value)
    for name, spec in specs.items():
        jobs.jobs[name] = Job(spec, timetables.get(name), states.get(name) or JobState())
        if name not in states:
            jobs.touch("job/" + name)
    for key, value in items.items():
        kind, _, rest = key.partition("/")
        if kind == "run":
            run = _run(value)
            spec = works.get(rest) or specs.get(run.job) or JobSpec(name=run.job)
            job = jobs.jobs.get(run.job)
            if job is None:
                # Its job was taken out of the tree file: the run is left alone and ends it.
                state = states.get(run.job) or JobState()
                state.leaving = True
                job = jobs.jobs[run.job] = Job(msgspec.structs.replace(spec, schedule="", every=None), None, state)
            active = Active(run, spec)
            if run.cause == "rerun":
                job.rerun = active
            else:
                job.active = active
            jobs.under_way += 1
            jobs.slots += run.slot
    for name, job in jobs.jobs.items():
        if "last/" + name in items:
            job.last = _record(items["last/" + name])
    for name in states:
        if name not in jobs.jobs:
            jobs.touch("job/" + name)
            jobs.touch("last/" + name)
    jobs.restore_queue()
