"""What the language has and this version does not run: accepted, checked, and said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_tree.config import uses
from supervisor_tree.config.readiness import TOLD
from supervisor_tree.config.settings import WorkerSettings

if TYPE_CHECKING:
    from supervisor_tree.config.loading import Loader

_WORKER_KEYS = {
    "require": "`require` is not asked before a start",
    "recover": "recovery rules are not run",
}
_TABLES = {
    "jobs": "jobs are not run",
    "recover": "recovery rules are not run",
    "activity": "activity is not watched",
    "retention": "old files are not removed",
    "checks": "there is no `doctor` that asks them",
    "store": "the journal has no SQL view",
    "alerts": "alerts are not sent",
}


def note_worker(loader: Loader, table: str, settings: WorkerSettings) -> None:
    """Note what of a worker is not run; the worker itself is, where it can be."""
    for key, probes in (("ready", settings.ready), ("health", settings.health)):
        kinds = dict.fromkeys(probe.kind for probe in probes if probe.kind not in TOLD)
        if kinds:
            message = f"`{'`, `'.join(kinds)}` is not asked in `{key}`, and counts as passed"
            loader.later.append((_place(loader, table, key), message))
    for probe in settings.health:
        if probe.kind in TOLD and probe.then != "restart":
            message = f'`then = "{probe.then}"` is not heeded: who is silent for longer is restarted'
            loader.later.append((_place(loader, table, "health"), message))
    for key, message in _WORKER_KEYS.items():
        if getattr(settings, key):
            loader.later.append((_place(loader, table, key), message))
    if settings.use in uses.LATER:
        loader.later.append((("workers", table, "use"), f'"{settings.use}" is not run: this worker stays held'))
        loader.unknown_uses[settings.name] = f'not yet: use = "{settings.use}" is not run by this version'


def _place(loader: Loader, table: str, key: str) -> tuple[str, ...]:
    """Where the key is written: in the worker's table or among the defaults."""
    return ("workers", table, key) if key in loader.data["workers"][table] else ("defaults", key)


def note_tables(loader: Loader) -> None:
    """Note the tables that are not run."""
    for key, message in _TABLES.items():
        table = loader.table(key) if isinstance(loader.data.get(key), dict) else {}
        names = list(table) if key not in ("store", "alerts") else []
        if names:
            loader.later += [((key, name), message) for name in names if name not in loader.disabled]
        elif table:
            loader.later.append(((key,), message))
    if loader.tree.keep_awake:
        loader.later.append((("tree", "keep_awake"), "the machine is not kept awake"))
