"""A worker on its asyncio loop: setup, ready, run beside its beats, teardown."""

from __future__ import annotations

import asyncio
import signal
import sys
import time

from supervisor_tree.workers.args import ArgsError
from supervisor_tree.workers.life import present
from supervisor_tree.workers.life.carrying import LoopCarrier
from supervisor_tree.workers.life.ending import CRASHED, UNABLE, exit_status, in_words, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.workers.worker import Worker

RESERVE = 5.0
"""Seconds of the time to end that are kept for `teardown`, at most half of it."""
KNOWN = 1.0
"""Seconds that the root has to answer the hello before `run` begins."""
DEAF = 1.0
"""Seconds. A loop that has not come to a signal for so long is blocked: the next one interrupts what blocks it."""


class Looping(present.Life):
    """The life of one `Worker`, whose loop this is."""

    def __init__(self, worker: Worker, called: str, where: dict[str, Any] | None) -> None:
        super().__init__(called)
        self._worker = worker
        self.channel.dump = where
        self._signals = 0
        self._signal_at = 0.0
        self._handled = 0
        """Signals that the loop has come to."""
        self._interrupted = False
        self._tearing_down = False
        self._task: asyncio.Task[Any] | None = None
        self._beat_now = asyncio.Event()
        self._is_known = asyncio.Event()
        self._commands: set[asyncio.Task[None]] = set()

    def live(self) -> int:
        status = 0
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._signal)
            present.begin(self)
            try:
                status = runner.run(self._live())
            except SystemExit as error:
                # Out of a task that is not `run`, or of a signal handler. Leaving the runner cancels what is left.
                status = exit_status(error.code)
                self._interrupted = True
        return status

    async def _live(self) -> int:
        """One task for all: what `setup` opens (a task group, a cancel scope) may only be closed in the same one."""
        self._task = asyncio.current_task()
        assert self._task is not None
        self._task.set_name(self.name)
        self._set_interval()
        self.connect(LoopCarrier(self._loop))
        beats: asyncio.Task[None] | None = None
        is_set_up = False
        try:
            await self._worker.setup()
            is_set_up = True
            self.channel.ready()
            await self._until_known()
            if self._worker.beats_by_itself:
                beats = self._loop.create_task(self._beats(), name=f"{self.name}: beats")
            status = exit_status(await self._worker.run())
            reason = "run has returned"
        except BaseException as error:
            status, reason = self._ended_by(error)
        self._tearing_down = True
        self.channel.goodbye(self.end.by or reason)
        if beats is not None:
            beats.cancel()
        if is_set_up:
            try:
                await self._worker.teardown()
            except BaseException as error:
                status = status or self._ended_by(error)[0]
        self.close()
        return status

    async def _until_known(self) -> None:
        """The root knows that it is ready, and how to ask for its stacks: a `run` that blocks in its first line would
        else be one that never became ready. Without a root that answers, it goes on after a moment."""
        if self.channel.leads_somewhere:
            try:
                await asyncio.wait_for(self._is_known.wait(), KNOWN)
            except TimeoutError:
                return

    def _ended_by(self, error: BaseException) -> tuple[int, str]:
        """The exit status, and why in words, after ``error`` came out of the worker's code."""
        if isinstance(error, asyncio.CancelledError) and self._interrupted:
            self._interrupted = False
            while self._task is not None and self._task.cancelling():
                self._task.uncancel()
            return 0, self.end.by
        if isinstance(error, SystemExit):
            status = exit_status(error.code)
            return status, f"exit status {status}"
        if isinstance(error, ArgsError):
            print(error, file=sys.stderr)
            return UNABLE, str(error)
        show(error)
        return CRASHED, in_words(error)

    # --- beats

    async def _beats(self) -> None:
        while True:
            self._beat_now.clear()
            await self._beat()
            try:
                await asyncio.wait_for(self._beat_now.wait(), self.interval)
            except TimeoutError:
                continue

    async def _beat(self) -> None:
        try:
            well = await self._worker.check()
        except Exception as error:
            show(error)
            well = in_words(error)
        if well is None or well is True:
            self.channel.beat()
        else:
            self.channel.unwell(well or "its check says no")

    def _set_interval(self) -> None:
        if self._worker.beats_by_itself:
            self.channel.interval = self.interval

    def welcomed(self, limit: float | None) -> None:
        told = self.channel.interval
        super().welcomed(limit)
        self._is_known.set()
        self._set_interval()
        if self.channel.interval != told:
            self.channel.hello()
        self._beat_now.set()

    def refused(self, reason: str) -> None:
        super().refused(reason)
        self._is_known.set()

    def pinged(self) -> None:
        self._beat_now.set()

    # --- its end

    def _signal(self, number: int, frame: object) -> None:
        """Between two bytecodes of whatever the main thread does: `_ask` is for the loop to call."""
        now = time.monotonic()
        is_deaf = self._signals > self._handled and now - self._signal_at > DEAF
        self._signals += 1
        self._signal_at = now
        if is_deaf or self._loop.is_closed():
            raise SystemExit(0)
        self._loop.call_soon_threadsafe(self._handle, signal.Signals(number).name)

    def _handle(self, name: str) -> None:
        self._handled += 1
        self._ask(name)
        if self._handled > 1:
            self._interrupt()

    def stop_asked(self, grace: float | None) -> None:
        self._ask("stop")
        if grace is not None:
            self._loop.call_later(grace - min(RESERVE, grace / 2), self._interrupt_run)

    def _ask(self, by: str) -> None:
        if self.end.asked:
            return
        self.end.ask(by)
        self._worker._stopping().set()
        self.channel.goodbye(by)
        if not self.end.looked_at:
            self._interrupt_run()

    def _interrupt_run(self) -> None:
        if not self._tearing_down:
            self._interrupt()

    def _interrupt(self) -> None:
        if self._task is not None and not self._task.done():
            self._interrupted = True
            self._task.cancel()

    # --- commands

    def commanded(self, id_: int, name: str, args: dict[str, Any]) -> None:
        task = self._loop.create_task(self._command(id_, name, args), name=f"{self.name}: {name}")
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    async def _command(self, id_: int, name: str, args: dict[str, Any]) -> None:
        try:
            result = await self._worker.command(name, args)
        except NotImplementedError as error:
            self.channel.reply(id_, False, error=str(error))
        except Exception as error:
            show(error)
            self.channel.reply(id_, False, error=in_words(error))
        else:
            self.channel.reply(id_, True, result)
