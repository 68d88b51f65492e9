"""What the Python API has sent instead of the name of a module: the other half of `supervisor_tree.api.packing`."""

from __future__ import annotations

import io
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def unpack(path: list[str], packed: bytes) -> Any:
    """The callable, in a ``__main__`` that holds what it uses of the program's.

    Args:
        path: where the program imports from, beyond what a fresh interpreter knows.
        packed: (the callable, the names of the program's ``__main__`` that it uses), pickled by dill.
    """
    import dill

    sys.path += [folder for folder in path if folder not in sys.path]
    main = sys.modules["__main__"]
    reader = dill.Unpickler(io.BytesIO(packed))  # noqa: S301 - what the tree's own program has pickled
    # What dill takes for the program is what was there when it was imported: maybe the zygote's.
    reader._main = main
    found, names = reader.load()
    vars(main).update(names)
    return found


def made(
    metaclass: Any, name: str, bases: tuple[type, ...], namespace: dict[str, Any], options: dict[str, Any]
) -> type:
    """A class that can't be made by a plain call: its metaclass wants the names in its own mapping, in their order."""
    prepared = metaclass.__prepare__(name, bases, **options)
    for key, value in namespace.items():
        prepared[key] = value
    new: type = metaclass(name, bases, prepared, **options)
    return new


def completed(made_: type, methods: dict[str, Any]) -> None:
    """Give a class the methods that name it (by `super()`), now that there is one."""
    for key, value in methods.items():
        setattr(made_, key, value)
