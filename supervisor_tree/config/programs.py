"""What to run for a child, worked out anew at each of its starts: the fields of the keeper's `spawn` effect."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from supervisor_tree.config.dotenv import parse as parse_dotenv
from supervisor_tree.config.not_yet import PYTHON
from supervisor_tree.config.plan import Instance, Plan
from supervisor_tree.config.problems import ConfigError, Held, Problem, dotted, quoted
from supervisor_tree.config.program_kinds import NAME, NAME_WORDS, EnvValue, FromCommand, FromFile
from supervisor_tree.config.reading import At
from supervisor_tree.config.settings import WORKER, ProgramSettings, WorkerSettings
from supervisor_tree.config.tree_kinds import LogSettings
from supervisor_tree.config.users import find_user
from supervisor_tree.core.spec import WorkerSpec

_PATIENCE = 10.0
"""Seconds that a program which prints an environment value may take."""


class Program(Struct, frozen=True, kw_only=True):
    """One program, ready to be spawned. Sizes in bytes, times in seconds."""

    argv: tuple[str, ...]
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

    def spawn(self) -> dict[str, Any]:
        """The fields as the keeper's effect has them, in JSON's types."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        fields["argv"] = list(self.argv)
        if not isinstance(self.inherit, bool):
            fields["inherit"] = list(self.inherit)
        return fields


def program(plan: Plan, name: str) -> Program:
    """What to run for a worker now: its files and commands are read at each start. Raises `Held` when it can't run."""
    settings = settings_of(plan, name)
    reason = plan.held.get(name)
    if reason is not None:
        raise Held(reason)
    if settings.command is None:
        raise Held(PYTHON)
    env = _environment(plan, settings)
    cwd = settings.cwd or plan.dir
    stop: dict[str, Any] = {
        "signal": settings.stop_signal,
        "to": settings.stop_to,
        "grace": grace(settings),
        "command": None,
    }
    if settings.stop_command is not None:
        stop["command"] = {"argv": absolute(settings.stop_command, cwd), "cwd": cwd, "env": env}
    return Program(
        argv=absolute(settings.command, cwd),
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
        notify=listens(settings),
        log=log_fields(settings.log) if settings.log else {},
    )


def is_static(plan: Plan, name: str) -> bool:
    """Whether `program` reads no file and runs no command for this worker, so that it may be called anywhere, once."""
    settings = settings_of(plan, name)
    if settings.env_file or plan.tree.env_file:
        return False
    return not any(
        isinstance(value, FromFile | FromCommand)
        for env in (_default_env(plan, settings), settings.env)
        for value in env.values()
    )


def settings_of(plan: Plan, name: str) -> WorkerSettings:
    """The settings of a worker, made from its template for an instance that the plan has not met.

    Raises `KeyError` for a name that is none, `Held` where the template does not fit the instance.
    """
    settings = plan.workers.get(name)
    if settings is not None:
        return settings
    worker, _, instance = name.partition("@")
    supervisor = next((supervisor for supervisor, made in plan.templates.items() if made.worker == worker), None)
    if supervisor is None or not instance:
        raise KeyError(name)
    try:
        return _instance(plan, supervisor, instance, ())
    except ConfigError as error:
        raise Held(str(error)) from error


def log_settings(plan: Plan, name: str) -> dict[str, Any]:
    """The `log` of a worker's program."""
    log = settings_of(plan, name).log
    return log_fields(log) if log is not None else {}


def _default_env(plan: Plan, settings: ProgramSettings) -> dict[str, EnvValue]:
    return plan.default_envs.get(settings.name, plan.default_env)


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
    merge = log.stderr is not None and os.path.normpath(log.stderr) == os.path.normpath(log.file)
    err = None if log.stderr is None or merge else {"path": log.stderr, **limits}
    return {"out": {"path": log.file, **limits}, "err": err, "merge": merge}


def absolute(argv: Sequence[str], cwd: str) -> tuple[str, ...]:
    """The arguments with the program, where it has a slash, as an absolute path. One without is looked for in the
    child's own PATH by who spawns it."""
    program = argv[0]
    if "/" in program and not program.startswith("/"):
        return (f"{cwd}/{program.removeprefix('./')}", *argv[1:])
    return tuple(argv)


def _environment(plan: Plan, settings: ProgramSettings) -> dict[str, str | None]:
    """Rule 6, without what the keeper and the root add."""
    env: dict[str, str | None] = {}
    if settings.user is not None:
        user = find_user(settings.user)
        if user is None:
            raise Held(f"there is no user {quoted(settings.user)} on this machine")
        env.update(HOME=user.home, USER=user.name, LOGNAME=user.name, SHELL=user.shell)
    for file in plan.tree.env_file:
        env.update(_read_env_file(file))
    for name, value in _default_env(plan, settings).items():
        env[name] = _value(name, value, plan, settings)
    for file in settings.env_file:
        env.update(_read_env_file(file))
    for name, value in settings.env.items():
        env[name] = _value(name, value, plan, settings)
    return env


_parsed: dict[str, tuple[tuple[int, int, int], dict[str, str]]] = {}
"""Environment files by path, with what tells that one is unchanged (inode, time, size)."""


