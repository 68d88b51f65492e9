"""What the language has and this version does not run: accepted, checked, and said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_tree.config.settings import WorkerSettings

if TYPE_CHECKING:
    from supervisor_tree.config.loading import Loader

_WORKER_KEYS = {
    "require": "`require` is not asked before a start",
    "health": "`health` is not asked: the worker counts as healthy while it runs",
    "recover": "recovery rules are not run",
    "memory_max": "limits on memory are not watched",
    "cpu_max": "limits on CPU are not watched",
    "max_age": "planned restarts are not made",
    "watch": "planned restarts are not made",
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

PYTHON = "not yet: Python workers (`run`, `use`) are not run by this version"


def note_worker(loader: Loader, table: str, settings: WorkerSettings) -> None:
    """Note what of a worker is not run; the worker itself is, where it can be."""
    if settings.ready and not only_notify(settings):
        loader.later.append(
            (
                ("workers", table, "ready"),
                "`ready` is not asked but for `notify`: the worker counts as ready once it is started",
            )
        )
    for key, message in _WORKER_KEYS.items():
        if getattr(settings, key):
            path: tuple[str, ...] = ("workers", table, key)
            if key not in loader.data["workers"][table]:
                path = ("defaults", key)
            loader.later.append((path, message))
    if settings.run is not None or settings.use is not None:
        key = "run" if settings.run is not None else "use"
        loader.later.append((("workers", table, key), "Python workers (`run`, `use`) are not run: this one stays held"))
        loader.python.append(settings.name)


def only_notify(settings: WorkerSettings) -> bool:
    """Whether all that makes the worker ready is READY=1, which this version hears."""
    return bool(settings.ready) and all(probe.notify is not None for probe in settings.ready)


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
