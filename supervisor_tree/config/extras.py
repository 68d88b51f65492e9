"""Libraries that only some settings need: optional extras of the package."""

from __future__ import annotations

from supervisor_tree.config.reading import At


def check_library(library: str, extra: str, key: str, at: At) -> None:
    """A setting whose library is not installed is wrong: to leave it out silently would be worse."""
    from importlib.util import find_spec

    if find_spec(library) is None:
        at.wrong(f"needs the library {library}: python -m pip install 'supervisor-tree[{extra}]'", key)
