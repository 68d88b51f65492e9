"""`TickWorker`: something to be done every so many seconds, for ever, whatever goes wrong in it."""

from __future__ import annotations

from supervisor_tree.workers.args import ArgsError, checked
from supervisor_tree.workers.life import present
from supervisor_tree.workers.worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHORTEST = 0.01
"""Seconds. A shorter interval is refused: that is a loop, not a tick."""


class TickWorker(Worker):
    """Calls `tick` every `interval` seconds, the first time at once. Derive from it and write `tick`::

        class Evaluate(TickWorker):
            interval = 60

            async def tick(self) -> dict[str, int]:
                tasks = await due_tasks()
                failed = [task for task in tasks if not await evaluate(task)]
                return {"evaluated": len(tasks), "failed": len(failed)}

    Ticks keep to their grid: the n-th is due n intervals after the first, however long each takes (monotonic time: no
    clock change matters). They never overlap. After one that took longer than an interval the next begins at once, for
    the last slot that has passed; those before it are not made up for (``missed``).

    **A tick that raises** is logged with its traceback and counted; it ends nothing. After the n-th failure in a row
    the next tick is due ``interval · backoff_factor ** n`` seconds later, at most `backoff_max`, give or take
    `backoff_jitter` of that, and never less than one interval; after a success the grid holds again.

    **Its end** is asked for as a `Worker`'s: a tick under way is finished, a pause ends at once.

    Each beat tells ``ticks`` and ``errors`` so far, ``missed``, ``failures`` in a row, the last ``error``, how many
    seconds the last tick took (``duration``), and how late it began (``lag``). `setup`, `check` and `teardown` are a
    `Worker`'s.
    """

    interval: float = 60.0
    """Seconds from one tick to the next, 0.01 at least. ``args.tick_interval`` has the last word: a key of the tree
    file's ``args``, or an attribute of what the class annotates ``args`` with."""

    tick_timeout: float | None = None
    """Seconds after which a tick that awaits something is cancelled and counts as one that raised; None: never. A loop
    that waits in vain still turns and still beats: this is what ends such a wait."""

    backoff_factor: float = 2.0
    backoff_max: float = 300.0
    """Seconds."""
    backoff_jitter: float = 0.1
    """A share: 0.1 is ± 10 %."""

    ticks: int = 0
    """Begun so far, in this process."""
    errors: int = 0
    """Of those, how many raised."""
    failures: int = 0
    """How many of the last ones did, without a success between."""
    missed: int = 0
    """Ticks that never began because the one before took too long."""

    def tick(self) -> Any:
        """One tick. May be ``async``, or a plain method: that one blocks the loop and with it the beats, on purpose, so
        that one which never returns is found.

        What it returns sums it up: a text is the status from now on; a dict is an activity ``tick`` with these counts,
        in the journal; None is neither.
        """
        raise NotImplementedError(f"{type(self).__name__} has no tick")

    async def run(self) -> None:
        import asyncio

        clock = asyncio.get_running_loop().time
        stopping = self.stopping
        slot = due = clock()
        while not stopping.is_set():
            began = clock()
            await self._tick(clock, began - due)
            now = clock()
            slot, lost = _next(slot, self.interval, now)
            self.missed += lost
            due = slot
            pause = self._pause()
            if pause > self.interval:
                due = max(slot, now + pause)
                # The last one before it: those that the pause skips are not missed.
                slot += int((due - slot) / self.interval) * self.interval
            # Also when the next tick is due already: the loop must turn between two of them.
            await asyncio.sleep(0)
            while (left := due - clock()) > 0 and not stopping.is_set():
                try:
                    await asyncio.wait_for(stopping.wait(), left)
                except TimeoutError:
                    continue

    async def _tick(self, clock: Any, lag: float) -> None:
        import asyncio
        import inspect

        self.ticks += 1
        began = clock()
        error: str | None = None
        summary: Any = None
        try:
            async with asyncio.timeout(self.tick_timeout):
                summary = self.tick()
                if inspect.isawaitable(summary):
                    summary = await summary
        except Exception as raised:
            self.errors += 1
            self.failures += 1
            error = f"{type(raised).__name__}: {raised}"
            self._log(raised)
        else:
            self.failures = 0
        self._tell(clock() - began, lag, error, summary)

    def _log(self, error: Exception) -> None:
        from supervisor_tree.workers.life.ending import trimmed

        self.log.error("tick %d failed (%d in a row)", self.ticks, self.failures, exc_info=trimmed(error))

    def _tell(self, duration: float, lag: float, error: str | None, summary: Any) -> None:
        """With the next beat: at a tick every 10 ms, one for each would be too many."""
        if present.life is None:
            return
        figures = {
            "ticks": self.ticks,
            "errors": self.errors,
            "failures": self.failures,
            "missed": self.missed,
            "duration": round(duration, 4),
            "lag": round(max(0.0, lag), 4),
            "error": error,
        }
        present.life.channel.keep(summary if isinstance(summary, str) else None, figures)
        if isinstance(summary, dict):
            self.activity("tick", **{str(key): value for key, value in summary.items()})

    def _pause(self) -> float:
        """Seconds until the next tick may begin; 0: by the grid."""
        import random

        if not self.failures:
            return 0.0
        pause = min(self.backoff_max, self.interval * self.backoff_factor ** min(self.failures, 64))
        return pause * random.uniform(1 - self.backoff_jitter, 1 + self.backoff_jitter)

    def _begin(self) -> None:
        """
        Raises:
            ArgsError: the interval is none.
        """
        args = self.args
        given = args.get("tick_interval") if isinstance(args, dict) else getattr(args, "tick_interval", None)
        where = f"{type(self).__name__}.interval" if given is None else "args.tick_interval"
        interval = checked(self.interval if given is None else given, float, where)
        if not SHORTEST <= interval < float("inf"):
            raise ArgsError(f"{where}: Expected seconds, {SHORTEST} at least, got {interval}")
        self.interval = interval


def _next(slot: float, interval: float, now: float) -> tuple[float, int]:
    """The slot after ``slot`` to be served at ``now`` or later, and how many before it are lost: of those that have
    passed, all but the last, which is served late."""
    passed = int((now - slot) / interval)
    return (slot + interval, 0) if passed < 1 else (slot + passed * interval, passed - 1)
