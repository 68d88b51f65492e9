"""From ``module:attribute``, or from bytes pickled by dill, to the thing that it names."""

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class TargetError(Exception):
    """There is no such worker. The message is one line that says the mend."""


def find(target: str | None, code: bytes | None) -> Any:
    """What is to be run.

    Raises:
        TargetError: it is not there, or can't be read in this interpreter.
        Exception: whatever the module raises while it is imported.
    """
    if code is not None:
        return _unpickled(code)
    module_name, _, attribute = (target or "").partition(":")
    if not module_name or not attribute:
        raise TargetError(f'{target!r} names no worker: write "module:attribute", as in "app.feed:Feed"')
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise TargetError(
            f"{target}: there is no module {error.name} in {sys.path[0] or '.'} or among what is installed for"
            f" {sys.executable}: set cwd or PYTHONPATH"
        ) from None
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise TargetError(f"{target}: {found.__name__} has no {part}{_nearest(part, found)}") from None
    return found


def _unpickled(code: bytes) -> Any:
    try:
        import dill
    except ModuleNotFoundError:
        raise TargetError(
            f"a function from the Python API needs dill, which {sys.executable} has not: install it there"
        ) from None
    try:
        return dill.loads(code)  # noqa: S301 - from the program that runs the tree
    except ModuleNotFoundError as error:
        raise TargetError(f"the function needs the module {error.name}, which {sys.executable} has not") from None


def _nearest(part: str, holder: object) -> str:
    import difflib

    near = difflib.get_close_matches(part, dir(holder), 1)
    return f"; did you mean {near[0]}?" if near else ""
