"""What workers say that they have done: a line of the journal each, at a bounded rate. What is beyond it is counted,
and the count is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor_tree.root.hearing.rates import Bucket

if TYPE_CHECKING:
    import asyncio

    from supervisor_tree.root.shell import Shell

_RATE = (30.0, 1.0)
"""Journal lines of one worker: so many at once, then so many a second."""
_SAY_DROPPED = 60.0
"""Seconds after which it is said how many were counted only, when no line did."""


class Activities:
    """Of all workers, by name."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._rates: dict[str, Bucket] = {}
        self._unsaid: dict[str, int] = {}
        """How many no line has told of yet."""
        self._later: dict[str, asyncio.TimerHandle] = {}
        """When that is said by a line of its own."""
        self.dropped = 0

    def note(self, name: str, activity: str, fields: dict[str, Any]) -> bool:
        """Journal one, if it may be; whether there is something to commit."""
        shell = self._shell
        decided = shell.activity.heard(name, activity)
        rate = self._rates.setdefault(name, Bucket(*_RATE))
        if not rate.take(shell.loop.time()):
            self.dropped += 1
            if name not in self._unsaid:
                self._later[name] = shell.loop.call_later(_SAY_DROPPED, self._say, name)
            self._unsaid[name] = self._unsaid.get(name, 0) + 1
            return decided
        more: dict[str, Any] = {}
        if name in self._unsaid:
            more = {"dropped": self._unsaid.pop(name)}
            self._later.pop(name).cancel()
        shell.note("activity", name, activity=activity, fields=fields, **more)
        return True

    def _say(self, name: str) -> None:
        del self._later[name]
        self._shell.note("activities_dropped", name, dropped=self._unsaid.pop(name))
        self._shell.flush()
