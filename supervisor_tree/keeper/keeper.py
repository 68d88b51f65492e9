"""The keeper itself: what its parts share, and what happens between them."""

from __future__ import annotations

import json
import os
import signal

from supervisor_tree.keeper import last_life
from supervisor_tree.keeper.adopt import Adopter
from supervisor_tree.keeper.brain import Brain
from supervisor_tree.keeper.cgroups import Cgroups
from supervisor_tree.keeper.commit import Effects
from supervisor_tree.keeper.ending import Ending
from supervisor_tree.keeper.kept import Kept
from supervisor_tree.keeper.logger import LogKeeper
from supervisor_tree.keeper.loop import Loop, say
from supervisor_tree.keeper.main_process import MainProcesses
from supervisor_tree.keeper.notify import Gathered
from supervisor_tree.keeper.reap import Reaper
from supervisor_tree.keeper.spawn import Spawner
from supervisor_tree.keeper.stop import Stopper
from supervisor_tree.keeper.sweep import half_spawned_name
from supervisor_tree.keeper.table import Table
from supervisor_tree.keeper.upward import Upward
from supervisor_tree.keeper.without_brain import Asked
from supervisor_tree.keeper.zygotes import Zygotes
from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from supervisor_tree.keeper.limits import Limits
    from supervisor_tree.keeper.lock import Lock
    from supervisor_tree.keeper.table import Child

_COLLECT_DONE = 256


