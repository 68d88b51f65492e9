"""The harness: what lives around one worker, in its process, from its first line to its exit status.

Who starts the process (a zygote's fork, or `python -m supervisor_tree.workers` in a terminal) calls `live`. It reads
who it is from the environment (`SUPERVISOR_TREE_NAME`, `_INCARNATION`, `_ENDPOINT`, `_TOKEN`); where there is no tree,
it speaks to nobody and all else is the same. Importing this costs nothing: a zygote imports `warm`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def live(target: str | None, code: bytes | None, args: dict[str, Any]) -> int:
    """Find the worker, check its arguments, run it to its end, return its exit status.

    Args:
        target: ``module:attribute``: a class made from `Worker`, or a function.
        code: instead of it, the same thing pickled by dill.
        args: as the tree file has them; plain values only.

    Returns:
        0: it ended as asked, or by itself without a failure. What it returned, where that is a number. 1: it raised;
        the traceback is on stderr. 2: it can't run at all; stderr has one line that says the mend.

    Blocks until then. Takes SIGTERM and SIGINT, and so needs the main thread. Raises nothing.
    """
    from supervisor_tree.workers.life import living

    return living.run(target, code, args)
