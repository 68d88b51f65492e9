"""From the plan to the machine: specifications, timetables, and what the tree's last life left behind."""

from __future__ import annotations

import contextlib
import os
import random
from typing import TYPE_CHECKING

import msgspec

from supervisor_tree import config
from supervisor_tree.root import files
from supervisor_tree.system import disk

if TYPE_CHECKING:
    from supervisor_tree.core.jobs.jobs import Jobs
    from supervisor_tree.core.jobs.spec import JobSpec, Timetable
    from supervisor_tree.root.shell import Shell


class _File(msgspec.Struct):
    version: int
    items: dict[str, msgspec.Raw]


def specs(plan: config.Plan) -> tuple[tuple[JobSpec, ...], dict[str, Timetable]]:
    """The jobs of a plan as the machine knows them."""
    from supervisor_tree.config import schedules

    found: list[JobSpec] = []
    timetables: dict[str, Timetable] = {}
    for name, settings in plan.jobs.items():
        spec = schedules.job_spec(settings)
        if not spec.gated and not config.is_static_job(plan, settings):
            spec = msgspec.structs.replace(spec, gated=True)
        found.append(spec)
        timetable = schedules.timetable(settings, settings.timezone)
        if timetable is not None:
            timetables[name] = timetable
    return tuple(found), timetables


def machine(plan: config.Plan, items: dict[str, bytes]) -> Jobs:
    """The machine, with what is known; empty ``items``: of nothing."""
    return _machine(plan, items, *specs(plan))


def machine_without_jobs(plan: config.Plan) -> Jobs:
    """The machine of a tree that has had no jobs so far."""
    return _machine(plan, {}, (), {})


def _machine(
    plan: config.Plan, items: dict[str, bytes], those: tuple[JobSpec, ...], timetables: dict[str, Timetable]
) -> Jobs:
    from supervisor_tree.core.jobs.jobs import Jobs

    seed = random.SystemRandom().getrandbits(31)
    return Jobs.load(items.items(), those, timetables, plan.tree.max_runs, seed)


def state_file(plan: config.Plan) -> str:
    return os.path.join(plan.state_dir, "jobs.json")


def read_state(shell: Shell) -> dict[str, bytes]:
    """`jobs.json`. One that is damaged is moved aside, and what it said is unknown: missed runs are made up for as if
    there had been none."""
    path = state_file(shell.plan)
    disk.settle(path, msgspec.json.decode)
    try:
        with open(path, "rb") as file:
            read = msgspec.json.decode(file.read(), type=_File)
        if read.version != 1:
            raise ValueError(f"version {read.version} is not known")
        items = {key: bytes(value) for key, value in read.items.items()}
        machine(shell.plan, items)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        aside: str | None = None
        with contextlib.suppress(OSError):
            aside = files.put_aside(path)
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
        shell.note("job_state_unreadable", None, file=path, error=said, moved_to=aside)
        return {}
    return items
