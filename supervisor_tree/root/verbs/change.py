"""start, stop, restart, hold, release: wishes. signal, and reload of a worker by its signal."""

from __future__ import annotations

import signal as signals
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from supervisor_tree.core import events as ev
from supervisor_tree.core.jobs import events as jobs
from supervisor_tree.root import names
from supervisor_tree.root.control import Request, begin
from supervisor_tree.root.errors import RootError
from supervisor_tree.root.operations import Operation

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell


def _by(request: Request) -> ev.By:
    return ev.By(who=request.by, at=time.time(), why=request.reason)


def _begin(shell: Shell, request: Request) -> Operation:
    return _begun(shell, request, names.paths(shell, request.names()), [])


def _wish(
    shell: Shell,
    request: Request,
    of_tree: Callable[[tuple[str, ...]], ev.Event],
    of_jobs: Callable[[tuple[str, ...]], jobs.Request],
) -> Operation:
    """A wish about workers, supervisors and jobs: the tree is told of the ones, the jobs of the others."""
    asked = ["all"] if request.flag("all") else request.names()
    paths, runs = names.split(shell, asked)
    if request.command == "stop" and "all" in asked:
        runs += shell.jobs.leaving()
    operation = _begun(shell, request, paths, runs)
    operation.parts = max(1, bool(paths) + bool(runs))
    if paths or not runs:
        if request.command == "start" and request.flag("force"):
            for path in paths:
                shell.effect("forget", name=shell.bare(path), inc=shell.directory.node(path).incarnation)
        shell.tell(of_tree(paths))
    if runs:
        shell.jobs.tell(of_jobs(tuple(runs)))
    return operation


def _begun(shell: Shell, request: Request, paths: tuple[str, ...], runs: list[str]) -> Operation:
    operation = begin(shell, request, [*map(shell.bare, paths), *runs])
    shell.note(
        "asked_for",
        None,
        command=request.command,
        names=operation.names,
        by=request.by,
        why=request.reason,
        operation=operation.id,
    )
    return operation


def start(shell: Shell, request: Request, client: bytes) -> Operation:
    """Wish up, and now. ``force``: although unkillable processes of it are left."""
    by, tied = _by(request), request.flag("tied")
    return _wish(
        shell,
        request,
        lambda paths: ev.StartRequested(request.id, paths, by, tied=tied),
        lambda runs: jobs.StartRequested(request.id, runs, by),
    )


def stop(shell: Shell, request: Request, client: bytes) -> Operation:
    by, tied = _by(request), request.flag("tied")
    return _wish(
        shell,
        request,
        lambda paths: ev.StopRequested(request.id, paths, by, tied=tied),
        lambda runs: jobs.StopRequested(request.id, runs, by),
    )


def restart(shell: Shell, request: Request, client: bytes) -> Operation:
    """Stop and start. ``recovery``: by a rule, so not what an operator has stopped or holds.

    Raises:
        RootError: he has.
    """
    paths = names.paths(shell, ["all"] if request.flag("all") else request.names())
    if request.flag("recovery"):
        _leave_wishes(shell, paths)
    operation = _begun(shell, request, paths, [])
    shell.tell(ev.RestartRequested(request.id, paths, _by(request), tied=request.flag("tied")))
    return operation


def _leave_wishes(shell: Shell, paths: Collection[str]) -> None:
    for path in paths:
        node = shell.directory.node(path)
        if node.wish != "up":
            by = f" by {node.by.who}" if node.by is not None and node.by.who else ""
            word = "held" if node.wish == "hold" else "stopped"
            raise RootError(f"{node.name} was {word}{by}: no recovery restarts it", code="refused")


def hold(shell: Shell, request: Request, client: bytes) -> Operation:
    by = _by(request)
    return _wish(
        shell,
        request,
        lambda paths: ev.HoldRequested(request.id, paths, by),
        lambda runs: jobs.HoldRequested(request.id, runs, by),
    )


def release(shell: Shell, request: Request, client: bytes) -> Operation:
    by = _by(request)
    return _wish(
        shell,
        request,
        lambda paths: ev.ReleaseRequested(request.id, paths, by),
        lambda runs: jobs.ReleaseRequested(request.id, runs, by),
    )


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


def _send(shell: Shell, request: Request, which: dict[str, tuple[str, str]], told: Collection[str] = ()) -> Operation:
    """Send each running worker its (signal, to); those not running are said. Those ``told`` get the request as a
    command over their heartbeat socket; the operation ends when they have answered."""
    operation = _begin(shell, request)
    results: list[dict[str, Any]] = []
    for name, (word, to) in which.items():
        path = shell.directory.find(name)
        node = shell.directory.node(path) if path is not None else None
        if node is None or node.pid is None:
            results.append({"name": name, "ok": False, "reason": "not running"})
            continue
        shell.effect("signal", name=name, inc=node.incarnation, signal=word, to=to)
        shell.note("signalled", name, signal=word, to=to, by=request.by)
        results.append({"name": name, "ok": True, "reason": None})
    left = set(told)

    def answered(name: str, ok: bool, _result: Any, error: str | None) -> None:
        results.append({"name": name, "ok": ok, "reason": None if ok else error or "refused by it"})
        left.discard(name)
        if not left:
            shell.end_operation(operation.id, results)

    for name in told:
        assert shell.heartbeats is not None
        shell.note("told", name, command="reload", by=request.by)
        shell.heartbeats.commands.give(name, "reload", {}, partial(answered, name))
    if not told:
        shell.end_operation(operation.id, results)
    return operation


def _workers(shell: Shell, request: Request) -> list[str]:
    paths = names.paths(shell, request.names())
    return [shell.bare(path) for top in paths for path in shell.directory.workers_below(top)]


def signal(shell: Shell, request: Request, client: bytes) -> Operation:
    word = signal_number(request.text("signal"))
    return _send(shell, request, dict.fromkeys(_workers(shell, request), (word, "group")))


def reload_names(shell: Shell, request: Request, client: bytes) -> Operation:
    """Each worker gets its `reload_signal`; one that has none and speaks with us is told over its socket.

    Raises:
        RootError: one can't be told in either way.
    """
    which: dict[str, tuple[str, str]] = {}
    told: list[str] = []
    for name in _workers(shell, request):
        settings = shell.spawning.settings(name)
        word = settings.reload_signal if settings is not None else None
        if word is not None:
            which[name] = (signal_number(word), "leader")
        elif shell.said.of(name).connected:
            told.append(name)
        else:
            raise RootError(
                f"{name} has no reload_signal",
                code="refused",
                mend='set it (`reload_signal = "HUP"`), or use `ctl restart`',
            )
    return _send(shell, request, which, told)


def resume(shell: Shell) -> None:
    """After a root's death: nobody knows any more what those have answered that it told to reload."""
    for operation in list(shell.operations.all.values()):
        if operation.state == "running" and operation.command == "reload_names":
            reason = "the root was replaced before all had answered"
            results = [{"name": name, "ok": False, "reason": reason} for name in operation.names]
            shell.end_operation(operation.id, results)
