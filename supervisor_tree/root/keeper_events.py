"""What the keeper tells, in the core's terms: names become paths, statuses become words.

Kinds that mean nothing to the core, unknown ones too, are journaled as they are: nothing is silent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from supervisor_tree.core import events as ev
from supervisor_tree.root import exits

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

Event = dict[str, Any]
_FRAME = ("t", "n", "kind", "name", "at")
"""What every event frame has; the rest are the event's own fields."""


class KeeperEvents:
    """One event at a time, for one shell."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._handlers: dict[str, Callable[[Event], None]] = {
            "spawned": self._spawned,
            "spawn_failed": self._spawn_failed,
            "exited": self._exited,
            "notify": self._notified,
            "asked": self._asked,
            "logger": self._of_the_logger,
            "upgraded": self._upgrade_ended,
            "upgrade_refused": self._upgrade_ended,
        }

    def handle(self, event: Event) -> None:
        """Tell the core, or the journal."""
        self._handlers.get(event["kind"], self._journal)(event)

    def _spawned(self, event: Event) -> None:
        shell = self._shell
        shell.table[event["name"]] = [event["name"], event["inc"], event["pid"], event["start"]]
        path = shell.spawning.path(event["name"], event["inc"])
        if path is not None:
            shell.tell(ev.ChildSpawned(path, event["inc"], event["pid"]))

    def _spawn_failed(self, event: Event) -> None:
        path = self._shell.spawning.path(event["name"], event["inc"])
        if path is not None:
            self._shell.tell(ev.SpawnFailed(path, event["inc"], event["reason"]))

    def _exited(self, event: Event) -> None:
        shell = self._shell
        shell.table.pop(event["name"], None)
        path = shell.spawning.path(event["name"], event["inc"])
        if path is not None:
            worker = shell.plan.workers.get(shell.spawning.settings_name(event["name"]))
            success = worker.success if worker is not None else (0,)
            shell.tell(ev.ChildExited(path, event["inc"], exits.describe(event, success)))

    def _notified(self, event: Event) -> None:
        """sd_notify: READY=1 opens the gate of those who need this worker."""
        path = self._shell.spawning.path(event["name"], event["inc"])
        if path is not None and "READY=1" in event["text"].splitlines():
            self._shell.tell(ev.ChildReady(path, event["inc"]))

    def _asked(self, event: Event) -> None:
        """A signal to the keeper: HUP reads the files anew, TERM and INT end the tree."""
        shell = self._shell
        shell.note("asked", None, signal=event["signal"])
        if event["signal"] == "HUP":
            shell.request_reload()
            return
        if sys.stderr.isatty():
            sys.stderr.write("\nsupervisor-tree: stopping, in reverse start order (once more: at once)\n")
        shell.request_shutdown("", f"signal {event['signal']}")

    def _of_the_logger(self, event: Event) -> None:
        """Whose output is being dropped is shown by `status`, and is state: the next root hears only of changes."""
        shell = self._shell
        name = event.get("name")
        if name and event["what"] == "dropping":
            shell.dropping[name] = str(event.get("reason") or "the disk is full or slow")
            shell.state(f"dropping/{name}", shell.dropping[name].encode())
        elif name and event["what"] == "recovered" and shell.dropping.pop(name, None) is not None:
            shell.state(f"dropping/{name}", None)
        self._note(f"logger_{event['what']}", event)

    def _upgrade_ended(self, event: Event) -> None:
        result = {"name": None, "ok": event["kind"] == "upgraded", "reason": event.get("why")}
        self._shell.end_operation(event["request"], [result])
        self._journal(event)

    def _journal(self, event: Event) -> None:
        self._note(event["kind"], event)

    def _note(self, kind: str, event: Event) -> None:
        fields = {key: value for key, value in event.items() if key not in _FRAME}
        self._shell.note(kind, event.get("name"), **fields)
