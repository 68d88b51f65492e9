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
            "notify": self._shell.notified.on_event,
            "output_complete": lambda event: self._shell.errands.output_complete(event["name"], event["inc"]),
            "asked": self._asked,
            "logger": self._of_the_logger,
            "heard": lambda event: self._shell.hangs.heard(event["name"], event["inc"]),
            "zygote": self._of_a_zygote,
            "upgraded": self._upgrade_ended,
            "upgrade_refused": self._upgrade_ended,
        }

    def handle(self, event: Event) -> None:
        """Tell the core, or the journal."""
        self._handlers.get(event["kind"], self._journal)(event)

    def _spawned(self, event: Event) -> None:
        shell = self._shell
        shell.table[event["name"]] = [event["name"], event["inc"], event["pid"], event["start"]]
        if shell.errands.has(event["name"]):
            shell.errands.spawned(event["name"], event["inc"], event["pid"])
            return
        path = shell.spawning.path(event["name"], event["inc"])
        if path is not None:
            shell.tell(ev.ChildSpawned(path, event["inc"], event["pid"]))
            shell.readiness.look(event["name"], event["inc"])

    def _spawn_failed(self, event: Event) -> None:
        if self._shell.table.get(event["name"], ["", 0])[1] == event["inc"]:
            del self._shell.table[event["name"]]  # what was to become it is gone
        if self._shell.errands.has(event["name"]):
            self._shell.errands.not_spawned(event["name"], event["inc"], event["reason"])
            return
        path = self._shell.spawning.path(event["name"], event["inc"])
        if path is not None:
            self._shell.tell(ev.SpawnFailed(path, event["inc"], event["reason"]))

    def _exited(self, event: Event) -> None:
        shell = self._shell
        shell.table.pop(event["name"], None)
        if shell.errands.has(event["name"]):
            shell.errands.exited(event)
        else:
            self._worker_exited(event)
        if shell.heartbeats is not None:
            shell.heartbeats.ended(event["name"], event["inc"])
        shell.said.ended(event["name"], event["inc"])

    def _worker_exited(self, event: Event) -> None:
        shell = self._shell
        shell.notified.forget(event["name"])
        shell.hangs.ended(event["name"], event["inc"])
        path = shell.spawning.path(event["name"], event["inc"])
        if path is not None:
            worker = shell.spawning.settings(event["name"])
            how = exits.describe(event, worker.success if worker is not None else (0,))
            if how.normal and shell.heartbeats is not None:
                shell.heartbeats.last_words(path, event["inc"])
            shell.beating.end(event["name"])
            shell.tell(ev.ChildExited(path, event["inc"], how))
        shell.readiness.forget(event["name"])

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

    def _of_a_zygote(self, event: Event) -> None:
        """Who waits for one that takes long is shown by `status`, until something else is told of it."""
        slow = self._shell.slow
        for name in [name for name, (zygote, _) in slow.items() if zygote == event["zygote"]]:
            del slow[name]
        if event["what"] == "slow":
            text = f"waits for the preload of {event['module']}" if event["module"] else "waits for its interpreter"
            slow.update(dict.fromkeys(event["names"], (event["zygote"], text)))
        self._note(f"zygote_{event['what']}", event)

    def _of_the_logger(self, event: Event) -> None:
        """Whose output is not written is shown by `status`, and is state: the next root hears only of changes."""
        shell = self._shell
        name, what = event.get("name"), event["what"]
        reason = str(event.get("reason") or "the disk is full or slow")
        if name and what == "dropping":
            shell.dropping[name] = reason
            shell.state(f"dropping/{name}", reason.encode())
        elif name and what == "recovered" and shell.dropping.pop(name, None) is not None:
            shell.state(f"dropping/{name}", None)
        elif what in ("blocking", "stalled"):
            for each in self._blocked(name):
                shell.blocking[each] = reason
                shell.state(f"blocking/{each}", reason.encode())
        if what in ("recovered", "answers"):
            for each in [each for each in shell.blocking if name is None or each == name]:
                del shell.blocking[each]
                shell.state(f"blocking/{each}", None)
        shell.beating.held_up(name)
        self._note(f"logger_{event['what']}", event)

    def _blocked(self, name: str | None) -> list[str]:
        """Who waits while the disk takes nothing: this worker, or all that prefer to wait (`on_full = "block"`)."""
        if name is not None:
            return [name]
        workers = self._shell.plan.workers.values()
        return [worker.name for worker in workers if worker.log is not None and worker.log.on_full == "block"]

    def _upgrade_ended(self, event: Event) -> None:
        result = {"name": None, "ok": event["kind"] == "upgraded", "reason": event.get("why")}
        self._shell.end_operation(event["request"], [result])
        self._journal(event)

    def _journal(self, event: Event) -> None:
        self._note(event["kind"], event)

    def _note(self, kind: str, event: Event) -> None:
        fields = {key: value for key, value in event.items() if key not in _FRAME}
        self._shell.note(kind, event.get("name"), **fields)
