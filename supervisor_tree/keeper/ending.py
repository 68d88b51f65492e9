"""The end of a tree: nothing left of it, logs written, root gone, lock released."""

from __future__ import annotations

import os
import signal
import time

from supervisor_tree.keeper import sweep
from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.loop import Timer

_SWEEP = 2.0
"""Seconds for the last sweep, should a process not die."""
_BETWEEN = 0.05


class Ending:
    """Steps, each begun when the one before is done: children, zygotes, strangers, sweep, logs and root.

    Args:
        kill_root: it can't be trusted with an orderly end.
    """

    def __init__(self, keeper: Keeper, status: int, *, kill_root: bool) -> None:
        self._keeper = keeper
        self._status = status
        self._kill_root = kill_root
        self._step = "children"
        self._until = 0.0
        self._timer: Timer | None = None
        self._logs = False
        keeper.upward.stopping()
        keeper.zygotes.cancel_all()
        for child in list(keeper.table.children.values()):
            keeper.stopper.request(child, 0)

    def look(self) -> None:
        """Go on if what was waited for is done. Called at the end of each turn of the loop."""
        if self._step == "children" and not self._keeper.table.children:
            self._step = "zygotes"
            self._keeper.zygotes.end()
            # As below: one that does not even die must not keep the tree.
            self._timer = self._keeper.loop.later(1.0, self._begin_strangers)
        if self._step == "zygotes" and self._keeper.zygotes.gone:
            self._begin_strangers()
        if self._step == "strangers" and not self._left():
            self._finish()

    def _left(self) -> bool:
        return bool(self._keeper.adopter.strangers())

    def _begin_strangers(self) -> None:
        """Unattributed adopted ones: TERM, a grace, KILL."""
        if self._step != "zygotes":
            return
        if self._timer is not None:
            self._timer.cancel()
        self._step = "strangers"
        self._keeper.adopter.look()
        if self._left():
            self._keeper.adopter.signal_strangers(signal.SIGTERM)
            self._keeper.adopter.signal_strangers(signal.SIGCONT)
            self._timer = self._keeper.loop.later(self._keeper.limits.strangers, self._kill_strangers)

    def _kill_strangers(self) -> None:
        self._keeper.adopter.signal_strangers(signal.SIGKILL)
        # One that does not even die of that must not keep the tree for ever.
        self._timer = self._keeper.loop.later(1.0, self._finish)

    def _finish(self) -> None:
        if self._step == "last":
            return
        self._step = "last"
        if self._timer is not None:
            self._timer.cancel()
        keeper = self._keeper
        peers = [peer.pid for peer in (keeper.brain.root, keeper.brain.standby, keeper.logger.peer) if peer is not None]
        # The root tidies up while we look for what is left.
        keeper.brain.end(at_once=self._kill_root)
        self._sweep(peers)
        if keeper.lock is None:
            self._logs = True
        else:
            keeper.logger.drain()
            keeper.loop.later(keeper.limits.drain, self.logs_are_written)
        self.processes_end()

    def _sweep(self, peers: list[int]) -> None:
        """Kill what is left of the tree but root and logger. Where all orphans come to us, no child is proof enough."""
        keeper = self._keeper
        spared = [*peers, *keeper.adopter.left_on_purpose()]
        children = means.own_children() if means.orphans_come_to_us else None
        if children is None or not set(children) <= set(spared):
            sweep.kill_all(keeper.tree_id, (), spared, deadline=time.monotonic() + _SWEEP, others=False)

    def logs_are_written(self) -> None:
        if not self._logs:
            self._logs = True
            self._keeper.logger.end()
            self.processes_end()

    def processes_end(self) -> None:
        """Root or logger has gone: when both have, the tree is over."""
        keeper = self._keeper
        if self._step == "last" and self._logs and keeper.brain.root is None and keeper.logger.peer is None:
            self._sweep([])  # what root and logger left behind has come to us by now
            if keeper.lock is not None:
                keeper.lock.write({})
            keeper.loop.stop(self._status)


def reap_the_rest() -> None:
    """As PID 1, what else was here ends with us; as anything else there is nothing left. Zombies are reaped."""
    end = time.monotonic() + _BETWEEN
    while time.monotonic() < end:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if not means.own_children():
                return
            time.sleep(_BETWEEN / 10)  # noqa: TID251 - there is no event to wait for
