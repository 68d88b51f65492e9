"""Means that every Unix has: groups, signals, read and write. No pidfd, splice or subreaper.

Where processes are listed from is the one thing that still differs: libproc on macOS, /proc elsewhere.
"""

from __future__ import annotations

import os
import sys

from supervisor_tree.system.means import Means, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.system.watch import FileWatcher

if sys.platform == "darwin":
    from supervisor_tree.system import darwin as listing
else:
    from supervisor_tree.system import procfs as listing


class PortableMeans(Means):
    name = "portable"

    def boot_id(self) -> str:
        return listing.boot_id()

    def pid_namespace(self) -> str:
        return listing.pid_namespace()

    def process(self, pid: int) -> Process | None:
        return listing.process(pid)

    def processes(self) -> list[Process]:
        return listing.processes()

    def environment(self, pid: int) -> bytes | None:
        return listing.environment(pid)

    def command(self, pid: int) -> str:
        return listing.command(pid)

    def watch_files(self) -> FileWatcher:
        from supervisor_tree.system import watch

        if sys.platform != "linux":
            return watch.KqueueWatcher()
        return watch.StatWatcher()

    def watch_process(self, pid: int) -> int | None:
        """kqueue NOTE_EXIT: the kqueue itself is the descriptor that becomes readable."""
        if sys.platform != "linux":
            import select

            queue = select.kqueue()
            event = select.kevent(
                pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD | select.KQ_EV_ONESHOT, select.KQ_NOTE_EXIT
            )
            try:
                queue.control([event], 0)
                return os.dup(queue.fileno())
            except OSError:
                return None
            finally:
                queue.close()
        return None
