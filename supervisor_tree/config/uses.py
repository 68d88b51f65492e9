"""What `use = NAME` means: the workers that come with the package, and those of plug-ins.

A plug-in is an entry point of the group ``supervisor_tree.workers`` whose value is ``module:attribute``, in the
interpreter that runs the tree; the interpreter that runs the worker must be able to import it.
"""

from __future__ import annotations

from functools import lru_cache

BUILT_IN = {"shim": "supervisor_tree.workers.shim:ShimWorker"}
"""Name → what is run."""
LATER = ("chrome-cdp",)
"""Names that the language has and this version does not run."""
GROUP = "supervisor_tree.workers"


@lru_cache(maxsize=1)
def known() -> dict[str, str]:
    """Every name with what it runs. The plug-ins' metadata is looked through once, until `forget`."""
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=GROUP)} | BUILT_IN


def target(name: str) -> str | None:
    """``module:attribute`` of a name; None for one that is not there (any more)."""
    return BUILT_IN.get(name) or known().get(name)


def forget() -> None:
    """Look for plug-ins anew from now on."""
    known.cache_clear()
