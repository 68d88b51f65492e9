"""The kinds that describe a Python worker: what to run, what is imported before the fork, in which interpreter.

Nothing is imported here: `check` runs no code of the user's.
"""

from __future__ import annotations

import os
from typing import Any

from supervisor_tree.config import uses
from supervisor_tree.config.kinds import FilePath, Text
from supervisor_tree.config.problems import Key, did_you_mean
from supervisor_tree.config.reading import At, Invalid, shown


class Target:
    """What a worker runs: a class or function by the name under which it is imported."""

    words = '"module:attribute"'

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        text = Text(self.words).read(value, at, key)
        if isinstance(text, Invalid) or is_target(text):
            return text
        return at.wrong(f'must be "module:attribute", as in "jarvis.daemon:Ticker", not {shown(text)}', key)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^[^:]+:[^:]+$|\$\{"}


class Used:
    """A worker that comes with the package or with a plug-in, by its name."""

    words = "a name"

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        name = Text(self.words).read(value, at, key)
        if isinstance(name, Invalid) or name in uses.BUILT_IN or name in uses.LATER:
            return name
        known = uses.known()
        if name not in known:
            names = sorted({*known, *uses.LATER})
            return at.wrong(
                f"there is no worker {shown(name)} in the package or a plug-in{did_you_mean(name, names)}; "
                f"known: {', '.join(names)}",
                key,
            )
        if not is_target(known[name]):
            return at.wrong(
                f"the plug-in {shown(name)} can't be run: its entry point is {shown(known[name])}, "
                f'which is no "module:attribute"',
                key,
            )
        return name

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


class Module:
    """A module by its full name."""

    words = "a module"

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        name = Text(self.words).read(value, at, key)
        if isinstance(name, Invalid) or _is_dotted(name):
            return name
        return at.wrong(f'must be a module, as in "pandas" or "jarvis.data", not {shown(name)}', key)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^[^\s:/-]+$|\$\{"}


class Interpreter(FilePath):
    """The path of a Python. One that is not there is only warned of: it may be made before the start."""

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        path = super().read(value, at, key)
        if isinstance(path, Invalid) or (os.path.isfile(path) and os.access(path, os.X_OK)):
            return path
        if not os.path.exists(path):
            at.warn(f"there is no {path}{_hint(value)}", key)
        else:
            at.warn(f"{path} is no program that may be run", key)
        return path


def _hint(written: str) -> str:
    """The path to write where somebody expected a search in PATH."""
    if "/" in written:
        return ""
    from shutil import which

    found = which(written)
    return f": a path is meant, write {shown(found)}" if found else ""


def is_target(text: str) -> bool:
    """Whether the text is ``module:attribute``, both with dots if need be."""
    module, colon, attribute = text.partition(":")
    return bool(colon) and _is_dotted(module) and _is_dotted(attribute)


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
