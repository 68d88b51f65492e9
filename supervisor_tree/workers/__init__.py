"""Workers: programs in Python that a tree runs, hears and asks; what other people's code imports.

    from supervisor_tree.workers import Worker, TickWorker, ShimWorker     # classes to derive from
    from supervisor_tree.workers import beat, activity, stopping, ready     # for plain functions, and from anywhere
    from supervisor_tree.workers import ArgsError     # to refuse arguments in one line

A tree file names one with ``run = "module:attribute"``, or one that comes with the package with ``use = NAME``; in a
terminal, ``python -m supervisor_tree.workers module:attribute '{"json": "args"}'`` runs one alone. See
docs/how-to/write-a-worker.md. Importing this costs a millisecond: the rest comes with the first worker that runs.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.workers.args import ArgsError
    from supervisor_tree.workers.functions import activity, beat, ready, stopping
    from supervisor_tree.workers.shim import ShimWorker
    from supervisor_tree.workers.tick import TickWorker
    from supervisor_tree.workers.worker import Worker

_HOMES = {
    "ArgsError": "args",
    "ShimWorker": "shim",
    "TickWorker": "tick",
    "Worker": "worker",
    "activity": "functions",
    "beat": "functions",
    "ready": "functions",
    "stopping": "functions",
}

__all__ = ["ArgsError", "ShimWorker", "TickWorker", "Worker", "activity", "beat", "ready", "stopping"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
