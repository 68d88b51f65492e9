"""What the result of a run is called: its status or signal looked up among the names that `outcome` gives."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

TIMEOUT, OTHER = "timeout", "other"


class Result(Struct, frozen=True, kw_only=True):
    """How one attempt of a program ended."""

    exit: int | None = None
    """Its exit status; None where a signal ended it, or it never ran."""
    signal: str | None = None
    """`SIGKILL` and the like."""
    timed_out: bool = False
    failed: bool = True
    """Not among `success`, over its timeout, or not what `verify` asks for."""

    @property
    def key(self) -> str | None:
        """As the keys of `outcome` are written: `2`, `SIGKILL`, `timeout`."""
        if self.timed_out:
            return TIMEOUT
        if self.signal is not None:
            return self.signal
        return None if self.exit is None else str(self.exit)

    @property
    def words(self) -> str:
        """`exit code: 2`, `signal: SIGKILL`, `timeout`: what people look for in a log."""
        if self.timed_out:
            return "timeout"
        if self.signal is not None:
            return f"signal: {self.signal}"
        return "no exit code: it could not be run" if self.exit is None else f"exit code: {self.exit}"


def outcome(table: Mapping[str, str], result: Result) -> str | None:
    """The name of a result; None where the table has none for it. A key for exactly this wins over `other`."""
    named = table.get(result.key) if result.key is not None else None
    return named if named is not None else table.get(OTHER)
