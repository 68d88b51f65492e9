"""The one place where a command's failure becomes words and an exit status."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

DONE, FAILED, USAGE, NOT_RUNNING, NO_SUCH_NAME, TIMED_OUT = 0, 1, 2, 3, 4, 124

_STATUS = {
    "usage": USAGE,
    "config": USAGE,
    "not_running": NOT_RUNNING,
    "no_such_name": NO_SUCH_NAME,
    "timeout": TIMED_OUT,
}


class CommandError(Exception):
    """A command ends here: ``code`` for machines, ``mend`` says what to do, ``status`` is the exit status.

    A code that has no status of its own is a failure (1).
    """

    def __init__(self, code: str, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.mend = mend
        self.status = _STATUS.get(code, FAILED)


def report(error: CommandError, as_json: bool) -> int:
    """Tell the user, on standard error or as JSON on standard output; returns the exit status."""
    message = str(error)
    if as_json:
        import json

        print(json.dumps({"error": {"code": error.code, "message": message, "mend": error.mend or None}}), flush=True)
    elif "\n" in message:  # a list of configuration errors stands for itself: FILE:LINE must begin its line
        print(message, file=sys.stderr)
        if error.mend:
            print(f"supervisor-tree: {error.mend}", file=sys.stderr)
    else:
        print(f"supervisor-tree: {message}{f' — {error.mend}' if error.mend else ''}", file=sys.stderr)
    return error.status


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """“did you mean X?” for a mistyped ``word``, empty when nothing is near."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=2, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else ""
