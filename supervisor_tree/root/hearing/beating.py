"""Who must give signs of life, and who has not: `health = { heartbeat = … }` and `{ notify = … }`.

The limits begin when a worker is ready and end when it is asked to stop. A root that could not hear for a while (it
was stopped or blocked, the machine was suspended, it has just taken over) first reads what is there and then begins
all limits anew: silence counts only where somebody listened (`processes.md` 3, 15, 18).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeGuard

from supervisor_tree.config.programs import grace
from supervisor_tree.core import gates
from supervisor_tree.core.node import Node, State
from supervisor_tree.core.silence import Overdue, Silence

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

Kind = Literal["heartbeat", "notify", "goodbye", "trigger", "start", "health"]
"""`goodbye`: it said that it is ending by itself; what is awaited is its end, within its `shutdown`. `trigger`: nothing
is awaited, it says itself that it hangs (`WATCHDOG=trigger`). `start`: it has not become ready in time. `health`: what
is asked of it fails."""

LATE = 1.0
"""Seconds by which a look may come too late before nothing that it sees is believed."""
RECONNECT = 1.0
"""Seconds that a worker needs at most to find the socket of a new root."""
_LOOK = 1.0
"""Seconds between two looks at most, so that a pause shows; there are none while nobody is watched."""
_GRAIN = 0.02
"""Seconds between two looks at least."""


class Limit(NamedTuple):
    """What a limit is about."""

    name: str
    incarnation: int
    kind: Kind


class Beating:
    """The limits of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._silence: Silence[Limit] = Silence()
        self._limits: dict[str, list[Limit]] = {}
        """What is watched of each worker, by its bare name."""
        self._left: set[Limit] = set()
        """Silences of held workers that were said."""
        self._alerted: dict[Limit, float] = {}
        """Silences that end nobody (`then = "alert"`) and were said: when the last sign of life was given by then."""
        self.before_us: dict[str, int] = {}
        """Incarnations of the workers that the root before us started: they may have spoken to it alone."""
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.hear = self._silence.hear
        """`heard` for the many: of a ready-made `Limit`, at a time."""

    # What may be silent for how long

    def limits(self, name: str) -> dict[Kind, float]:
        """The longest silences allowed by `health`, seconds; the shortest where there are several of a kind."""
        settings = self._shell.spawning.settings(name)
        found: dict[Kind, float] = {}
        for probe in settings.health if settings is not None else ():
            kinds: tuple[tuple[Kind, float | None], ...] = (("heartbeat", probe.heartbeat), ("notify", probe.notify))
            for kind, silence in kinds:
                if silence is not None:
                    found[kind] = min(float(silence), found.get(kind, float("inf")))
        return found

    def watch(self, path: str, incarnation: int) -> None:
        """Begin the limits of a worker, if it is up and ready now and they have not begun."""
        shell = self._shell
        node = shell.tree.nodes.get(path)
        if not _lives(node, incarnation) or not node.ready:
            return
        name = node.name
        if any(limit.incarnation == incarnation for limit in self._limits.get(name, ())):
            return
        if shell.said.of(name).goodbye is None:
            self._watch(name, incarnation, self.limits(name))

    def _watch(self, name: str, incarnation: int, limits: dict[Kind, float]) -> None:
        self.end(name)
        if not limits:
            return
        now = self._shell.loop.time()
        self._limits[name] = [Limit(name, incarnation, kind) for kind in limits]
        for limit in self._limits[name]:
            self._silence.watch(limit, limits[limit.kind], now)
        if self._timer is None or now + min(limits.values()) < self._due:
            self._schedule()

    def leaving(self, name: str, incarnation: int) -> None:
        """It says that it is ending by itself: no beat is expected any more, but its end within its `shutdown`."""
        settings = self._shell.spawning.settings(name)
        node = self._shell.spawning.node(name, incarnation)
        if settings is None or not _lives(node, incarnation):
            return
        shutdown = grace(settings)
        self._watch(name, incarnation, {} if shutdown is None else {"goodbye": shutdown})

    def end(self, name: str) -> None:
        """Nothing is expected of this worker any more: it has ended, or was asked to stop."""
        for limit in self._limits.pop(name, ()):
            self._silence.end(limit)
            self._left.discard(limit)
            self._alerted.pop(limit, None)

    def alerted(self, name: str, incarnation: int, kind: str) -> None:
        """The root before us has told of this silence."""
        for limit in self._limits.get(name, ()):
            if limit.incarnation == incarnation and limit.kind == kind:
                self._alerted[limit] = self._silence.heard(limit) or 0.0

    def replan(self) -> None:
        """The plan has changed: limits that are other ones now begin anew."""
        shell = self._shell
        for path in shell.directory.workers_below("root"):
            node = shell.tree.nodes[path]
            watched = {each.kind: self._silence.limit(each) for each in self._limits.get(node.name, ())}
            if "goodbye" not in watched and watched != self.limits(node.name):
                self.end(node.name)
                self.watch(path, node.incarnation)

    def resume(self) -> None:
        """After a root's death: all limits begin now, and each worker has the time to find our socket."""
        for path in self._shell.directory.workers_below("root"):
            node = self._shell.tree.nodes[path]
            self.before_us[node.name] = node.incarnation
            self.watch(path, node.incarnation)
        self.reached_anew()

    def reached_anew(self) -> None:
        """Our socket was not there for a while, and is now."""
        self._silence.anew(self._shell.loop.time() + RECONNECT)

    # Signs of life

    def heard(self, name: str, incarnation: int, kind: Kind, age: float = 0.0) -> None:
        """A sign of life that was made ``age`` seconds ago."""
        self.hear(Limit(name, incarnation, kind), self._shell.loop.time() - max(0.0, age))

    def heard_at(self, name: str, incarnation: int, kind: Kind) -> float | None:
        """When the last sign of life was given; None: none is expected any more."""
        return self._silence.heard(Limit(name, incarnation, kind))

    def watches(self, name: str) -> bool:
        """Whether signs of life of this worker are awaited, as its `health` says."""
        return any(limit.kind in ("heartbeat", "notify") for limit in self._limits.get(name, ()))

    def silence(self, name: str) -> dict[str, dict[str, float]]:
        """Of each kind that is watched of a worker: seconds since the last sign of life, and the limit."""
        now = self._shell.loop.time()
        return {
            limit.kind: {"silent": round(now - (self._silence.heard(limit) or now), 3), "limit": longest}
            for limit in self._limits.get(name, ())
            if (longest := self._silence.limit(limit)) is not None
        }

    def held_up(self, name: str | None) -> None:
        """Output (None: all output) was not taken for a while: who waited for that could not give a sign of life."""
        now = self._shell.loop.time()
        if name is None:
            self._silence.anew(now)
        for limit in self._limits.get(name, ()) if name is not None else ():
            self._silence.hear(limit, now)

    # Silence

    def _schedule(self) -> None:
        first = self._silence.next()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if first is None:
            return
        now = self._shell.loop.time()
        self._due = min(max(first, now + _GRAIN), now + _LOOK)
        self._timer = self._shell.loop.call_at(self._due, self._look)

    def _look(self) -> None:
        """Who is overdue? Asked only after all was read that had come."""
        shell = self._shell
        self._timer = None
        now = shell.loop.time()
        late = now - self._due > LATE
        first = self._silence.next()
        if late or (first is not None and first <= now):
            shell.hear_all()
        if late:
            self._silence.anew(shell.loop.time())
        found = self._silence.overdue(now)
        if found and shell.bind_anew():
            found = []  # they could not reach us
        self._hear_alerted()
        for overdue in found:
            try:
                self._judge(overdue)
            except Exception as error:
                shell.internal_error(f"silence of {overdue.who.name}", error)
        self._schedule()
        shell.flush()

    def _hear_alerted(self) -> None:
        """Who was silent and is not any more?"""
        for limit, heard in list(self._alerted.items()):
            node = self._shell.spawning.node(limit.name, limit.incarnation)
            if _lives(node, limit.incarnation) and self._silence.heard(limit) != heard:
                del self._alerted[limit]
                self._shell.probes.speaks(node, limit.kind)

    def then(self, name: str, kind: Kind) -> tuple[str, str | None]:
        """What this silence leads to, and the `status` that its probe gives it."""
        settings = self._shell.spawning.settings(name)
        if kind not in ("heartbeat", "notify") or settings is None:
            return "restart", None
        found = [probe for probe in settings.health if probe.kind == kind]
        probe = min(found, key=lambda probe: float(getattr(probe, kind)), default=None)
        return ("restart", None) if probe is None else (probe.then, probe.status)

    def _judge(self, overdue: Overdue[Limit]) -> None:
        shell = self._shell
        limit = overdue.who
        node = shell.spawning.node(limit.name, limit.incarnation)
        if not _lives(node, limit.incarnation):
            self.end(limit.name)
            return
        if limit.name in shell.blocking:
            return  # it waits for us to take its output
        if self.then(limit.name, limit.kind)[0] == "alert":
            self._alerted[limit] = self._silence.heard(limit) or 0.0
            shell.probes.silent(node, limit.kind, reason(limit.kind, overdue.silent, overdue.limit))
            return
        if gates.held(node):
            if limit not in self._left:
                self._left.add(limit)
                shell.note("left_alone", limit.name, reason=reason(limit.kind, overdue.silent, overdue.limit))
            return
        self._left.discard(limit)
        shell.hangs.suspect(node.path, limit.incarnation, limit.kind, overdue.silent, overdue.limit)


def _lives(node: Node | None, incarnation: int) -> TypeGuard[Node]:
    return node is not None and node.incarnation == incarnation and node.state is State.UP


def reason(kind: Kind, silent: float, limit: float) -> str:
    """Why a worker counts as hung: the first words of a `KillRequested`."""
    if kind == "goodbye":
        return f"hung: it said goodbye {silent:.1f} s ago and has not ended (shutdown {limit:g} s)"
    if kind == "start":
        return f"not ready within {limit:g} s"
    if kind == "trigger":
        return "hung: it says so itself (WATCHDOG=trigger)"
    what = "beat" if kind == "heartbeat" else "WATCHDOG=1"
    return f"hung: no {what} for {silent:.1f} s (limit {limit:g} s)"
