"""An Erlang/OTP supervision tree of operating-system processes, run by one command: `supervisor-tree start`.

For programs in Python: `Supervisor`, `Child` and `Job` describe a tree; its workers are made of `Worker`, `TickWorker`
and the functions beside them. Importing this costs nothing; each name is imported when it is used.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.api import Child, ConfigError, Job, Stage, Supervisor
    from supervisor_tree.workers import (
        ArgsError,
        ShimWorker,
        TickWorker,
        Worker,
        activity,
        beat,
        ready,
        stopping,
    )

__all__ = [
    "ArgsError",
    "Child",
    "ConfigError",
    "Job",
    "ShimWorker",
    "Stage",
    "Supervisor",
    "TickWorker",
    "Worker",
    "activity",
    "beat",
    "ready",
    "stopping",
]
_API = ("Child", "ConfigError", "Job", "Stage", "Supervisor")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = import_module(f"{__name__}.{'api' if name in _API else 'workers'}")
    found = globals()[name] = getattr(home, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
