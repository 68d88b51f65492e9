"""When a worker that is to tell that it is ready has told it: by the heartbeat socket, by sd_notify, or by answering
as its `ready` probes want it; by all of these that are set.

A worker may say so before the keeper's word that it was spawned has come (its socket is quicker than two hops of
the link). The core knows nothing of it then, so what was told is kept here until it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from supervisor_tree.config.readiness import told_by
from supervisor_tree.core import events as ev
from supervisor_tree.core.node import State

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

Teller = Literal["heartbeat", "notify", "probes"]


class Readiness:
    """Who has told what of its running incarnation."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._told: dict[str, tuple[int, set[Teller]]] = {}

    def told(self, name: str, incarnation: int, by: Teller) -> None:
        """``name`` says that it is ready."""
        known, tellers = self._told.get(name, (0, set()))
        if incarnation < known:
            return  # said before its end, read after it
        if known != incarnation:
            tellers = set()
            self._told[name] = incarnation, tellers
        tellers.add(by)
        self.look(name, incarnation)

    def look(self, name: str, incarnation: int) -> None:
        """Tell the core, if all that is to be told has been, and the core knows of the spawn."""
        shell = self._shell
        settings = shell.spawning.settings(name)
        node = shell.spawning.node(name, incarnation)
        if settings is None or node is None:
            return
        known, tellers = self._told.get(name, (0, set()))
        if known != incarnation:
            tellers = set()
        if node.state is State.UP and not node.ready and told_by(settings) <= tellers:
            shell.tell(ev.ChildReady(node.path, incarnation))
        shell.beating.watch(node.path, incarnation)

    def replan(self) -> None:
        """The plan has changed: what a worker still has to tell may be less now."""
        for path in self._shell.directory.workers_below("root"):
            node = self._shell.tree.nodes[path]
            if node.state is State.UP and not node.ready:
                self.look(node.name, node.incarnation)

    def forget(self, name: str) -> None:
        """It has ended."""
        self._told.pop(name, None)
