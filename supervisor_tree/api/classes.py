"""Classes that dill can't pickle by value: `Enum` and `msgspec.Struct`, which are made by metaclasses of their own."""

from __future__ import annotations

import enum
import inspect
import re
from functools import partial
from types import FunctionType
from typing import Any, TypeVar

import msgspec

from supervisor_tree.workers.life.unpacking import completed, made

_NOT_SAID = ("__dict__", "__weakref__", "__slots__", "__new__")
"""In the dictionary of a class, but made by its metaclass."""


def reduced(what: type) -> Any:
    """How `pickle` is to take a class of the program apart; `NotImplemented`: dill knows."""
    if isinstance(what, enum.EnumMeta):
        return _enum(what)
    if isinstance(what, type(msgspec.Struct)):
        return _struct(what)
    return NotImplemented


def reduced_variable(what: object) -> Any:
    """The same of a type variable of the program."""
    if not isinstance(what, TypeVar) or what.__module__ != "__main__":
        return NotImplemented
    keys: dict[str, Any] = {"bound": what.__bound__, "covariant": what.__covariant__}
    return partial(TypeVar, what.__name__, *what.__constraints__, contravariant=what.__contravariant__, **keys), ()


def _enum(what: Any) -> tuple[Any, ...]:
    members = {name: member.value for name, member in what.__members__.items()}
    # `_names_` are what the metaclass has worked out and works out again, but for the one that people write.
    own = {
        name: value
        for name, value in vars(what).items()
        if name not in members and (not re.fullmatch("_[a-z].*_", name) or name == "_missing_")
    }
    return _taken_apart(what, own | members, {"boundary": what._boundary_} if issubclass(what, enum.Flag) else {})


def _struct(what: Any) -> tuple[Any, ...]:
    own = vars(what).get("__annotations__", {})
    namespace = {
        name: value
        for name, value in vars(what).items()
        if name not in what.__struct_fields__ and not name.startswith("__struct_")
    }
    defaults = what.__struct_defaults__
    required = (msgspec.NODEFAULT,) * (len(what.__struct_fields__) - len(defaults))
    for name, encoded, default in zip(
        what.__struct_fields__, what.__struct_encode_fields__, required + defaults, strict=True
    ):
        if name in own:
            namespace[name] = _Field(encoded, default)
    config = what.__struct_config__
    options = {name: getattr(config, name) for name in dir(config) if not name.startswith("_")}
    parameters = inspect.signature(what).parameters
    options["kw_only"] = any(
        parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in own if name in parameters
    )
    return _taken_apart(what, namespace, options)


class _Field:
    """`msgspec.field`, whose result can't be pickled."""

    def __init__(self, name: str, default: Any) -> None:
        self._keys = {"name": name}
        if hasattr(default, "factory"):
            self._keys["default_factory"] = default.factory
        elif default is not msgspec.NODEFAULT:
            self._keys["default"] = default

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(msgspec.field, **self._keys), ()


def _taken_apart(what: type, namespace: dict[str, Any], options: dict[str, Any]) -> tuple[Any, ...]:
    """First the class without the methods that refer to it, then those."""
    namespace = {name: value for name, value in namespace.items() if name not in _NOT_SAID}
    namespace["__qualname__"] = what.__qualname__
    methods = {name: value for name, value in namespace.items() if _names_its_class(value)}
    rest = {name: value for name, value in namespace.items() if name not in methods}
    return made, (type(what), what.__name__, what.__bases__, rest, options), methods, None, None, completed


def _names_its_class(value: Any) -> bool:
    function = getattr(value, "__func__", value)
    return isinstance(function, FunctionType) and "__class__" in function.__code__.co_freevars
