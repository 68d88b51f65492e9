"""How a worker's end is told: its exit status, and the traceback of what it raised."""

from __future__ import annotations

import importlib
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

CRASHED = 1
UNABLE = 2
"""Exit status of what can't run at all: no such target, or arguments that it does not take."""

_NOT_THEIRS = (
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep,
    importlib.__file__,
    "<frozen importlib",
)


def exit_status(returned: object) -> int:
    """What a worker returned (or gave to `sys.exit`), as its exit status.

    None is 0; a number from 0 to 255 is itself. Anything else has no meaning here: it is said, and the status is 1, so
    that a ``return False`` for a failure is not taken for a success.
    """
    if returned is None:
        return 0
    if isinstance(returned, int) and not isinstance(returned, bool) and 0 <= returned <= 255:
        return returned
    if isinstance(returned, str):
        print(returned, file=sys.stderr)  # as sys.exit("message") does
    else:
        print(f"an exit status is None or a number from 0 to 255: this one is {returned!r}", file=sys.stderr)
    return CRASHED


def show(error: BaseException) -> None:
    """The traceback to whoever has `sys.excepthook`: stderr, or what the program has put there."""
    trimmed(error)
    sys.excepthook(type(error), error, error.__traceback__)


def trimmed(error: BaseException) -> BaseException:
    """With a traceback that begins at the program's own first line: how we came there explains nothing."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_NOT_THEIRS):
        trace = trace.tb_next
    if trace is not None:
        error.__traceback__ = trace
    return error


def in_words(error: BaseException) -> str:
    """``ValueError: no such port``, in one line."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
