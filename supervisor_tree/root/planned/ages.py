"""Planned restarts: counted in no intensity, asked of no worker that is held, stopping or down.

Here: `max_age`, by one timer of the loop for each running worker that has it. `file_changes.py` asks for those
of `watch`. Nothing is kept over a root's death: the system knows since when a process runs, and the jitter comes
from the worker's name and incarnation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from supervisor_tree.core import events as ev
from supervisor_tree.core import gates
from supervisor_tree.core.events import By
from supervisor_tree.core.node import Node, State
from supervisor_tree.core.planned import lifetime
from supervisor_tree.root.usage import age
from supervisor_tree.root.words import duration

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell


def restart(shell: Shell, node: Node, reason: str, by: str, **fields: Any) -> None:
    """Have a worker that nobody holds restarted as planned. ``by``: the key of the tree file that says so."""
    if _is_to_end(shell, node):
        return
    shell.note("planned_restart", node.name, reason=reason, by=by, incarnation=node.incarnation, **fields)
    # The request's name is the same whoever asks for this incarnation's end, and however often.
    request = f"planned/{node.name}/{node.incarnation}"
    shell.tell(ev.RestartRequested(request, (node.path,), By(who=by, why=reason), reason=reason))


def _is_to_end(shell: Shell, node: Node) -> bool:
    """Whether its turn to be stopped will come anyway: a supervisor above it is stopping, or the tree is."""
    above = node.parent
    while above is not None and above.state is not State.STOPPING:
        above = above.parent
    return above is not None or shell.tree.ending


class Ages:
    """The timers of `max_age`."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._timers: dict[str, asyncio.TimerHandle] = {}
        """By path."""
        self._births: dict[str, tuple[int, float]] = {}
        """By path: incarnation, and when its process began (the loop's time)."""
        self._late: set[str] = set()
        """Paths of workers that are older than they should be, and held."""

    def changed(self, paths: Iterable[str]) -> None:
        """These nodes are not what they were."""
        nodes = self._shell.tree.nodes
        for path in paths:
            node = nodes.get(path)
            if node is None or not node.is_supervisor:
                self._arm(path, node)
            elif self._late:
                # A hold above a worker may have ended.
                for late in [one for one in self._late if one.startswith(f"{path}/")]:
                    self._arm(late, nodes.get(late))

    def _arm(self, path: str, node: Node | None) -> None:
        timer = self._timers.pop(path, None)
        if timer is not None:
            timer.cancel()
        self._late.discard(path)
        if node is None or node.state is not State.UP or not node.pid:
            self._births.pop(path, None)
            return
        settings = self._shell.spawning.settings(node.name)
        if settings is None or settings.max_age is None:
            return
        loop = self._shell.loop
        incarnation, birth = self._births.get(path, (0, 0.0))
        if incarnation != node.incarnation:
            birth = loop.time() - (age(node.pid) or 0.0)
            self._births[path] = node.incarnation, birth
        let_run = lifetime(settings.max_age, settings.jitter or 0.0, node.name, node.incarnation)
        self._timers[path] = loop.call_at(birth + let_run, self._due, path, settings.max_age)

    def _due(self, path: str, max_age: float) -> None:
        self._timers.pop(path, None)
        node = self._shell.tree.nodes[path]
        if gates.held(node):
            self._late.add(path)
            return
        restart(self._shell, node, f"older than {duration(max_age)}", "max_age")
        self._shell.flush()
