"""Python workers: asked of a zygote, one for each interpreter, set of preloaded modules and user (`processes.md` 13).

A request waits until its zygote is ready, is sent with the worker's descriptors, and becomes a child of the table as
soon as its pid is known; user code runs only after our *go*, so a stop before it is a kill. A forked worker is a child
of its zygote, which tells of its end and keeps its number until it is told to reap it. When a zygote dies, its workers
become children of the keeper where orphans come to it (Linux), and nothing changes for them. Elsewhere nobody could
wait for them: they are killed, and that is reported as a crash which says so.
"""

from __future__ import annotations

import errno
import os
import signal
import time

from supervisor_tree.keeper.commit import out_of
from supervisor_tree.keeper.forks import Forks
from supervisor_tree.keeper.request import Request
from supervisor_tree.keeper.spawn import SpawnError
from supervisor_tree.keeper.table import Child
from supervisor_tree.keeper.zygote import Zygote
from supervisor_tree.keeper.zygote_words import ends, first_word, may_be_fork, number, process, words
from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.table import Key

_TRIES = 2
"""A request is sent, or waits for a zygote that is killed, so often at most."""
_NEVER_RAN = "the fork died before it could run anything"


class Zygotes:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._table = keeper.table
        self._of: dict[str, Zygote] = {}
        """By the key of interpreter and preloaded modules."""
        self.forks = Forks(keeper)
        self.requests: dict[Key, Request] = {}
        """Not yet children."""
        self.over = False
        self._cancelled = float("-inf")
        """When a request that had been sent was last cancelled."""

    # --- requests

    def request(self, name: str, inc: int, effect: dict[str, Any], env: dict[str, str]) -> None:
        """Have a Python worker started.

        Raises:
            SpawnError, OSError: its zygote can't be started.
        """
        spec = effect["python"]["zygote"]
        zygote = self._of.get(spec["key"])
        if zygote is None:
            zygote = self._start(spec)
        request = Request(self._keeper, name, inc, effect, env)
        self.requests[request.key] = request
        self._give(request, zygote)

    def cancel(self, name: str, inc: int) -> bool:
        """It is not to be started. False: it is no request (any more)."""
        request = self.requests.pop((name, inc), None)
        if request is None:
            return False
        if request.talk is not None:
            self._cancelled = time.monotonic()
        request.drop()
        return True

    def may_be_forking(self, key: Key | None) -> bool:
        """An unknown process of that name may be the fork of a dead zygote that has not said its first word, or
        ends in a moment because its start was cancelled."""
        if key is not None:
            return key in self.requests
        if time.monotonic() < self._cancelled + self._keeper.limits.launch:
            return True
        return any(each.talk is not None for each in self.requests.values())

    def _start(self, spec: dict[str, Any]) -> Zygote:
        zygote = self._of[spec["key"]] = Zygote(self._keeper, spec, self)
        return zygote

    def _give(self, request: Request, zygote: Zygote) -> None:
        request.zygote = zygote
        zygote.queue.append(request.key)
        self.send_next(zygote)

    def send_next(self, zygote: Zygote) -> None:
        """Send what waits for a zygote, as far as it may have it."""
        while zygote.queue and zygote.takes_more:
            request = self.requests.get(zygote.queue.popleft())
            if request is None or request.zygote is not zygote:
                continue  # cancelled
            try:
                request.send(zygote, self._talked)
            except OSError as error:
                self._failed(request, error.errno or 0, out_of(error, self._keeper.spawner.descriptors()))

    def _failed(self, request: Request, number: int, reason: str) -> None:
        if self.requests.pop(request.key, None) is not None:
            request.drop()
            self._keeper.effects.failed(request.name, request.inc, number, reason)

    def _again(self, request: Request, zygote: Zygote | None, why: str, number: int = 0) -> None:
        """The zygote that had it is dead, and nothing came of it."""
        request.close_talk()
        if zygote is None or request.tries >= _TRIES:
            self._failed(request, number, why)
        else:
            self._give(request, zygote)

    # --- what the fork says

    def _talked(self, request: Request, talk: int) -> None:
        try:
            pid, start, failure = first_word(talk)
        except BlockingIOError:
            return
        except (EOFError, ValueError):
            self._keeper.loop.unwatch(talk)
            if self.requests.get(request.key) is request:
                request.close_talk()
                if request.zygote is None:
                    self._retry(request)
            return  # Its zygote tells, and of a child that it is dead.
        child = self._born(request, pid, start)
        if child is None:
            return
        if failure is not None:
            child.failure = failure
            self._keeper.end_launch(child)
        elif child.asked or child.killed:
            # A kill may have come before it had a group of its own.
            self.never_goes(child)
            self._keeper.stopper.kill(child)
        else:
            self._go(child, talk)

    def _go(self, child: Child, talk: int) -> None:
        try:
            os.write(talk, b"g")
        except OSError:
            return  # It is dead: its end is told.
        self._keeper.end_launch(child)
        self._keeper.spawned(child)

    def _born(self, request: Request, pid: int, start: int) -> Child | None:
        """Its pid is known, by its own word or its zygote's. None: there is no such child to be had."""
        keeper = self._keeper
        child = self._table.children.get(request.key)
        if child is not None:
            return child if child.pid == pid else None
        if self.requests.get(request.key) is not request or request.talk is None or request.outlets is None:
            return None
        zygote = request.zygote if request.zygote is not None and request.zygote.alive else None
        if not self._is_fork(pid, start, zygote):
            return None
        if zygote is None and not means.orphans_come_to_us:
            self._kill_unborn(pid, start)
            return None
        del self.requests[request.key]
        if request.timer is not None:
            request.timer.cancel()
        child = Child(request.name, request.inc, pid, start, request.since, request.effect)
        child.launch = request.talk
        if child.stop.get("command"):
            child.env = request.env
        self._table.adopted.pop(pid, None)
        child.forked = True
        self._table.add(child, of_zygote=zygote is not None)
        keeper.cgroups.take(child)
        if zygote is not None:
            self.forks.add(child, zygote)
            zygote.answered(request.key)
        keeper.loop.later(keeper.limits.launch, lambda: keeper.not_launched(child))
        request.outlets.close_writes()
        request.outlets.belong_to(child)
        if zygote is not None:
            self.send_next(zygote)
        return child

    def _is_fork(self, pid: int, start: int, zygote: Zygote | None) -> bool:
        """Whether that process may be taken for a fork: what is a worker of ours is killed by us."""
        table = self._table
        if pid in table.leaders or pid in table.others or pid in table.forked:
            return False
        return may_be_fork(pid, start, None if zygote is None else zygote.pid, self._keeper.tree_id)

    @staticmethod
    def _kill_unborn(pid: int, start: int) -> None:
        try:
            means.signal_process(pid, start, signal.SIGKILL)
        except PermissionError:
            return

    def never_goes(self, child: Child) -> None:
        """A forked child is dead, or will be, and nothing of the user's has run."""
        if child.launch is not None and child.failure is None:
            # Its end may be heard of sooner than its last word.
            try:
                child.failure = first_word(child.launch)[2]
            except (BlockingIOError, EOFError, ValueError):
                child.failure = None
        self._keeper.end_launch(child)
        if child.failure is None:
            if child.asked or child.killed:
                child.failure = {"errno": errno.ECANCELED, "reason": "stopped before it was started"}
            else:
                child.failure = {"errno": 0, "reason": _NEVER_RAN}

    # --- what the zygote says

    def forked(self, zygote: Zygote, head: dict[str, Any]) -> None:
        pid, start = process(head)
        request = self.requests.get((head["name"], head["inc"]))
        if request is not None and request.zygote is zygote:
            if request.talk is None:
                self._failed(request, 0, _NEVER_RAN)
            else:
                self._born(request, pid, start)
        elif self._is_fork(pid, start, zygote):
            self._kill_unborn(pid, start)  # cancelled meanwhile

    def fork_failed(self, zygote: Zygote, head: dict[str, Any]) -> None:
        request = self.requests.get((head["name"], head["inc"]))
        code = number(head["errno"])
        if request is not None and request.zygote is zygote:
            reason = f"the fork was refused: {words(head['reason'])}"
            if code == errno.EAGAIN:
                reason = "no more processes for this user (ulimit -u, pids limit of the cgroup)"
            self._failed(request, code, reason)
        self.send_next(zygote)

    def exited(self, zygote: Zygote, head: dict[str, Any]) -> None:
        """A worker is dead, and a zombie until the zygote hears ``reap``."""
        pid, status = number(head["pid"]), number(head["status"])
        child = self._table.forked.get(pid)
        if child is not None:
            if not self.forks.is_of(pid, zygote):
                raise ValueError("the end of another's worker")
            if means.sees_the_dead_before_reaping and means.process_identity(pid) != child.start:
                # The number may be anybody's, so nothing is done by it.
                child.emptied = True
                raise ValueError("the end of a worker that is not there")
            self._keeper.reaper.seen_dead(child, status)
            self.forks.is_dead(pid)
        zygote.reap(pid)

    def reaped(self, zygote: Zygote, head: dict[str, Any]) -> None:
        forked = self._table.forked
        costs = ends(head)
        ended = [forked[pid] for pid in costs if pid in forked]
        if not all(child.reaped and self.forks.is_of(child.pid, zygote) for child in ended):
            raise ValueError("a worker is reaped of which no end was told")
        for child in ended:
            del forked[child.pid]
            self.forks.forget(child.pid)
            if child.end is not None:
                child.end.update(costs[child.pid])
        self._keeper.reaper.reaped_elsewhere(ended)

    def limits_start_again(self) -> None:
        """The keeper itself was late."""
        self.forks.limits_start_again()
        for zygote in self._of.values():
            zygote.limits_start_again()

    def close_sent(self) -> None:
        """At the end of each turn of the loop."""
        for zygote in self._of.values():
            zygote.close_sent()

    def look_stopped(self) -> None:
        for zygote in self._of.values():
            zygote.look_stopped()

    # --- the death of a zygote

    def orphan(self, pid: int) -> Child | None:
        """A forked worker that has become a child of the keeper, for its zygote is dead; None: it is none."""
        child = self._table.forked.pop(pid, None)
        if child is not None:
            self.forks.forget(pid)
            self._table.leaders[pid] = child
        return child

    def ended(self, zygote: Zygote, why: str, *, was_ready: bool) -> None:
        """A zygote is dead, and what it had said is heard."""
        if self._of.get(zygote.key) is zygote:
            del self._of[zygote.key]
        for pid in self.forks.of(zygote):
            if means.orphans_come_to_us and _is_our_child(pid):
                self.orphan(pid)
            else:
                self._lose(pid)
        if self.over:
            return
        for request in list(self.requests.values()):
            if request.zygote is zygote and request.talk is not None:
                # Whether there was a fork has been said before its end, and may be heard after it.
                self._talked(request, request.talk)
        theirs = [each for each in self.requests.values() if each.zygote is zygote]
        successor = self._successor(zygote, theirs, was_ready=was_ready)
        for request in theirs:
            request.zygote = None
            if request.talk is None:
                if not was_ready:
                    request.tries += 1
                self._again(request, successor, why, zygote.errno)
            else:
                # Forked or not: the other end of `talk` is closed, or speaks.
                request.timer = self._keeper.loop.later(
                    self._keeper.limits.launch,
                    lambda each=request: self._retry(each),  # type: ignore[misc]
                )

    def _successor(self, zygote: Zygote, waiting: list[Request], *, was_ready: bool) -> Zygote | None:
        """At once after one that had been ready; after one that was killed while it became ready, for who waits."""
        if zygote.was_unused and not waiting:
            return None
        if not was_ready and not (zygote.was_killed and any(each.tries + 1 < _TRIES for each in waiting)):
            return None
        try:
            return self._start(zygote.spec)
        except (SpawnError, OSError) as error:
            self._keeper.kept.event(
                "zygote",
                what="failed",
                zygote=zygote.key,
                pid=None,
                interpreter=zygote.spec["argv"][0],
                preload=zygote.spec["preload"],
                module=None,
                why=str(error),
            )
            return None

    def _retry(self, request: Request) -> None:
        if self.requests.get(request.key) is not request:
            return
        spec = request.effect["python"]["zygote"]
        try:
            zygote = self._of.get(spec["key"]) or self._start(spec)
        except (SpawnError, OSError) as error:
            self._failed(request, error.errno or 0, str(error))
            return
        self._again(request, zygote, "its zygote died twice while it was to fork it")

    def _lose(self, pid: int) -> None:
        """A worker whose end nobody can wait for."""
        child = self._table.forked.pop(pid)
        self.forks.forget(pid)
        keeper = self._keeper
        child.reaped = True
        if child.end is None:
            if child.launch is not None:
                child.failure = child.failure or {"errno": 0, "reason": "its zygote died before it could run anything"}
                self.never_goes(child)
            child.end = {
                **keeper.unknown(child),
                "lost": "its zygote died, and its end could not be waited for without it",
            }
            self._kill_unborn(pid, child.start)
            keeper.stopper.kill_rest(child)
        keeper.reaper.reaped_elsewhere([child])

    # --- the end of the tree

    def cancel_all(self) -> None:
        """Nothing more is started."""
        for request in list(self.requests.values()):
            self.cancel(*request.key)

    def end(self) -> None:
        """The workers are gone: the zygotes go."""
        self.over = True
        for zygote in self._of.values():
            zygote.kill("the tree ends")

    @property
    def gone(self) -> bool:
        return not self._of


def _is_our_child(pid: int) -> bool:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
