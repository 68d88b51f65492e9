"""Where a configuration is found and where its tree keeps things when the file does not say."""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec import Struct

from supervisor_tree.config.problems import ConfigError, Problem


class Found(Struct, frozen=True):
    """The files of a configuration; ``example``: they are the example tree's, and nobody named them."""

    files: tuple[str, ...]
    example: bool = False


def example_file() -> str:
    """The tree file of the example that comes with the package."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "examples", "example", "tree.toml")


def find(environ: Mapping[str, str], *, example: bool = False) -> Found:
    """The configuration that is meant when nobody names one: ``$SUPERVISOR_TREE_CONFIG`` (several are separated as in
    ``$PATH``), ``./tree.toml``, or, where ``example`` allows it, the example tree. Raises `ConfigError` for none."""
    named = environ.get("SUPERVISOR_TREE_CONFIG")
    if named:
        return Found(tuple(file for file in named.split(os.pathsep) if file))
    if os.path.exists("tree.toml"):
        return Found(("tree.toml",))
    if example:
        return Found((example_file(),), example=True)
    raise ConfigError(
        [
            Problem(
                "tree.toml",
                1,
                "",
                "there is no such file here: name one with -c, or write one with `supervisor-tree init`",
            )
        ]
    )
