"""The one exception of this room."""

from __future__ import annotations


class RootError(Exception):
    """Something the user can mend: ``code`` for machines, ``mend`` for people, ``status`` for `start`."""

    def __init__(self, message: str, *, code: str = "failed", mend: str = "", candidates: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.mend = mend
        self.candidates = candidates
