"""What the language has and this version does not run: accepted, checked, and said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_tree.config import uses
from supervisor_tree.config.settings import WorkerSettings

if TYPE_CHECKING:
    from supervisor_tree.config.job_settings import JobSettings
    from supervisor_tree.config.loading import Loader

_JOB_KEYS = {
    "wake": "nothing wakes the machine",
}
_TABLES = {
    "checks": "there is no `doctor` that asks them",
}


def note_worker(loader: Loader, table: str, settings: WorkerSettings) -> None:
    """Note what of a worker is not run; the worker itself is, where it can be."""
    if settings.use in uses.LATER:
        loader.later.append((("workers", table, "use"), f'"{settings.use}" is not run: this worker stays held'))
        loader.unknown_uses[settings.name] = f'not yet: use = "{settings.use}" is not run by this version'


def note_job(loader: Loader, table: str, settings: JobSettings) -> None:
    """Note what of a job is not run; its runs are, where they can be."""
    written = loader.data["jobs"][table]
    loader.later += [(("jobs", table, key), message) for key, message in _JOB_KEYS.items() if written.get(key)]
    for used in (settings.use, *(stage.use for stage in settings.stages)):
        if used in uses.LATER:
            loader.later.append((("jobs", table), f'use = "{used}" is not run: such a run fails'))


def note_tables(loader: Loader) -> None:
    """Note the tables that are not run."""
    for key, message in _TABLES.items():
        table = loader.table(key) if isinstance(loader.data.get(key), dict) else {}
        names = list(table) if key not in ("store", "alerts") else []
        if names:
            loader.later += [((key, name), message) for name in names if name not in loader.disabled]
        elif table:
            loader.later.append(((key,), message))
