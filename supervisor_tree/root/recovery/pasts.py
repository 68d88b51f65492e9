"""When each rule was answered before: what `cooldown` and `max` go by.

State for the next root (`recovery/past/RULE`, monotonic time), and `recovery.json` for the next life of the tree, so
that neither a restart of the tree nor a boot begins to count anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from supervisor_tree.core.recovery.progress import Past
from supervisor_tree.root import moments
from supervisor_tree.root.kept import KeptFiles
from supervisor_tree.root.moments import Moment

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_STATE = "recovery/past/"
_FILE = "recovery.json"
_LAST_WRITES = 2.0
"""Seconds that the disk has to take what is known when the tree ends."""


class _Kept(msgspec.Struct):
    """The file."""

    seen: Moment
    """When it was written: `awake` is the clock of the times below."""
    pasts: dict[str, Past]


class Pasts:
    """Of all rules that a tree has answered, by their names."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._pasts: dict[str, Past] = {}
        self._kept = KeptFiles(shell, shell.plan.state_dir, "recovery")

    def begin(self) -> None:
        """A tree starts: what was before counts, and the time for which it was down."""
        kept = self._kept.read(_FILE, lambda data: msgspec.json.decode(data, type=_Kept))
        if kept is None:
            return
        now = moments.now()
        by = now.awake - kept.seen.awake - kept.seen.seconds_to(now)
        for name, past in kept.pasts.items():
            past.cut_off()
            self._pasts[name] = past.moved(by)
            self._commit(name)

    def load(self, key: str, value: bytes) -> bool:
        """A piece of the state of the root before us; False: it is somebody else's."""
        if not key.startswith(_STATE):
            return False
        self._pasts[key.removeprefix(_STATE)] = msgspec.json.decode(value, type=Past)
        return True

    def resume(self) -> None:
        """After a take-over: the root before us may have died before it wrote the file."""
        if self._pasts:
            self._kept.put(_FILE, self._as_file)

    async def finish(self) -> None:
        """The tree ends."""
        await self._kept.finish(_LAST_WRITES)

    def of(self, name: str) -> Past:
        return self._pasts.setdefault(name, Past())

    def keep(self, name: str) -> None:
        """The past of a rule has changed."""
        self._commit(name)
        self._kept.put(_FILE, self._as_file)

    def _commit(self, name: str) -> None:
        self._shell.state(_STATE + name, msgspec.json.encode(self._pasts[name]))

    def _as_file(self) -> bytes:
        return msgspec.json.encode(_Kept(moments.now(), self._pasts))
