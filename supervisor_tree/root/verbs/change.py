"""start, stop, restart, hold, release: wishes. signal, and reload of a worker by its signal."""

from __future__ import annotations

import signal as signals
import time
from typing import TYPE_CHECKING

from supervisor_tree.core import events as ev
from supervisor_tree.root import names
from supervisor_tree.root.control import Request, begin
from supervisor_tree.root.errors import RootError
from supervisor_tree.root.operations import Operation

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell


def _by(request: Request) -> ev.By:
    return ev.By(who=request.by, at=time.time(), why=request.reason)


def _begin(shell: Shell, request: Request) -> tuple[Operation, tuple[str, ...]]:
    if request.flag("all"):
        paths: tuple[str, ...] = tuple(shell.directory.children("root"))
    else:
        paths = names.paths(shell, request.names())
    operation = begin(shell, request, [shell.bare(path) for path in paths])
    shell.note(
        "asked_for",
        None,
        command=request.command,
        names=operation.names,
        by=request.by,
        why=request.reason,
        operation=operation.id,
    )
    return operation, paths


def start(shell: Shell, request: Request, client: bytes) -> Operation:
    """Wish up, and now. ``force``: although unkillable processes of it are left."""
    operation, paths = _begin(shell, request)
    if request.flag("force"):
        for path in paths:
            shell.effect("forget", name=shell.bare(path), inc=shell.directory.node(path).incarnation)
    shell.tell(ev.StartRequested(request.id, paths, _by(request), tied=request.flag("tied")))
    return operation


def stop(shell: Shell, request: Request, client: bytes) -> Operation:
    operation, paths = _begin(shell, request)
    shell.tell(ev.StopRequested(request.id, paths, _by(request), tied=request.flag("tied")))
    return operation


def restart(shell: Shell, request: Request, client: bytes) -> Operation:
    operation, paths = _begin(shell, request)
    shell.tell(ev.RestartRequested(request.id, paths, _by(request), tied=request.flag("tied")))
    return operation


def hold(shell: Shell, request: Request, client: bytes) -> Operation:
    operation, paths = _begin(shell, request)
    shell.tell(ev.HoldRequested(request.id, paths, _by(request)))
    return operation


def release(shell: Shell, request: Request, client: bytes) -> Operation:
    operation, paths = _begin(shell, request)
    shell.tell(ev.ReleaseRequested(request.id, paths, _by(request)))
    return operation


def signal_number(word: str) -> str:
    """`HUP`, `SIGHUP` or `1` as the bare name the keeper takes.

    Raises:
        RootError: no such signal.
    """
    text = word.upper().removeprefix("SIG")
    try:
        if text.isdigit():
            return signals.Signals(int(text)).name.removeprefix("SIG")
        return signals.Signals[f"SIG{text}"].name.removeprefix("SIG")
    except (ValueError, KeyError):
        raise RootError(f"no such signal: {word}", code="usage", mend="`kill -l` lists them") from None


def _send(shell: Shell, request: Request, which: dict[str, tuple[str, str]]) -> Operation:
    """Send each running worker its (signal, to); those not running are said."""
    operation, _ = _begin(shell, request)
    results = []
    for name, (word, to) in which.items():
        path = shell.directory.find(name)
        node = shell.directory.node(path) if path is not None else None
        if node is None or node.pid is None:
            results.append({"name": name, "ok": False, "reason": "not running"})
            continue
        shell.effect("signal", name=name, inc=node.incarnation, signal=word, to=to)
        shell.note("signalled", name, signal=word, to=to, by=request.by)
        results.append({"name": name, "ok": True, "reason": None})
    shell.end_operation(operation.id, results)
    return operation


def _workers(shell: Shell, request: Request) -> list[str]:
    paths = names.paths(shell, request.names())
    return [shell.bare(path) for top in paths for path in shell.directory.workers_below(top)]


def signal(shell: Shell, request: Request, client: bytes) -> Operation:
    word = signal_number(request.text("signal"))
    return _send(shell, request, dict.fromkeys(_workers(shell, request), (word, "group")))


def reload_names(shell: Shell, request: Request, client: bytes) -> Operation:
    """Each worker gets its `reload_signal`.

    Raises:
        RootError: one has none.
    """
    which: dict[str, tuple[str, str]] = {}
    for name in _workers(shell, request):
        word = shell.plan.workers[shell.spawning.settings_name(name)].reload_signal
        if word is None:
            raise RootError(
                f"{name} has no reload_signal",
                code="refused",
                mend='set it (`reload_signal = "HUP"`), or use `ctl restart`',
            )
        which[name] = (signal_number(word), "leader")
    return _send(shell, request, which)
