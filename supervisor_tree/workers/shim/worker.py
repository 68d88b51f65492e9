"""A foreign command as a `Worker`."""

from __future__ import annotations

import os
import sys
import time

from supervisor_tree.workers.life import present
from supervisor_tree.workers.worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from typing import Any

    from supervisor_tree.system.watch import FileWatcher
    from supervisor_tree.workers.shim.command import Command
    from supervisor_tree.workers.shim.settings import Asked, Settings

_ASK_FIRST = 0.05
_ASK_MOST = 1.0
"""Seconds between questions before the first good answer, doubling from the first to the most: a start is not to wait
for `every`."""
_LOOK = 0.5
"""Seconds between looks at files before the command is ready, where the system does not tell of changes."""
_SAY = 5.0
"""Seconds after which it is said again what a start waits for."""
NOT_FOUND = 127
NOT_EXECUTABLE = 126
"""Exit statuses, as a shell has them, of a command that can't be started."""


class ShimWorker(Worker):
    """Runs a command that knows nothing of the tree, and beats for it while what is watched of it holds.

    In the tree file, with everything that can be watched (one value is a list of one)::

        [workers.trading-bot]
        use = "shim"
        health = { heartbeat = "90s" }

        [workers.trading-bot.args]
        command = "venv/bin/python -u main.py"      # or a list; shell = true: given to /bin/sh -c
        watch = [
          { output = "cycle [0-9]+ done", fresh = "5m" },                           # a line matches; again within
          { file = "state/bot.json", key = "iter_count", changes = "180s" },        # the value must change within
          { file = "logs/bot.jsonl", fresh = "20m" },                               # changed within; exists = false
          { http = "http://127.0.0.1:8081/health", every = "60s", timeout = "10s" },# code, body, key
          { tcp = "127.0.0.1:8081" },                                               # or unix = "bot.sock"
        ]

    The words and units are those of probes, relative paths start at the worker's `cwd`, and `status` of a watch is put
    before what is said while it does not hold. The worker is ready once all of it holds, at once where nothing is
    watched. A beat is made only while all of it holds; else it is told what does not ("state/bot.json: iter_count is
    4711 since 3m"), and after the limit of `heartbeat` the worker is hung, for that reason.

    Signals are passed on, once each: TERM, INT and QUIT to the command and what it has started, the others to the
    command. Its output stays as it is, byte for byte; it goes through this process only where a pattern is watched.
    This worker ends as the command ends, with its exit status or by its signal.

    A class made from this one may say by itself what to run, and add to `check`::

        class Bot(ShimWorker):
            def shim_args(self):
                return {"command": ["bin/bot", f"--port={self.args['port']}"], "watch": {"tcp": "127.0.0.1:8081"}}

            async def check(self):
                return await super().check() or (None if quota_left() else "no quota left")
    """

    _command: Command | None = None
    _settings: Settings | None = None
    _held = False
    """All that is watched has held once: this worker is ready."""

    def shim_args(self) -> Mapping[str, Any]:
        """What to run and watch: `command`, `shell` and `watch`. Here: the worker's own `args`."""
        args: Mapping[str, Any] = self.args or {}
        return args

    async def setup(self) -> None:
        """Start the command, and wait until everything that is watched holds.

        Raises:
            ArgsError: the arguments can't be used; every mistake in them is said.
            SystemExit: the command could not be started, or has ended already.
        """
        import asyncio

        from supervisor_tree.workers.shim.settings import Settings

        self._settings = Settings(self.shim_args())
        self._woken = asyncio.Event()
        stopping = self.stopping  # who looks at it is not interrupted at a stop: this worker ends when the command does
        self._start(self._settings)
        self._end = asyncio.create_task(self._wait(), name="the command's end")
        self._tasks = [
            asyncio.create_task(self._told_early(stopping), name="a signal before the command's start"),
            *(asyncio.create_task(self._ask(asked), name=str(asked.question)) for asked in self._settings.asked),
        ]
        try:
            await self._until_it_holds()
        except asyncio.CancelledError:
            self._interrupted()
        if self._end.done() or self.stopping.is_set():
            raise SystemExit(await self._ended())
        self._held = True

    async def run(self) -> int:
        """Until the command ends; its exit status. Where a signal has ended it, the same ends this process."""
        return await self._ended()

    async def check(self) -> bool | str | None:
        """None while all that is watched holds; else what does not, in words."""
        return "; ".join(self.missing()) or None

    def missing(self) -> list[str]:
        """What of all that is watched does not hold now, each in words."""
        assert self._settings is not None
        now, wall = time.monotonic(), time.time()
        for file in self._settings.files:
            file.look(now, wall)
        found = [(watch.status, watch.missing(now)) for watch in self._settings.watches]
        return [f"{status}: {reason}" if status else reason for status, reason in found if reason is not None]

    # --- the command

    def _start(self, settings: Settings) -> None:
        import asyncio

        from supervisor_tree.workers.shim.command import Command, passed_on

        loop = asyncio.get_running_loop()
        try:
            self._command = Command(loop, settings.command, self._show if settings.outputs else None)
        except OSError as error:
            print(f"{settings.command[0]} can't be started: {error.strerror}", file=sys.stderr)
            raise SystemExit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE) from None
        life = present.life
        dump = None if life is None or life.channel.dump is None else life.channel.dump["signal"]
        for number in passed_on():
            if number != dump:
                loop.add_signal_handler(number, self._command.pass_on, number)

    def _show(self, lines: list[str]) -> None:
        assert self._settings is not None
        now = time.monotonic()
        for output in self._settings.outputs:
            output.read(lines, now)
        self._woken.set()

    async def _wait(self) -> int:
        assert self._command is not None
        status = await self._command.wait()
        self._woken.set()
        return status

    async def _ended(self) -> int:
        """The command's exit status, waited for whatever this worker is told meanwhile: the command was told, too, and
        if it does not end, the tree ends both."""
        import asyncio

        from supervisor_tree.workers.shim.command import end_as

        while not self._end.done():
            try:
                await asyncio.shield(self._end)
            except asyncio.CancelledError:
                self._interrupted()
        for asking in self._tasks:
            asking.cancel()
        status = self._end.result()
        if status < 0:
            if self._held:
                await self.teardown()
            if present.life is not None:
                present.life.channel.goodbye(f"the command was ended by signal {-status}")
                present.life.close()
            sys.stdout.flush()
            sys.stderr.flush()
            end_as(status)
        return status

    async def _told_early(self, stopping: asyncio.Event) -> None:
        """Pass on the signal that came before this worker passed signals on."""
        import signal

        await stopping.wait()
        by = "" if present.life is None else present.life.end.by
        if by in ("SIGTERM", "SIGINT"):
            assert self._command is not None
            self._command.pass_on(signal.Signals[by])
        self._woken.set()

    @staticmethod
    def _interrupted() -> None:
        """This worker was told to end; so was the command, and that is what ends it."""
        import asyncio

        task = asyncio.current_task()
        assert task is not None
        task.uncancel()

    # --- ready

    async def _until_it_holds(self) -> None:
        """Wait until all that is watched holds, and meanwhile say what does not."""
        import asyncio

        assert self._settings is not None
        told: list[str] = []
        told_at = 0.0
        look = _LOOK if self._settings.files else None
        watcher = self._watch_files() if self._settings.files else None
        if watcher is not None:
            asyncio.get_running_loop().add_reader(watcher.fileno(), self._file_changed, watcher)
            look = watcher.every
        try:
            while not self._end.done() and not self.stopping.is_set() and (missing := self.missing()):
                now = time.monotonic()
                if (missing != told and now - told_at >= 1) or now - told_at >= _SAY:
                    told, told_at = missing, now
                    self._say("; ".join(missing))
                self._woken.clear()
                try:
                    async with asyncio.timeout(min(_SAY, look or _SAY)):
                        await self._woken.wait()
                except TimeoutError:
                    pass
        finally:
            if watcher is not None:
                asyncio.get_running_loop().remove_reader(watcher.fileno())
                watcher.close()

    def _say(self, missing: str) -> None:
        if present.life is not None:
            present.life.channel.unwell(f"waits: {missing}")

    def _watch_files(self) -> FileWatcher | None:
        """None: the system does not tell of these files, so that they must be looked at."""
        from supervisor_tree.system import SystemMeansError, means

        assert self._settings is not None
        watcher = means.watch_files()
        try:
            for file in self._settings.files:
                watcher.add(os.path.dirname(file.path) or ".")
            self._watch_themselves(watcher)
        except (OSError, SystemMeansError):
            watcher.close()
            return None
        return watcher

    def _watch_themselves(self, watcher: FileWatcher) -> None:
        """Anew each time: a file may have come since. Not every system says of a folder that a file in it has grown."""
        from contextlib import suppress

        assert self._settings is not None
        for file in self._settings.files:
            with suppress(FileNotFoundError):
                watcher.add(file.path)

    def _file_changed(self, watcher: FileWatcher) -> None:
        if watcher.events():
            self._watch_themselves(watcher)
            self._woken.set()

    # --- questions

    async def _ask(self, asked: Asked) -> None:
        import asyncio

        pause = _ASK_FIRST
        answered = False
        while True:
            try:
                async with asyncio.timeout(asked.timeout):
                    reason = await asked.question.ask()
            except TimeoutError:
                reason = "does not answer"
            asked.watch.told(reason, time.monotonic())
            self._woken.set()
            answered = answered or reason is None
            await asyncio.sleep(asked.every if answered else min(pause, asked.every))
            pause = min(pause * 2, _ASK_MOST)
