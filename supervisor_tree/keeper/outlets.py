"""Where a child's output goes: its pipes, and the sd_notify socket of one that asks for it."""

from __future__ import annotations

import os

from supervisor_tree.keeper.notify import NotifySocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.table import Child


class Outlets:
    """Made before a spawn; then either `close` or `belong_to` is called, once.

    Args:
        effect: the ``spawn`` effect.
        env: the child's environment; the path of its sd_notify socket is added.

    Raises:
        OSError: out of descriptors, or no socket can be made; nothing is left open.
    """

    def __init__(self, keeper: Keeper, effect: dict[str, Any], env: dict[str, str]) -> None:
        self._keeper = keeper
        self._log: dict[str, Any] = effect["log"]
        self._notify: NotifySocket | None = None
        self._reads: list[int] = []
        self._writes: list[int] = []
        try:
            for _ in range(1 if self._log.get("merge") else 2):
                read, write = os.pipe()
                self._reads.append(read)
                self._writes.append(write)
            if effect.get("notify"):
                self._notify = NotifySocket(keeper, effect.get("user"))
                env["NOTIFY_SOCKET"] = self._notify.path
        except BaseException:
            self.close()
            raise

    @property
    def out(self) -> int:
        """Write end of the child's standard output."""
        return self._writes[0]

    @property
    def err(self) -> int:
        """Write end of the child's standard error: the same where the two are merged."""
        return self._writes[-1]

    def give_to(self, uid: int) -> None:
        """That user may open /dev/stdout again. Where we may not give away, there is nobody else to give to."""
        for fd in self._writes if os.geteuid() == 0 else ():
            os.fchown(fd, uid, -1)

    def close_writes(self) -> None:
        """The child has them."""
        while self._writes:
            os.close(self._writes.pop())

    def close(self) -> None:
        """No child came of it."""
        self.close_writes()
        while self._reads:
            os.close(self._reads.pop())
        if self._notify is not None:
            self._notify.close()

    def belong_to(self, child: Child) -> None:
        """The child is in the table: hand over what is read from."""
        if self._notify is not None:
            child.notify = self._notify
            self._notify.belongs_to(child)
        logger, log = self._keeper.logger, self._log
        logger.note(child)
        if log.get("merge"):
            logger.attach(child, "all", self._reads[0], log["out"])
        else:
            logger.attach(child, "out", self._reads[0], log["out"])
            logger.attach(child, "err", self._reads[1], log.get("err") or log["out"])
