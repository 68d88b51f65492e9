"""Calls that Python has no name for, by way of the C library.

`_ctypes` is used directly: importing `ctypes` costs every process of the tree 2 ms and 0.6 MB for
types that a few integer calls do not need.
"""

from __future__ import annotations

import _ctypes
import os


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Int


_library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
_functions: dict[str, _Function] = {}


def call(name: str, *arguments: int | bytes | None) -> int:
    """Call ``name`` with integers (32 bit) and byte strings; its result is an int.

    Raises:
        OSError: it returned -1, with the errno.
    """
    function = _functions.get(name)
    if function is None:
        function = _functions[name] = _Function(_ctypes.dlsym(_library, name))
    result = int(function(*arguments))
    if result == -1:
        number = _ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
