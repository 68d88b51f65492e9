"""What running workers have said of themselves: over the heartbeat socket or by sd_notify.

Nothing here is committed: after a root's death each worker says it again (`who`, `hello`). What sd_notify has told
is said once only, and is handed on as state by whoever hears it.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from supervisor_tree.ipc.heartbeat import Dump


class Words(Struct, eq=False):
    """Of one worker's running incarnation. Times are the loop's (monotonic seconds)."""

    incarnation: int = 0
    """Whose words these are; 0: nothing was said yet."""
    connected: bool = False
    """A connection to it is open, over which it has said who it is."""
    pid: int | None = None
    """As it says itself."""
    interval: float | None = None
    """Seconds between the beats that its loop makes by itself."""
    status: str | None = None
    detail: str | None = None
    fields: dict[str, Any] = {}
    beat_at: float | None = None
    """When its last beat was made."""
    seq: int = 0
    """Of that beat."""
    unwell: str | None = None
    """What its own check has said since then."""
    unwell_at: float | None = None
    activity: str | None = None
    activity_at: float | None = None
    goodbye: str | None = None
    """Why it is ending by itself."""
    reloading: bool = False
    stopping: bool = False
    main_pid: int | None = None
    dump: Dump | None = None


class Said:
    """The words of each worker, by its bare name; forgotten whenever it is started anew."""

    def __init__(self) -> None:
        self._words: dict[str, Words] = {}

    def of(self, name: str) -> Words:
        """What the running incarnation of ``name`` has said so far: to be read, and written by who hears it."""
        words = self._words.get(name)
        if words is None:
            words = self._words[name] = Words()
        return words

    def forget(self, name: str) -> None:
        """Another incarnation begins."""
        self._words.pop(name, None)
