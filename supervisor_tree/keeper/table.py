"""The keeper's table: its children, and who of the adopted processes belongs to whom."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    from supervisor_tree.keeper.loop import Timer
    from supervisor_tree.system.cgroup import Cgroup

    class Writer(Protocol):
        """Whose output the logger writes."""

        @property
        def name(self) -> str: ...
        @property
        def inc(self) -> int: ...
        @property
        def pid(self) -> int: ...

    class Owner(Protocol):
        """Whoever answers for a direct child that is no worker: root, logger, zygote, a stop command."""

        alone: bool
        """Its end is not its group's."""

        def ended(self, status: int) -> None: ...

    Key = tuple[str, int]
    Next = tuple[str, int, float | None]
    """Name, incarnation and grace of a stop."""


class Child:
    """One incarnation of a worker, from its spawn until nothing of it is left."""

    __slots__ = (
        "asked",
        "cgroup",
        "command",
        "deadline",
        "emptied",
        "end",
        "env",
        "failure",
        "forked",
        "inc",
        "killed",
        "launch",
        "lineage",
        "main",
        "main_start",
        "name",
        "notify",
        "order",
        "pid",
        "reaped",
        "rest",
        "since",
        "start",
        "stop",
        "sweep",
        "tells_output",
        "then",
        "timer",
        "told_leftover",
        "watches",
    )

    def __init__(self, name: str, inc: int, pid: int, start: int, since: float, effect: dict[str, Any]) -> None:
        self.name = name
        self.inc = inc
        self.pid = pid
        self.start = start
        self.since = since
        self.stop: dict[str, Any] = effect.get("stop") or {}
        self.sweep = effect.get("sweep", True) is not False
        self.tells_output = bool(effect.get("tell_output"))
        """The root wants to know when its output is complete: somebody reads it then."""
        self.env: dict[str, str] | None = None
        """Environment at the spawn; kept only for a stop command."""
        self.cgroup: Cgroup | None = None
        """The folder of its own, where there are such."""
        self.order = 0
        self.then: Sequence[Next] = ()
        """Those to stop, one after the other, when a requested stop has ended."""
        self.asked = False
        """A stop was requested."""
        self.killed = False
        """The grace ran out and KILL was sent."""
        self.deadline: float | None = None
        self.timer: Timer | None = None
        self.end: dict[str, Any] | None = None
        """How it ended: its leader, or its main process where it named another. None while that lives."""
        self.reaped = False
        """Its leader was reaped: from now on its number may be another's."""
        self.main: int | None = None
        """pid of its main process where that is not the leader (sd_notify's MAINPID)."""
        self.main_start = 0
        self.emptied = False
        """Its group was seen empty after its leader's end: from then on the number may be another's."""
        self.rest: dict[int, int] = {}
        """Adopted processes that belong to it and live: pid → start time."""
        self.lineage: dict[int, int] = {}
        """Descendants seen before a stop or a kill: pid → start time."""
        self.command: int | None = None
        """pid of the stop command while it runs."""
        self.watches: dict[int, int] = {}
        """Members of its group or session that are no children of the keeper: pid → descriptor."""
        self.told_leftover = False
        self.notify: Any = None
        """Its sd_notify socket."""
        self.launch: int | None = None
        """Read end on which the spawn helper reports a failure; None once the program itself runs."""
        self.failure: dict[str, Any] | None = None
        """What the helper, or the fork of a zygote, reported."""
        self.forked = False
        """A zygote made it: ``launch`` is what it talks over until *go*."""

    @property
    def key(self) -> Key:
        return self.name, self.inc

    def row(self) -> list[Any]:
        """As in ``hello``."""
        return [self.name, self.inc, self.pid, self.start, self.since, self.asked]


class Adopted:
    """A process that became a child of the keeper because its parent died."""

    __slots__ = ("key", "pid", "start")

    def __init__(self, pid: int, start: int, key: Key | None) -> None:
        self.pid = pid
        self.start = start
        self.key = key
        """Whose it is; None: nobody's."""


class Table:
    def __init__(self) -> None:
        self.children: dict[Key, Child] = {}
        """In the order of their spawns."""
        self.leaders: dict[int, Child] = {}
        """Living leaders, direct children of the keeper, by pid."""
        self.forked: dict[int, Child] = {}
        """Leaders that are children of a living zygote, by pid, until it has reaped them."""
        self.groups: dict[int, Child] = {}
        """By the number of group and session, which outlives the leader."""
        self.others: dict[int, Owner] = {}
        """Direct children that are no workers, by pid."""
        self.adopted: dict[int, Adopted] = {}
        self.lingering: dict[str, dict[int, int]] = {}
        """What was found of workers after their end had been reported, and is being killed: name → pid → start time.
        The name is not started anew before it is gone."""
        self.done: set[Key] = set()
        """Incarnations whose end no commit has acknowledged yet: a spawn of them is a repetition."""
        self._spawned = 0

    def add(self, child: Child, *, of_zygote: bool = False) -> None:
        self._spawned += 1
        child.order = self._spawned
        self.children[child.key] = child
        (self.forked if of_zygote else self.leaders)[child.pid] = child
        self.groups[child.pid] = child

    def remove(self, child: Child) -> None:
        self.children.pop(child.key, None)
        if self.groups.get(child.pid) is child:
            del self.groups[child.pid]
        self.done.add(child.key)

    def direct(self) -> int:
        """How many children of this process are known."""
        return len(self.leaders) + len(self.others) + len(self.adopted)

    def rows(self) -> list[list[Any]]:
        return [child.row() for child in self.children.values()]