class Keeper:
    """Made once in a process. `run` lives until the tree is over."""

    def __init__(
        self, root_argv: list[str], environ: Mapping[str, str], limits: Limits, logger_argv: list[str] | None
    ) -> None:
        self.tree_id = os.urandom(16).hex()
        self.limits = limits
        self.start = means.process_identity(os.getpid()) or 0
        self.boot = means.boot_id()
        self.namespace = means.pid_namespace()
        means.become_subreaper()
        means.call_self(half_spawned_name(self.tree_id))
        self.lock: Lock | None = None
        self.run_dir = ""
        self.prepared = False
        self.left_on_purpose: set[str] = set()
        """Names of workers with `sweep = false` that have ended: what they left is spared to the end, and by it."""
        self._roles = 0
        self._ending: Ending | None = None
        self.loop = Loop()
        self.loop.late_by = limits.late
        self.loop.on_signals = self._signals
        self.loop.on_late = self._late
        self.loop.on_turn = self._turn_over
        self._catch()
        self.table = Table()
        self.kept = Kept()
        self.cgroups = Cgroups(self)
        self.spawner = Spawner(environ, self.tree_id)
        self.adopter = Adopter(self)
        self.mains = MainProcesses(self)
        self.gathered = Gathered(self)
        self.stopper = Stopper(self)
        self.reaper = Reaper(self)
        self.logger = LogKeeper(self, logger_argv)
        self.zygotes = Zygotes(self)
        self.brain = Brain(self, root_argv)
        self.upward = Upward(environ, self.loop, self._vouched)
        if self.upward.watchdog is not None:
            # The root must have been heard of between two WATCHDOG=1.
            limits.ping = min(limits.ping, self.upward.watchdog / 2)
        self.asked = Asked(self)
        self.effects = Effects(self)

    def _catch(self) -> None:
        wanted = [signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            wanted.append(signal.SIGHUP)
        self.loop.catch(*wanted)
        # A keeper must not die of a stray signal that means something to its root only.
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    def run(self) -> int:
        """Start the first root and hold everything until the end; returns the exit status."""
        self.brain.start()
        return self.loop.run()

    def live_while_open(self, fd: int) -> None:
        """Stop everything, as when asked by SIGTERM, once the other end of this pipe is closed."""

        def closed(_ready: int) -> None:
            self.loop.unwatch(fd)
            os.close(fd)
            if not self.asked.begun:
                self.asked.signal(signal.SIGTERM)

        self.loop.watch(fd, closed)

    @property
    def ending(self) -> bool:
        return self._ending is not None

    def next_role_number(self) -> int:
        """Numbers roots and loggers in the record, as incarnations number workers."""
        self._roles += 1
        return self._roles

    # --- signals and turns

    def _signals(self, numbers: list[int]) -> None:
        for number in numbers:
            if number == signal.SIGCHLD:
                self.reaper.reap()
                self.flush()
                self.brain.look_stopped()
                self.logger.look_stopped()
                self.zygotes.look_stopped()
            elif number in (signal.SIGTERM, signal.SIGINT):
                self.asked.signal(number)
            elif self.prepared:
                self.kept.event("asked", signal="HUP" if number == signal.SIGHUP else "USR1")
            elif number == signal.SIGHUP:
                self.never_began(128 + number)

    def _late(self, seconds: float) -> None:
        """This process was asleep: limits on others begin anew."""
        self.brain.limits_start_again()
        self.logger.limits_start_again()
        self.zygotes.limits_start_again()
        self.asked.limits_start_again()

    def _turn_over(self) -> None:
        if self.asked.alone:
            self.asked.look()
        if self._ending is not None:
            self._ending.look()
        self.zygotes.close_sent()
        self.flush()

    def flush(self) -> None:
        """Send what was gathered for root and logger, the root first: it has decisions to make."""
        self.brain.flush()
        self.logger.flush_soon()

    def _vouched(self) -> bool:
        vouched, self.brain.acknowledged = self.brain.acknowledged, False
        return vouched

    # --- the beginning

    def prepare(self, head: dict[str, Any]) -> None:
        """The first root has read a good configuration: lock, sweep what is left, start the logger."""
        if self.lock is None:
            self.run_dir = str(head["run_dir"])
            try:
                self.lock, self._swept = last_life.take_over(str(head["state_dir"]), str(head["name"]), self.limits)
                self.lock.write(
                    {
                        "pid": os.getpid(),
                        "id": self.tree_id,
                        "boot": self.boot,
                        "ns": self.namespace,
                        "start": self.start,
                        **self.cgroups.note(),
                    }
                )
                self.logger.begin(str(head["state_dir"]))
            except last_life.AlreadyRunning as error:
                self._refuse(str(error))
                return
            except OSError as error:
                self._refuse(f"{head['state_dir']}: {error.strerror}")
                return
            self.prepared = True
            self.cgroups.tell()
        self.brain.prepared(self._swept, self.lock.fd)

    def _refuse(self, message: str) -> None:
        say(message)
        if self.lock is not None:
            self.lock.write({})
        self.never_began(1)

    def never_began(self, status: int) -> None:
        """The tree ends before anything of it was started."""
        if self._ending is None:
            self._ending = Ending(self, status, kill_root=True)

    # --- what children do

    def commit(self, head: dict[str, Any], blob: bytes) -> None:
        """A commit of the root of now.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is none.
        """
        if self.kept.store(head, blob):
            if len(self.table.done) > _COLLECT_DONE:
                # Whose end was acknowledged, the root of now and any later one knows of.
                self.table.done.intersection_update((each.get("name"), each.get("inc")) for each in self.kept.events)
            self.effects.carry_out(head.get("effects") or [])

    def spawned(self, child: Child) -> None:
        self.kept.event("spawned", name=child.name, inc=child.inc, pid=child.pid, start=child.start)

    def launched(self, child: Child) -> None:
        """The helper has reached the program, or reports why it can't."""
        if child.launch is None:
            return
        try:
            said = os.read(child.launch, 4096)
        except BlockingIOError:
            return
        self.end_launch(child)
        if said:
            child.failure = json.loads(said)
        else:
            self.spawned(child)

    def not_launched(self, child: Child) -> None:
        """The helper hangs: a name service or a file system does not answer."""
        if child.launch is not None:
            self.end_launch(child)
            what = "it was not ready for its first line in time"
            if not child.forked:
                what = "user, group or limits could not be set in time"
            child.failure = {"errno": 0, "reason": what}
            self.stopper.kill(child)

    def end_launch(self, child: Child) -> None:
        """It is what it was to become, or will never be."""
        if child.launch is not None:
            self.loop.unwatch(child.launch)
            os.close(child.launch)
            child.launch = None

    def child_ended(self, child: Child, end: dict[str, Any]) -> None:
        """Nothing is left of it."""
        if child.notify is not None:
            child.notify.close()
        self.logger.emptied(child)
        self.logger.forget(child)
        if not child.sweep:
            self.left_on_purpose.add(child.name)
        if child.failure is not None:
            self.kept.event("spawn_failed", name=child.name, inc=child.inc, **child.failure)
        else:
            # Before it is known of: what the logger says next may be that it has all of it.
            more = {"complete": self.logger.tell_complete(child)} if child.tells_output else {}
            fields = {**(end or self.unknown(child)), **more}
            self.kept.event("exited", name=child.name, inc=child.inc, pid=child.pid, **fields)

    @staticmethod
    def unknown(child: Child) -> dict[str, Any]:
        """An end of which no status is known: forgotten although it lives, or seen by somebody else."""
        ended = {"code": None, "signal": None, "core": False, "oom": None, "cpu": None, "maxrss": None}
        return {**ended, "asked": child.asked, "killed": child.killed}

    # --- the end

    def end(self, status: int, *, kill_root: bool = False) -> None:
        """The tree is over: nothing more is spawned."""
        if self._ending is None:
            self._ending = Ending(self, status, kill_root=kill_root)

    def root_is_able(self) -> None:
        """A new root may still have to be asked to stop the tree: the event says so, nothing to do here."""
        self.flush()

    def root_is_gone(self) -> None:
        if self._ending is not None:
            self._ending.processes_end()

    def logger_is_gone(self) -> None:
        self.root_is_gone()

    def logs_are_written(self) -> None:
        if self._ending is not None:
            self._ending.logs_are_written()
