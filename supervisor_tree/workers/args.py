"""From the `args` of a tree file to what a worker works with: checked against what its author has written down.

A class says it by the annotation of its attribute ``args``, a function by those of its parameters. msgspec does the
checking, and is imported only where there is something to check that a look at the type does not settle: an
interpreter of the user's own need not have it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any


class ArgsError(ValueError):
    """The arguments can't be used.

    The message is one line that begins with the argument's name: ``args.port: must be free``. A worker that raises it
    in its `setup` ends like one whose arguments are of the wrong type: with this line on stderr, no traceback, and exit
    status 2.
    """


def of_class(worker: type, args: dict[str, Any]) -> Any:
    """What the attribute ``args`` of ``worker`` is to be: of the type that its annotation names, else the dict itself.

    Raises:
        ArgsError: they are not of that type, or it can't be told.
    """
    import inspect

    for owner in worker.__mro__:
        if owner.__module__ == "supervisor_tree.workers.worker":
            break  # `Worker` itself: whatever there is
        try:
            annotations = inspect.get_annotations(owner)
        except NameError as error:
            raise _unresolved(f"{owner.__qualname__}.args", error) from None
        if "args" in annotations:
            return checked(args, _resolved(owner, annotations["args"]), "args")
    return args


def of_function(function: Callable[..., Any], args: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments to call ``function`` with.

    Raises:
        ArgsError: one is missing, unknown, or not of the type that its parameter is annotated with.
    """
    import inspect

    parameters = inspect.signature(function).parameters
    hints = _hints(function)
    named: dict[str, inspect.Parameter] = {}
    rest: inspect.Parameter | None = None
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            named[name] = parameter
        elif parameter.kind is parameter.VAR_KEYWORD:
            rest = parameter
        elif parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is parameter.empty:
            raise ArgsError(f"args.{name}: can't be given, because args go by name and this parameter does not")
    for name, parameter in named.items():
        if name not in args and parameter.default is parameter.empty:
            raise ArgsError(f"args.{name}: is needed, and not given")
    taken = {}
    for name, value in args.items():
        if name not in named and rest is None:
            raise ArgsError(_unknown(f"args.{name}", name, named))
        taken[name] = checked(value, hints.get(name if name in named or rest is None else rest.name), f"args.{name}")
    return taken


def checked(value: Any, hint: Any, path: str) -> Any:
    """``value`` as a ``hint``, which is any type that msgspec knows, a `pathlib.Path`, or None for whatever there is.

    A text is taken for the number, or the true or false, that it writes where one of these is wanted: what a ``${VAR}``
    of the tree file stands for is always a text.

    Args:
        path: what to call it in a message: ``args.port``.

    Raises:
        ArgsError: it is none.
    """
    import typing

    if hint is None or hint is typing.Any or hint is object:
        return value
    plain = _plain_types(hint)
    if plain is None:
        return _converted(value, hint, path)
    for kind in plain:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
    if type(value) is str:
        for kind in plain:
            if (written := _written(value, kind)) is not None:
                return written
    raise ArgsError(f"{path}: Expected `{' | '.join(map(_in_json, plain))}`, got `{_in_json(type(value))}`")


_JSON = {dict: "object", list: "array", type(None): "null"}
"""As msgspec calls them: a message is the same whoever writes it."""


def _in_json(kind: type) -> str:
    return _JSON.get(kind, kind.__name__)


def _written(text: str, kind: type) -> bool | float | None:
    """The value of this kind that a text writes; None: it writes none."""
    if kind is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    if kind is int or kind is float:
        try:
            return kind(text)
        except ValueError:
            return None
    return None


def _plain_types(hint: Any) -> list[type] | None:
    """The types that ``hint`` is a choice of, where looking at a value's type says whether it is one of them."""
    import types
    import typing

    choice = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds: list[type] = []
    for kind in typing.get_args(hint) if choice else (hint,):
        if typing.get_origin(kind) is dict and typing.get_args(kind) in ((str, typing.Any), (str, object)):
            kind = dict
        if kind not in (int, float, str, bool, list, dict, type(None)):
            return None
        kinds.append(kind)
    return kinds


