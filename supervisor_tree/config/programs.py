"""What to run for a child, worked out anew at each of its starts: the fields of the keeper's `spawn` effect."""

from __future__ import annotations

import os
import sys
from typing import Any

from msgspec import Struct

from supervisor_tree.config import uses
from supervisor_tree.config.environment import (
    absolute,
    default_env,
    environment,
    known_user,
    names_of,
    tree_environment,
)
from supervisor_tree.config.plan import Plan
from supervisor_tree.config.problems import Held
from supervisor_tree.config.program_kinds import FromCommand, FromFile
from supervisor_tree.config.settings import ProgramSettings, WorkerSettings
from supervisor_tree.config.templates import settings_now, settings_of
from supervisor_tree.config.tree_kinds import LogSettings


class Program(Struct, frozen=True, kw_only=True):
    """One program, ready to be spawned. Sizes in bytes, times in seconds."""

    argv: tuple[str, ...]
    """Empty for a Python worker."""
    cwd: str
    env: dict[str, str | None]
    """Over the inherited environment; None removes a variable."""
    inherit: bool | tuple[str, ...]
    user: str | None
    group: str | None
    umask: int | None
    nice: int | None
    limits: dict[str, int | tuple[int, int]] | None
    stop: dict[str, Any]
    sweep: bool
    notify: bool
    log: dict[str, Any]
    python: dict[str, Any] | None = None
    """Of a Python worker: what its zygote is and what it runs there."""

    def spawn(self) -> dict[str, Any]:
        """The fields as the keeper's effect has them, in JSON's types."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        fields["argv"] = list(self.argv)
        if not isinstance(self.inherit, bool):
            fields["inherit"] = list(self.inherit)
        if self.python is None:
            del fields["python"]
        return fields

    def spawn_stopped_inside(self) -> dict[str, Any]:
        """The same, with a stop command that has the environment of the one that it stops, whatever comes to that:
        name and incarnation included."""
        fields = self.spawn()
        command = self.stop["command"]
        if command is not None:
            fields["stop"] = {**self.stop, "command": {**command, "env": None}}
        return fields


def program(plan: Plan, name: str) -> Program:
    """What to run for a worker now: its files and commands are read at each start. Raises `Held` when it can't run."""
    settings = settings_now(plan, name)
    log = log_fields(settings.log) if settings.log else {}
    code = plan.code.get(settings.name.partition("@")[0])
    return program_of(plan, settings, settings.command, log=log, notify=listens(settings), code=code)


def program_of(
    plan: Plan,
    settings: ProgramSettings,
    command: tuple[str, ...] | None,
    *,
    log: dict[str, Any],
    notify: bool,
    code: str | None,
) -> Program:
    """What to run for a worker, a job or a stage whose settings are final. Reads the files of its environment.

    Args:
        command: its program and arguments; None: a Python one.
        code: what of `Plan.code` is its own.

    Raises:
        Held: it can't run as things are.
    """
    cwd = settings.cwd or plan.dir
    tree = tree_environment(plan, cwd)
    env = environment(plan, settings, tree)
    stop: dict[str, Any] = {
        "signal": settings.stop_signal,
        "to": settings.stop_to,
        "grace": grace(settings),
        "command": None,
    }
    if settings.stop_command is not None:
        stop["command"] = {"argv": absolute(settings.stop_command, cwd), "cwd": cwd, "env": env}
    return Program(
        argv=() if command is None else absolute(command, cwd),
        cwd=cwd,
        env=env,
        inherit=settings.inherit_env,
        user=settings.user,
        group=settings.group,
        umask=settings.umask,
        nice=settings.nice,
        limits=settings.limits or None,
        stop=stop,
        sweep=settings.sweep,
        notify=notify,
        log=log,
        python=_python(plan, settings, tree, code) if settings.is_python else None,
    )


_BOOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "workers", "zygote", "boot.py")
"""What an interpreter runs to become a zygote: a file, for the package need not be importable there."""


def _python(plan: Plan, settings: ProgramSettings, tree: dict[str, str | None], code: str | None) -> dict[str, Any]:
    """A Python worker: the zygote it is forked from, and what it runs."""
    import hashlib
    import json

    user = None if settings.user is None else known_user(settings.user)
    as_another = user is not None or settings.group is not None
    target = settings.run if code is None else None
    if settings.use is not None:
        target = uses.target(settings.use)
        if target is None:
            raise Held(f'use = "{settings.use}": there is no such plug-in any more')
    interpreter = settings.python or sys.executable
    preload = list(dict.fromkeys(settings.preload))
    # A zygote runs code that its workers' user may have written, so it has that user's rights and no others; and such
    # a one can't raise limits or its own priority for its forks.
    rights: dict[str, Any] = {
        "user": settings.user,
        "group": settings.group,
        "nice": settings.nice if as_another else None,
        "limits": settings.limits or None if as_another else None,
        "inherit": settings.inherit_env if isinstance(settings.inherit_env, bool) else list(settings.inherit_env),
    }
    # The path as written, for that makes it a virtual environment, and where it leads: another Python, another zygote.
    same = json.dumps([interpreter, os.path.realpath(interpreter), plan.dir, preload, rights])
    return {
        "zygote": {
            "key": hashlib.sha256(same.encode()).hexdigest()[:12],
            "argv": [interpreter, _BOOT],
            "cwd": plan.dir,
            "env": {**({} if user is None else names_of(user)), **tree},
            "preload": preload,
            "uid": None if user is None else user.uid,
            **rights,
        },
        "target": target,
        "dill": code,
        "args": settings.args,
    }


def is_static(plan: Plan, name: str) -> bool:
    """Whether `program` reads no file and runs no command for this worker, so that it may be called anywhere, once."""
    settings = settings_of(plan, name)
    if settings.env_file or plan.tree.env_file or name in plan.held:
        return False
    return not any(
        isinstance(value, FromFile | FromCommand)
        for env in (default_env(plan, settings), settings.env)
        for value in env.values()
    )


def log_settings(plan: Plan, name: str) -> dict[str, Any]:
    """The `log` of a worker's program."""
    log = settings_of(plan, name).log
    return log_fields(log) if log is not None else {}


def grace(settings: ProgramSettings) -> float | None:
    """Seconds from the request to stop to the kill; None: never killed; 0: at once."""
    if settings.shutdown == "infinity":
        return None
    return 0.0 if settings.shutdown == "brutal_kill" else float(settings.shutdown)


def listens(settings: WorkerSettings) -> bool:
    """Whether the worker speaks sd_notify."""
    return any(probe.notify is not None for probe in (*settings.ready, *settings.health))


def log_fields(log: LogSettings) -> dict[str, Any]:
    """A log as the keeper's effect has it. One file named twice is one pipe, so that the order is exact."""
    limits = {"max_size": log.max_size, "keep": log.keep, "max_age": log.max_age, "on_full": log.on_full}
    if log.file.startswith("/dev/"):
        # A device is no file: to rotate it would be to rename it away from everybody.
        limits |= {"max_size": 0, "max_age": None}
    merge = log.stderr is not None and os.path.normpath(log.stderr) == os.path.normpath(log.file)
    err = None if log.stderr is None or merge else {"path": log.stderr, **limits}
    return {"out": {"path": log.file, **limits}, "err": err, "merge": merge}
