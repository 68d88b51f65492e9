"""`keep_awake`: while the tree, or a run of such a job, goes on, a helper of the system keeps the machine from sleep.

The helper is an errand that does nothing but hold the system's lock (`systemd-inhibit`, macOS: `caffeinate`), and is
found in the PATH of `start`. Where there is none, or it fails, that is said once: nothing else depends on it.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from supervisor_tree import config
from supervisor_tree.root.errands.errands import Ended

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_NAME = ":keep-awake"
_AGAIN = 60.0
"""Seconds after which a helper that failed is tried again."""


class KeepAwake:
    """One helper for the whole tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._runs: set[str] = set()
        self._wanted = False
        self._failed = False

    def run_goes_on(self, job: str, run: str, *, going: bool) -> None:
        """A run has begun, or has ended."""
        settings = self._shell.jobs.settings(job, run)
        if going and settings is not None and settings.keep_awake:
            self._runs.add(run)
        else:
            self._runs.discard(run)
        self.look()

    def look(self) -> None:
        """Have the helper there when it is to be there."""
        shell = self._shell
        wanted = bool(self._runs or shell.plan.tree.keep_awake) and not shell.jobs.ending
        if wanted and not self._wanted:
            self._wanted = True
            self._begin()
        elif self._wanted and not wanted:
            self._wanted = False
            shell.errands.stop(_NAME, 5.0)

    def resume(self) -> None:
        """After a take-over: go on with the helper that is there."""
        self._wanted = self._shell.errands.adopt(_NAME, self._ended)

    def _begin(self) -> None:
        shell = self._shell
        if shell.errands.has(_NAME):
            return  # it is on its way out, and its end is looked at
        argv = _helper(shell.plan.environ.get("PATH"), shell.plan.name)
        if argv is None:
            self._say("systemd-inhibit or caffeinate is not there")
            return
        shell.errands.start(_NAME, config.helper_program(shell.plan, argv), on_end=self._ended)

    def _ended(self, ended: Ended) -> None:
        if not self._wanted:
            return
        if ended.cancelled:
            self._begin()
            return
        self._say(ended.exit.reason)
        self._shell.loop.call_later(_AGAIN, self._once_more)

    def _once_more(self) -> None:
        if self._wanted:
            self._begin()
            self._shell.flush()

    def _say(self, why: str) -> None:
        if not self._failed:
            self._failed = True
            self._shell.note("not_kept_awake", None, reason=why)


def _helper(path: str | None, tree: str) -> tuple[str, ...] | None:
    if sys.platform == "darwin":
        found = shutil.which("caffeinate", path=path)
        return (found, "-dims") if found else None
    found = shutil.which("systemd-inhibit", path=path)
    if found is None:
        return None
    why = f"--why=tree {tree} runs"
    return (found, "--what=sleep:idle", "--who=supervisor-tree", why, "--mode=block", "sleep", "infinity")
