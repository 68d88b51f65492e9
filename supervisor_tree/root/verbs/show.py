"""status, describe, and what other commands need to know about a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree import config
from supervisor_tree.core.spec import SupervisorSpec
from supervisor_tree.core.view import NodeView
from supervisor_tree.root import names
from supervisor_tree.root.clocks import Clock, rfc3339
from supervisor_tree.root.control import Request
from supervisor_tree.root.errors import RootError
from supervisor_tree.root.sentences import reason_of
from supervisor_tree.root.usage import Used

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell


def status(shell: Shell, request: Request, client: bytes) -> None:
    """The tree as JSON; with names only these. Memory and CPU are looked up in a thread."""
    asked = request.names()
    paths = names.paths(shell, asked) if asked else tuple(shell.directory.children("root"))
    workers = [path for top in paths for path in shell.directory.workers_below(top)]
    pids = [pid for path in workers if (pid := _pid(shell, shell.directory.node(path))) is not None]
    control = shell.control
    assert control is not None

    async def later() -> None:
        used = await shell.loop.run_in_executor(None, shell.usage.look, pids)
        clock = Clock(shell.loop.time())
        views = [shell.directory.node(path) for path in paths if shell.directory.has(path)]
        children = [child_json(shell, view, clock, used) for view in views]
        control.end(client, request.id, tree_json(shell, clock, children))
        shell.flush()

    control.later(later())


def tree_json(shell: Shell, clock: Clock, children: list[dict[str, Any]]) -> dict[str, Any]:
    import os

    root = shell.directory.node("root")
    return {
        "tree": shell.plan.name,
        "file": shell.plan.file,
        "keeper": shell.keeper_pid,
        "root": os.getpid(),
        "state": root.status,
        "strategy": root.strategy,
        "intensity": shell.plan.root.intensity,
        "period": shell.plan.root.period,
        "since": clock.text(root.since) or rfc3339(shell.started),
        "root_since": rfc3339(shell.started),
        "dropped": dict(shell.dropped()),
        **shell.store.trouble(),
        "children": children,
        "jobs": [told for name in _jobs(shell) if (told := shell.jobs.json(name)) is not None],
    }


def _jobs(shell: Shell) -> list[str]:
    return [*shell.jobs.names(), *shell.jobs.leaving()]


def child_json(shell: Shell, view: NodeView, clock: Clock, used: dict[int, Used]) -> dict[str, Any]:
    """A CHILD of the contract, with those below it."""
    pid = _pid(shell, view)
    cpu, memory = used.get(pid or 0, (None, None))
    spec = shell.specs.of(view.path)
    return {
        "name": view.name,
        "type": view.type,
        "state": view.status,
        "pid": pid,
        "incarnation": view.incarnation,
        "restarts": view.restarts,
        "since": _since(shell, view, clock),
        "reason": reason_of(shell, view),
        "next_attempt": clock.text(view.next_attempt),
        "ready": view.ready,
        "health": _health(shell, view),
        "status": _status(shell, view),
        "cpu": cpu,
        "memory": memory,
        "last_exit": _last_exit(view, clock),
        "hold": _hold(view),
        "strategy": view.strategy,
        "intensity": spec.intensity if isinstance(spec, SupervisorSpec) else None,
        "period": spec.period if isinstance(spec, SupervisorSpec) else None,
        "children": [child_json(shell, child, clock, used) for child in view.children],
    }


def _pid(shell: Shell, view: NodeView) -> int | None:
    return shell.notified.pid(view.name, view.pid)


def _since(shell: Shell, view: NodeView, clock: Clock) -> str | None:
    """Since when it is in this state; of one that a wish has kept down since before this life: since the wish."""
    if view.wish != "up" and view.last_exit is None and view.by is not None and view.by.at:
        return rfc3339(view.by.at)
    return clock.text(view.since or shell.tree.root.since)


def _status(shell: Shell, view: NodeView) -> str | None:
    """The word of the probe that fails, else what the worker says of itself."""
    return shell.probes.status(view.name) or (shell.said.of(view.name).status if view.pid is not None else None)


def _health(shell: Shell, view: NodeView) -> str | None:
    """None: nothing is asked of it (yet). Of whom something is awaited he is healthy until it does not come."""
    if view.healthy is None:
        return "healthy" if shell.beating.watches(view.name) or shell.probes.watches(view.name) else None
    return "healthy" if view.healthy else "unhealthy"


def _last_exit(view: NodeView, clock: Clock) -> dict[str, Any] | None:
    if view.last_exit is None:
        return None
    exit_ = view.last_exit
    return {"code": exit_.code, "signal": exit_.signal, "reason": exit_.reason, "at": clock.text(view.last_exit_at)}


def _hold(view: NodeView) -> dict[str, Any] | None:
    if view.wish == "up" or view.by is None:
        return None
    return {
        "wish": view.wish,
        "by": view.by.who or None,
        "at": rfc3339(view.by.at) if view.by.at else None,
        "reason": view.by.why or None,
    }


def describe(shell: Shell, request: Request, client: bytes) -> None:
    """Everything that is set for these children and how they are; environment variables by name only. Memory and CPU
    are looked up in a thread, as for `status`."""
    paths, jobs = names.split(shell, request.names())
    pids = [pid for path in paths if (pid := _pid(shell, shell.directory.node(path))) is not None]
    described = [described_job(shell, name) for name in jobs]
    control = shell.control
    assert control is not None

    async def later() -> None:
        used = await shell.loop.run_in_executor(None, shell.usage.look, pids)
        clock = Clock(shell.loop.time())
        described.extend(described_child(shell, path, clock, used) for path in paths if shell.directory.has(path))
        control.end(client, request.id, described)
        shell.flush()

    control.later(later())


def described_child(shell: Shell, path: str, clock: Clock, used: dict[int, Used]) -> dict[str, Any]:
    """All about one worker or supervisor."""
    name = shell.bare(path)
    settings = shell.spawning.settings(name) or shell.plan.supervisors.get(name)
    child = child_json(shell, shell.directory.node(path), clock, used)
    child.pop("children")
    return {
        **child,
        "path": path,
        "settings": without_values(settings),
        "logs": shell.spawning.log_file(name),
        "said": said_json(shell, name, clock) if child["type"] == "worker" else None,
        "probes": shell.probes.results(name),
    }


def described_job(shell: Shell, name: str) -> dict[str, Any]:
    """All about one job."""
    settings = shell.jobs.settings(name)
    told = shell.jobs.json(name) or {}
    logs = None if settings is None else config.job_logs(shell.plan, settings)
    return {**told, "settings": without_values(settings), "logs": logs}


def said_json(shell: Shell, name: str, clock: Clock) -> dict[str, Any]:
    """What a worker has said of itself, and how long it has been silent."""
    words = shell.said.of(name)
    now = shell.loop.time()
    return {
        "connected": words.connected,
        "status": words.status,
        "detail": words.detail,
        "fields": words.fields,
        "unwell": words.unwell,
        "last_beat": clock.text(words.beat_at),
        "beat_age": None if words.beat_at is None else round(now - words.beat_at, 3),
        "interval": words.interval,
        "activity": words.activity,
        "last_activity": clock.text(words.activity_at),
        "goodbye": words.goodbye,
        "reloading": words.reloading,
        "stopping": words.stopping,
        "main_pid": words.main_pid,
        "silence": shell.beating.silence(name),
    }


def without_values(settings: Any) -> dict[str, Any]:
    """Settings as JSON, as people write them; of the environment the names only."""
    if settings is None:
        return {}
    data: dict[str, Any] = config.as_written(msgspec.to_builtins(settings))
    for part in (data, *data.get("stages", ())):
        if isinstance(part.get("env"), dict):
            part["env"] = sorted(part["env"])
        if isinstance(part.get("umask"), int):
            part["umask"] = f"{part['umask']:03o}"
    return data


def logs_info(shell: Shell, request: Request, client: bytes) -> list[dict[str, Any]]:
    asked = request.names()
    wanted = (
        {shell.bare(path) for top in names.paths(shell, asked) for path in shell.directory.workers_below(top)}
        if asked
        else None
    )
    return [
        {"name": name, "path": log["path"], "stderr_path": log["stderr"]}
        for name, log in shell.spawning.log_files().items()
        if wanted is None or name in wanted
    ]


def exec_info(shell: Shell, request: Request, client: bytes) -> None:
    """What `exec` needs to run something as this worker. The socket is ours alone, so values may pass.

    Made in a thread, as for a start: its environment may need a slow disk, or a program's answer.

    Raises:
        RootError: no such worker, or a supervisor.
    """
    path = names.paths(shell, request.names() or [request.text("name")])[0]
    name = shell.bare(path)
    if shell.directory.node(path).type == "supervisor":
        raise RootError(f"{name} is a supervisor", code="refused", mend="name a worker")
    control = shell.control
    assert control is not None

    async def later() -> None:
        try:
            program = await shell.loop.run_in_executor(None, config.program, shell.plan, name)
        except config.Held as held:
            control.error(client, request.id, RootError(f"{name} is held: {held}", code="failed"))
        else:
            control.end(client, request.id, _surroundings(program, shell.plan.environ))
        shell.flush()

    control.later(later())


def _surroundings(program: config.Program, environ: dict[str, str]) -> dict[str, Any]:
    """A program with the whole environment that it would be started in."""
    spawn = program.spawn()
    inherit = spawn["inherit"]
    base = {} if inherit is False else environ
    if isinstance(inherit, list):
        base = {key: value for key, value in base.items() if key in inherit}
    environment = {**base, **spawn["env"]}
    return {**spawn, "environment": {key: value for key, value in environment.items() if value is not None}}
