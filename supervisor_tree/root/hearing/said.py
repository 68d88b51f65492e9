"""What running workers have said of themselves: over the heartbeat socket or by sd_notify.

A worker that keeps a connection says it again after a root's death (`who`, `hello`): of that nothing is committed.
What is said once only is handed on as state: what `beat` has told, here; what sd_notify has, by whoever hears it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from supervisor_tree.ipc.heartbeat import Dump

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_STATE = "said/"


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


class _Handed(Struct, omit_defaults=True):
    """What the next root is to know of one incarnation's words."""

    incarnation: int
    status: str | None = None
    detail: str | None = None
    fields: dict[str, Any] = {}


class Said:
    """The words of each worker, by its bare name; forgotten whenever it is started anew."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._words: dict[str, Words] = {}
        self._handed: dict[str, bytes] = {}
        """What is handed on."""

    def of(self, name: str) -> Words:
        """What the running incarnation of ``name`` has said so far: to be read, and written by who hears it."""
        words = self._words.get(name)
        if words is None:
            words = self._words[name] = Words()
        return words

    def hand_on(self, name: str) -> bool:
        """Nobody will say again what ``name`` has just told: the next root gets it from us. Whether that is news."""
        words = self.of(name)
        data = msgspec.json.encode(_Handed(words.incarnation, words.status, words.detail, words.fields))
        if self._handed.get(name) == data:
            return False
        self._handed[name] = data
        self._shell.state(_STATE + name, data)
        return True

    def load(self, key: str, value: bytes) -> None:
        """Take over what the root before us was told, where a key of the handed state is about that."""
        if key.startswith(_STATE):
            name = key.removeprefix(_STATE)
            told = msgspec.json.decode(value, type=_Handed)
            self._handed[name] = value
            self._words[name] = Words(
                incarnation=told.incarnation, status=told.status, detail=told.detail, fields=told.fields
            )

    def ended(self, name: str, incarnation: int) -> None:
        """This incarnation has: what it said is no matter of the next root's."""
        words = self._words.get(name)
        if words is not None and words.incarnation == incarnation:
            self._keep_no_longer(name)

    def forget(self, name: str) -> None:
        """Another incarnation begins."""
        self._words.pop(name, None)
        self._keep_no_longer(name)

    def _keep_no_longer(self, name: str) -> None:
        if self._handed.pop(name, None) is not None:
            self._shell.state(_STATE + name, None)
