"""Is the keeper dead? Proof, not end of file (`processes.md` 6). Used by the root and by the logger.

End of file on a link proves nothing: the keeper closes links itself when it replaces a root or a
logger, and a stopped old one that mistook that for a death would kill a living tree.
"""

from __future__ import annotations

import os
import select

from supervisor_tree.system import means


class DeathWatch:
    """Watches the keeper, which must be this process's parent when it is made.

    Args:
        keeper: pid of the keeper (`--keeper PID START` of the logger; ``hello`` of the root).
        start: its start time in raw ticks, as in the same place.
    """

    def __init__(self, keeper: int, start: int) -> None:
        self.keeper = keeper
        self.start = start
        self._fd = means.watch_process(keeper)
        # After the descriptor is open: if the parent is still the keeper now, the descriptor is of the keeper.
        self._dead_before = os.getppid() != keeper

    def fileno(self) -> int | None:
        """A descriptor that becomes readable at the keeper's death, for an event loop.

        None where the system has none, or when the keeper was dead before the watch began: then ask
        `proved` after an end of file on the link.
        """
        return None if self._dead_before else self._fd

    def proved(self) -> bool:
        """True only when the keeper is dead for certain. Never waits."""
        if self._dead_before:
            # Dead, but not necessarily reaped by its own parent yet.
            seen = means.process(self.keeper)
            return seen is None or seen.start != self.start or seen.dead
        if self._fd is not None:
            poller = select.poll()
            poller.register(self._fd, select.POLLIN)
            return bool(poller.poll(0))
        return os.getppid() != self.keeper

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
