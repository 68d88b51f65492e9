"""How a process ended, in words; and how a tree that ended is an exit status."""

from __future__ import annotations

import signal
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from supervisor_tree.core.effects import EndTree, Note
from supervisor_tree.core.events import Exit

if TYPE_CHECKING:
    from supervisor_tree.root.directory import Directory


def signal_name(number: int) -> str:
    """`SIGTERM`; a real-time or unknown one as `signal 40`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def describe(event: dict[str, Any], success: Collection[int | str]) -> Exit:
    """The keeper's `exited` event as the core's `Exit`.

    ``success``: statuses and signal names (with or without `SIG`) that are no failure.
    """
    code, number = event.get("code"), event.get("signal")
    if number is not None:
        name = signal_name(number)
        reason = f"killed by {name}"
        normal = name in success or name.removeprefix("SIG") in success
        oom = event.get("oom")
        if oom:
            # In the kernel's words where its log could be read.
            reason += f" (out of memory: {oom})" if isinstance(oom, str) else " (out of memory)"
        if event.get("core"):
            reason += " (core dumped)"
    else:
        reason = f"exit status {code}" if code is not None else event.get("lost") or "ended, its status was lost"
        normal = code in success
        hint = _HINTS.get(code or 0)
        if hint and not normal:
            reason += f" ({hint})"
    if event.get("killed"):
        reason += " after its shutdown time had passed"
    return Exit(code=code, signal=number, normal=normal, reason=reason)


def last_words(directory: Directory, note: Note) -> str:
    """Why the root supervisor ends by itself: of its note ``gave_up`` or ``start_failed``."""
    fields = note.fields
    if note.kind == "start_failed":
        return str(fields.get("reason"))
    child = str(fields.get("child"))
    exit_ = directory.node(child).last_exit if directory.has(child) else None
    because = f"{child.rpartition('/')[2]} ({exit_.reason})" if exit_ else child.rpartition("/")[2]
    return f"more than {fields.get('intensity')} restarts in {fields.get('period'):g} s, the last because of {because}"


_HINTS = {
    126: "found, but can't be executed",
    127: "command not found",
    78: "EX_CONFIG: its configuration, or macOS refused access",
    137: "128+9, as shells tell it: a program that it ran was killed by SIGKILL, perhaps for want of memory",
}


def tree_status(directory: Directory, end: EndTree) -> int:
    """The exit status of `start`: 0 when asked; of auto shutdown the significant worker's (128+N: a signal); else 1."""
    if end.why == "shutdown":
        return 0
    if end.why == "auto_shutdown":
        exit_ = directory.node(end.path).last_exit if end.path and directory.has(end.path) else None
        if exit_ is None:
            return 0
        if exit_.signal is not None:
            return 128 + exit_.signal
        return exit_.code if exit_.code is not None else 1
    return 1