def _read_env_file(file: str) -> dict[str, str]:
    path = file.removeprefix("?")
    try:
        status = os.stat(path)
        mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = _parsed.get(path)
        if known is None or known[0] != mark:
            with open(path, encoding="utf-8") as opened:
                known = (mark, parse_dotenv(opened.read())[0])
            _parsed[path] = known
    except FileNotFoundError:
        if file.startswith("?"):
            return {}
        raise Held(f"env_file {path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Held(
            f"env_file {path}: {error.strerror if isinstance(error, OSError) else 'the text is not UTF-8'}"
        ) from None
    return {
        name: value for name, value in known[1].items() if "\0" not in value and not name.startswith("SUPERVISOR_TREE_")
    }


def _value(name: str, value: EnvValue, plan: Plan, settings: ProgramSettings) -> str | None:
    """The text of one variable. What fails is told without the value, which may be a secret."""
    if isinstance(value, FromFile):
        try:
            with open(value.file, encoding="utf-8") as opened:
                text = opened.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "the text is not UTF-8"
            raise Held(f"env {name}: can't read {value.file}: {reason}") from None
        text = text.removesuffix("\n").removesuffix("\r")
    elif isinstance(value, FromCommand):
        text = _printed(name, value.command, plan, settings)
    else:
        return value
    if "\0" in text:
        raise Held(f"env {name}: the value holds a NUL character")
    return text


def _printed(name: str, command: tuple[str, ...], plan: Plan, settings: ProgramSettings) -> str:
    import subprocess

    environ = {**plan.environ, **plan.env_values}
    cwd = settings.cwd or plan.dir
    argv = absolute(command, cwd)
    try:
        done = subprocess.run(
            argv, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise Held(f"env {name}: {command[0]} did not end within {_PATIENCE:g}s") from None
    except OSError as error:
        raise Held(f"env {name}: can't run {command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        ended = f"exit status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        raise Held(f"env {name}: {command[0]} failed ({ended})")
    try:
        return done.stdout.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Held(f"env {name}: what {command[0]} printed is not UTF-8") from None


def template(plan: Plan, supervisor: str, instance: str, args: Sequence[str] = ()) -> tuple[WorkerSettings, WorkerSpec]:
    """A child of a `simple_one_for_one` supervisor: its template for this instance, ``args`` after its command.

    The plan remembers it for `carry`. Raises `ConfigError` where there is no such template, or the instance does not
    fit it.
    """
    from supervisor_tree.config.arranging import worker_spec

    settings = _instance(plan, supervisor, instance, args)
    plan.instances[settings.name] = Instance(supervisor, instance, tuple(args))
    return settings, worker_spec(settings, ())


def _instance(plan: Plan, supervisor: str, instance: str, args: Sequence[str]) -> WorkerSettings:
    from supervisor_tree.config.loading import Loader
    from supervisor_tree.config.sources import Sources

    made = plan.templates.get(supervisor)
    if made is None:
        raise ConfigError([Problem(plan.file, 1, supervisor, "is no supervisor with simple_one_for_one")])
    if not NAME.fullmatch(instance):
        raise ConfigError(
            [Problem(made.file, made.line, supervisor, f"{quoted(instance)} is no name of an instance: {NAME_WORDS}")]
        )
    bare = f"{made.worker}@{instance}"
    loader = Loader(Sources(), plan.environ)
    loader.data = plan.defaults
    loader.dir, loader.state_dir, loader.env_values = plan.dir, plan.state_dir, plan.env_values
    loader.names |= {"tree.name": plan.name, "tree.dir": plan.dir}
    loader.read_defaults()
    names = {**loader.names, "self.name": bare, "self.instance": instance}
    at = At(loader.reading(names, holds=True), ("workers", made.worker))
    at.reading.shell = loader.default_shell
    settings = loader.settle(bare, instance, made.written, WORKER, WorkerSettings, loader.worker_defaults, at)
    if at.reading.problems:
        raise ConfigError(
            sorted({Problem(made.file, made.line, dotted(path), message) for path, message in at.reading.problems})
        )
    if at.reading.held:
        plan.held[bare] = "; ".join(dict.fromkeys(at.reading.held))
    plan.default_envs |= loader.default_envs
    assert isinstance(settings, WorkerSettings)
    if args and settings.command is not None:
        settings = replace(settings, command=(*settings.command, *args))
    return settings


def carry(old: Plan, new: Plan) -> None:
    """Keep in a new plan the instances that were made at run time, from its own templates."""
    for name, made in old.instances.items():
        if made.supervisor in new.templates and name in old.workers:
            new.workers[name] = template(new, made.supervisor, made.instance, made.args)[0]


def path_of(plan: Plan, name: str) -> str:
    """The core's path of a bare name. Raises `KeyError` for none."""
    return plan.paths[name]


def name_of(path: str) -> str:
    """The bare name of a path in the core."""
    return path.rpartition("/")[2]


def names_of(plan: Plan, name: str) -> list[str]:
    """The workers and supervisors that a name means, all instances of a set; empty: unknown."""
    if name in plan.paths:
        return [name]
    return [bare for bare in plan.sets.get(name, ()) if bare in plan.paths]
