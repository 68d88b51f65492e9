"""A callable of the user's program, sent to a worker: by its name where a worker can import it, else by value.

Workers are forked from a zygote, which has not run the program: its ``__main__`` is not there. What a callable of
``__main__`` uses (other functions, classes, values, the names in its annotations) goes with it, so that the program
needs no guard and none of it is run again. dill does the pickling.
"""

from __future__ import annotations

import base64
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import dill

from supervisor_tree.api import classes
from supervisor_tree.workers.life.unpacking import unpack

MOST = 4 * 1024 * 1024
"""Bytes of a packed callable: keeper and root keep it for as long as the tree lives."""


class CannotSend(Exception):
    """The callable can't be sent to a worker; the message says why and the mend."""


def shown(target: object) -> str:
    """How the callable is called where it is shown, in the form of ``module:attribute``."""
    module = getattr(target, "__module__", None) or "__main__"
    name = getattr(target, "__qualname__", None) or type(target).__qualname__
    plain = re.sub(r"[^\w.]", "_", name.replace("<locals>.", ""))
    return f"{re.sub(r'[^A-Za-z0-9_.]', '_', module)}:{plain}"


def by_name(target: Callable[..., object]) -> str:
    """``module:attribute``, for an interpreter that nothing can be sent to.

    Raises:
        CannotSend: it has no such name.
    """
    module = getattr(target, "__module__", None)
    if module is None or not _is_at(target, module):
        raise CannotSend('another interpreter (`python`) can only be told a name: write run="module:attribute"')
    return f"{module}:{target.__qualname__}"


def importable(target: Callable[..., object], known: list[str]) -> str | None:
    """``module:attribute`` if a fresh interpreter that imports from ``known`` finds just this object there.

    Raises:
        CannotSend: its module is in no folder that anything is imported from.
    """
    module = getattr(target, "__module__", None)
    if not isinstance(module, str) or module == "__main__" or module not in sys.modules:
        return None
    folder = _folder(module)
    if folder is None:
        raise CannotSend(f"its module {module} can't be imported by a worker: no folder of sys.path has it")
    found = folder in known or folder not in _paths()
    return f"{module}:{target.__qualname__}" if found and _is_at(target, module) else None


def _folder(module: str) -> str | None:
    """Where the module is imported from: a folder, ``""`` for what is built in; None: it can't be imported again."""
    top = module.partition(".")[0]
    there = sys.modules.get(top)
    mine = [*getattr(there, "__path__", ()), getattr(there, "__file__", None)]
    for finder in sys.meta_path:
        spec = finder.find_spec(top, None)
        if spec is not None:
            place = next(iter(spec.submodule_search_locations or ()), spec.origin if spec.has_location else None)
            if place is None:
                return ""
            return os.path.dirname(os.path.abspath(place)) if place in mine else None
    return None


def pack(target: Callable[..., object], known: list[str]) -> str:
    """The callable by value, base64.

    Args:
        known: folders that a worker imports from anyway.

    Raises:
        CannotSend: it, or something it uses, can't be.
    """
    main = vars(sys.modules["__main__"])
    names: dict[str, Any] = {}
    while True:
        pickler = _Pickler(main)
        packed = pickler.packed(target, names)
        # Which of the program's names they use is known only once they have been pickled.
        more = {name: main[name] for name in pickler.wanted if name in main and name not in names}
        if not more:
            break
        names |= more
    sent = dill.dumps(_Packed([folder for folder in _paths() if folder not in known], packed))
    if len(sent) > MOST:
        raise CannotSend(f"it and what it uses are {len(sent) / 1e6:.0f} MB: have the worker load its data by itself")
    return base64.b64encode(sent).decode()


class _Packed:
    """What a worker unpickles without knowing of any of this."""

    def __init__(self, path: list[str], packed: bytes) -> None:
        self._parts = path, packed

    def __reduce__(self) -> tuple[Any, ...]:
        return unpack, self._parts


class _Pickler(dill.Pickler):  # type: ignore[misc]
    """dill's, which notes the names that are looked up in ``__main__``."""

    def __init__(self, main: dict[str, Any]) -> None:
        self._out = io.BytesIO()
        self._program = main
        self.wanted: set[str] = set()
        super().__init__(self._out)

    def packed(self, target: object, names: dict[str, Any]) -> bytes:
        """
        Raises:
            CannotSend: one of them can't be pickled.
        """
        try:
            self.save_quietly((target, names))
        except CannotSend:
            raise
        except Exception as error:
            raise CannotSend(_why(error, names)) from error
        return self._out.getvalue()

    def save_quietly(self, what: object) -> None:
        """Pickle it; what dill only warns of, as it may fail when it is read, is an error."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", dill.PicklingWarning)
            self.dump(what)

    def reducer_override(self, what: Any) -> Any:
        """How to take one object apart; asked by `pickle` before dill is."""
        if isinstance(what, FunctionType):
            if what.__globals__ is self._program:
                self.wanted.update(_names(what.__code__))
                self._note_annotations(what.__annotations__)
        elif isinstance(what, type):
            if not _is_at(what, what.__module__):
                self._note_annotations(vars(what).get("__annotations__"))
                return classes.reduced(what)
        elif what is sys.modules["__main__"]:
            raise CannotSend("it uses the module __main__ as a whole: name what it needs of it")
        elif not isinstance(what, ModuleType):
            return classes.reduced_variable(what)
        return NotImplemented

    def _note_annotations(self, annotations: object) -> None:
        """Annotations that are text are evaluated in the worker, when something looks at them."""
        for annotation in annotations.values() if isinstance(annotations, dict) else ():
            if isinstance(annotation, str):
                try:
                    self.wanted.update(_names(compile(annotation, "", "eval")))
                except SyntaxError:
                    continue


def _names(code: CodeType) -> Iterator[str]:
    """The names that code may look up in its globals, with the code inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_at(what: Any, module: str) -> bool:
    """Whether the module has this very object under its own name."""
    if module == "__main__":
        return False
    found: Any = sys.modules.get(module)
    for part in getattr(what, "__qualname__", "<none>").split("."):
        found = getattr(found, part, None)
    return found is what or (isinstance(what, MethodType) and found == what)


def _why(error: Exception, names: dict[str, Any]) -> str:
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    for name, value in names.items():
        try:
            _Pickler({}).save_quietly(value)
        except Exception:
            return f"it uses {name}, which can't be sent to a worker ({said}): make that in the worker"
    return f"it can't be sent to a worker ({said}): put it into a module, and what it needs into its arguments"


def _paths() -> list[str]:
    return [os.path.abspath(folder) for folder in sys.path if folder]