def _converted(value: Any, hint: Any, path: str) -> Any:
    try:
        import msgspec
    except ModuleNotFoundError:
        raise ArgsError(
            f"{path}: needs msgspec to be checked, and {sys.executable} has none: install it there"
            f" ({sys.executable} -m pip install msgspec), or annotate with plain types (dict, int, str, …)"
        ) from None
    try:
        _no_unknown_keys(value, msgspec.inspect.type_info(hint), path)
        return msgspec.convert(value, hint, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ArgsError(_in_words(str(error), path)) from None
    except (TypeError, NotImplementedError) as error:
        raise ArgsError(f"{path}: {hint!r} is no type that arguments can be checked against: {error}") from None


def _path(kind: type, value: Any) -> Any:
    import pathlib

    if not issubclass(kind, pathlib.PurePath):
        raise NotImplementedError(f"nothing is known of {kind.__qualname__}")
    if not isinstance(value, str):
        raise ValueError(f"Expected a path, got `{_in_json(type(value))}`")  # noqa: TRY004, msgspec adds the place
    return kind(value)


def _in_words(message: str, path: str) -> str:
    """msgspec's ``Expected `int`, got `str` - at `$.port` `` with the place first."""
    said, _, place = message.partition(" - at ")
    where = place.strip("`").removeprefix("key in `").replace("$", path, 1) if place else path
    needed = said.removeprefix("Object missing required field `")
    if needed != said:
        return f"{where}.{needed.rstrip('`')}: is needed, and not given"
    return f"{where}: {said}"


def _no_unknown_keys(value: Any, info: Any, path: str) -> None:
    """msgspec lets them pass unless told otherwise: a misspelt option would be one that was never given.

    Raises:
        ArgsError: ``value`` has one, at whatever depth.
    """
    kinds = getattr(info, "types", (info,))
    objects = [kind for kind in kinds if hasattr(kind, "fields")]
    if isinstance(value, dict) and len(objects) == 1:
        fields = {field.encode_name: field.type for field in objects[0].fields}
        tag = getattr(objects[0], "tag_field", None)
        for key, item in value.items():
            if key in fields:
                _no_unknown_keys(item, fields[key], f"{path}.{key}")
            elif key != tag:
                raise ArgsError(_unknown(f"{path}.{key}", key, fields))
    for kind in kinds:
        if isinstance(value, dict) and hasattr(kind, "value_type"):
            for key, item in value.items():
                _no_unknown_keys(item, kind.value_type, f"{path}.{key}")
        elif isinstance(value, list) and hasattr(kind, "item_type"):
            for number, item in enumerate(value):
                _no_unknown_keys(item, kind.item_type, f"{path}[{number}]")


def _unknown(path: str, key: str, known: Iterable[str]) -> str:
    import difflib

    names = list(known)
    near = difflib.get_close_matches(key, names, 1)
    if near:
        return f"{path}: unknown; did you mean {near[0]}?"
    return f"{path}: unknown; there {'are ' + ', '.join(names) if names else 'are none'}"


def _resolved(owner: type, annotation: Any) -> Any:
    """The type that an annotation names, where it is a text."""
    import typing

    holder = type(owner.__name__, (), {"__annotations__": {"args": annotation}, "__module__": owner.__module__})
    try:
        return typing.get_type_hints(holder, localns=dict(vars(owner)), include_extras=True)["args"]
    except NameError as error:
        raise _unresolved(f"{owner.__qualname__}.args", error) from None


def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    import functools
    import inspect
    import typing

    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise _unresolved(f"{function.__qualname__}()", error) from None


def _unresolved(where: str, error: NameError) -> ArgsError:
    return ArgsError(f"args: the annotations of {where} can't be read: {error}. Import it for more than type checkers")
