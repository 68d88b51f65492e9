"""Who says that a worker is ready."""

from __future__ import annotations

from supervisor_tree.config.settings import WorkerSettings

TOLD = frozenset({"heartbeat", "notify"})
"""The kinds of probes that are not asked: the worker says it by itself."""


def told_by(settings: WorkerSettings) -> frozenset[str]:
    """Which of `TOLD`, and `probes` for all that is asked, have to say that this worker is ready; empty: it is ready
    once it is started.

    A Python worker says it by heartbeat when nothing else is set: a `Worker` after its `setup`, a function when it is
    entered (configuration.md rule 20).
    """
    told = frozenset(probe.kind if probe.kind in TOLD else "probes" for probe in settings.ready)
    if not told and settings.is_python:
        return frozenset({"heartbeat"})
    return told
