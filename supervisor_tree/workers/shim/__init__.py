"""`ShimWorker`: a foreign command as a worker that beats, for as long as what is watched of the command holds.

``use = "shim"`` in the tree file. Standard library only, so that it runs in any interpreter.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.workers.shim.worker import ShimWorker

__all__ = ["ShimWorker"]


def __getattr__(name: str) -> Any:
    if name == "ShimWorker":
        from supervisor_tree.workers.shim.worker import ShimWorker

        return ShimWorker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
