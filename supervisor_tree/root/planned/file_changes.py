"""`watch`: a planned restart of the workers whose files have changed, one for a flood of changes.

A change counts for what runs, and for what waits to be tried again: what is being stopped, or is down, finds the
new files at its next start anyway. One that is held is restarted when it is released.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from supervisor_tree.core import gates
from supervisor_tree.core.node import Node, State
from supervisor_tree.core.planned import Slowing
from supervisor_tree.root.planned import ages
from supervisor_tree.root.planned.globs import Ignored
from supervisor_tree.root.planned.watching import Begun, Changes, Patterns, Watching

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_SETTLE = 0.05
"""Seconds for which changes of the tree itself are gathered before the watch is set up anew."""


class _Pending:
    """Files of one worker have changed, and it has not been restarted for it yet."""

    def __init__(self, first: float) -> None:
        self.first = first
        self.incarnation = 0
        """Which was the present one when they changed last: the next one has found them as they are."""
        self.paths: dict[str, str] = {}
        """Path → what happened to it, the first change first."""
        self.timer: asyncio.TimerHandle | None = None
        """None: it is looked at again when something about the worker changes."""
        self.slowed = False


class FileChanges:
    """All workers of a tree that have `watch`."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._watching: Watching | None = None
        self._patterns: dict[str, Patterns] = {}
        """By path, of those that are watched for."""
        self._set_up: asyncio.TimerHandle | None = None
        self._pending: dict[str, _Pending] = {}
        self._slowing: dict[str, Slowing] = {}

    def changed(self, paths: Iterable[str]) -> None:
        """These nodes are not what they were."""
        for path in paths:
            node = self._shell.tree.nodes.get(path)
            if node is not None and node.is_supervisor:
                # A hold above a worker may have ended.
                for late in [one for one in self._pending if one.startswith(f"{path}/")]:
                    self._look_again(late)
                continue
            if self._patterns_of(node) != self._patterns.get(path) and self._set_up is None:
                self._set_up = self._shell.loop.call_later(_SETTLE, self._watch_anew)
            if path in self._pending:
                self._look_again(path)

    def _patterns_of(self, node: Node | None) -> Patterns | None:
        if node is None:
            return None
        settings = self._shell.spawning.settings(node.name)
        return settings.watch or None if settings is not None else None

    def _watch_anew(self) -> None:
        """Watch for the workers that there are now."""
        self._set_up = None
        nodes = self._shell.tree.nodes
        self._patterns = {
            path: patterns for path, node in nodes.items() if (patterns := self._patterns_of(node)) is not None
        }
        wanted = set(self._patterns.values())
        before = self._watching
        if before is not None and before.does(wanted):
            return
        self.end()
        if not wanted:
            return
        loop = self._shell.loop
        logs = [file for log in self._shell.spawning.log_files().values() for file in log.values() if file]
        self._watching = Watching(
            wanted,
            Ignored([self._shell.plan.state_dir, self._shell.run_dir], logs),
            begun=lambda begun: self._call(self._begun, begun),
            changed=lambda patterns, changes: self._call(self._changed, patterns, changes, loop.time()),
            failed=lambda error, mend: self._call(self._failed, error, mend),
            before=before,
        )
        self._watching.start()

    def _call(self, what: object, *arguments: object) -> None:
        try:
            self._shell.loop.call_soon_threadsafe(what, *arguments)  # type: ignore[arg-type]
        except RuntimeError:
            return  # the loop is gone

    def end(self) -> None:
        """Watch no longer."""
        if self._watching is not None:
            self._watching.end()
            self._watching = None

    # What the thread tells

    def _begun(self, begun: dict[Patterns, Begun]) -> None:
        shell = self._shell
        shell.note(
            "watch_began",
            None,
            files=sum(one.files for one in begun.values()),
            folders=sum(one.folders for one in begun.values()),
        )
        for path, patterns in self._patterns.items():
            one, node = begun.get(patterns), shell.tree.nodes.get(path)
            if one is None or one.newest is None or node is None or node.state is not State.UP:
                continue
            written, file = one.newest
            now = shell.loop.time()
            if written > time.time() - (now - node.since):
                # While nobody watched: before this watch was set up, or between two roots.
                self._note(path, [(file, "changed")], now)
        shell.flush()

    def _changed(self, patterns: Patterns, changes: Changes, at: float) -> None:
        for path, wanted in self._patterns.items():
            if wanted == patterns:
                self._note(path, changes, at)

    def _failed(self, error: str, mend: str) -> None:
        self._patterns = {}  # tried again when something about one of the workers changes
        self._shell.note("watch_failed", None, error=error, mend=mend)
        self._shell.flush()

    def _note(self, path: str, changes: Changes, at: float) -> None:
        node, pending = self._shell.tree.nodes.get(path), self._pending.get(path)
        if node is None:
            return
        if pending is None:
            pending = self._pending[path] = _Pending(at)
        pending.incarnation = node.incarnation
        for file, what in changes:
            pending.paths.setdefault(file, what)
        self._arm(path, pending, at)

    def _arm(self, path: str, pending: _Pending, at: float) -> None:
        if pending.timer is not None:
            pending.timer.cancel()
        pending.timer = self._shell.loop.call_at(at, self._due, path)

    def _look_again(self, path: str) -> None:
        pending = self._pending[path]
        if pending.timer is None:
            self._arm(path, pending, self._shell.loop.time())

    # The restart

    def _due(self, path: str) -> None:
        shell = self._shell
        pending, node = self._pending[path], shell.tree.nodes.get(path)
        pending.timer = None
        if (
            node is None
            or node.incarnation != pending.incarnation
            or node.state not in (State.STARTING, State.UP, State.RESTARTING)
        ):
            del self._pending[path]
            return
        if node.state is State.STARTING or gates.held(node):
            return  # `changed` tells when that has passed
        slowing = self._slowing.setdefault(path, Slowing())
        due = node.since + slowing.pause
        if due > shell.loop.time():
            self._slow(node, pending, due)
        else:
            del self._pending[path]
            slowing.restarted(pending.first - node.since)
            ages.restart(shell, node, self._words(pending), "watch", files=self._told(pending))
        shell.flush()

    def _slow(self, node: Node, pending: _Pending, due: float) -> None:
        if not pending.slowed:
            pending.slowed = True
            file = self._relative(next(iter(pending.paths)))
            self._shell.note("watch_slowed", node.name, file=file, seconds=self._slowing[node.path].pause)
        self._arm(node.path, pending, due)

    def _words(self, pending: _Pending) -> str:
        file, what = next(iter(pending.paths.items()))
        more = len(pending.paths) - 1
        others = f", and {more} other file{'' if more == 1 else 's'}" if more else ""
        return f"{self._relative(file)} was {what}{others}"

    def _told(self, pending: _Pending) -> list[str]:
        """The first of the files that changed."""
        return [self._relative(file) for file in list(pending.paths)[:10]]

    def _relative(self, file: str) -> str:
        base = self._shell.plan.dir
        return os.path.relpath(file, base) if file.startswith(f"{base}/") else file
