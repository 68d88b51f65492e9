"""Stopping the tree when no root can be asked, or none answers (`processes.md` 5)."""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.loop import Timer
    from supervisor_tree.keeper.table import Child

_ASKS = {signal.SIGTERM: "TERM", signal.SIGINT: "INT"}
_STATUS = 1
"""Exit status of a tree that had to be stopped without its root."""


class Asked:
    """SIGTERM and SIGINT to the keeper.

    The first asks the root. If no root acknowledges in time, or at a second signal, the keeper stops everything
    itself; a further one then kills what is left.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._event = 0
        self._timer: Timer | None = None
        self._stopping: Child | None = None
        self.alone = False

    def signal(self, number: int) -> None:
        keeper = self._keeper
        if not keeper.prepared:
            keeper.never_began(128 + number)
            return
        keeper.upward.stopping()
        if keeper.ending:
            return
        if self.alone:
            self._kill_all()
        elif self._event:
            self._go_alone()
        else:
            self._event = keeper.kept.event("asked", signal=_ASKS[signal.Signals(number)])["n"]
            self._timer = keeper.loop.later(keeper.limits.asked, self._unanswered)

    @property
    def begun(self) -> bool:
        """Whether the tree has been asked to stop."""
        return bool(self._event) or self.alone

    def limits_start_again(self) -> None:
        if self._timer is not None and self._timer.call is not None:
            self._timer.cancel()
            self._timer = self._keeper.loop.later(self._keeper.limits.asked, self._unanswered)

    def _unanswered(self) -> None:
        if any(each["n"] == self._event for each in self._keeper.kept.events):
            self._go_alone()

    def _go_alone(self) -> None:
        """In reverse spawn order, one after the other, each with the stop given at its spawn."""
        if self.alone or self._keeper.ending:
            return
        self.alone = True
        self._keeper.zygotes.cancel_all()
        self._keeper.brain.end(at_once=True)
        self.look()

    def _kill_all(self) -> None:
        for child in list(self._keeper.table.children.values()):
            self._keeper.stopper.request(child, 0)

    def look(self) -> None:
        """Stop the next one if the one before is gone. Called at the end of each turn of the loop."""
        if not self.alone or self._keeper.ending:
            return
        children = self._keeper.table.children
        if self._stopping is not None and self._stopping.key in children:
            return
        if not children:
            self._keeper.end(_STATUS, kill_root=True)
            return
        self._stopping = max(children.values(), key=lambda child: child.order)
        self._keeper.stopper.request(self._stopping, self._stopping.stop.get("grace"))
