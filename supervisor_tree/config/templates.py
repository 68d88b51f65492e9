"""Children whose settings are worked out after the configuration was read: instances of a template, and those
that were held for want of a variable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from supervisor_tree.config.arranging import worker_spec
from supervisor_tree.config.environment import read_env_file
from supervisor_tree.config.loading import Loader
from supervisor_tree.config.plan import Instance, Plan, Written
from supervisor_tree.config.problems import ConfigError, Held, Problem, dotted, quoted
from supervisor_tree.config.program_kinds import NAME, NAME_WORDS, EnvValue
from supervisor_tree.config.reading import At
from supervisor_tree.config.settings import WORKER, WorkerSettings
from supervisor_tree.config.sources import Sources
from supervisor_tree.core.spec import Need, WorkerSpec


def template(plan: Plan, supervisor: str, instance: str, args: Sequence[str] = ()) -> tuple[WorkerSettings, WorkerSpec]:
    """A child of a `simple_one_for_one` supervisor: its template for this instance, ``args`` after its command or, as
    ``KEY=VALUE`` (JSON, else text), among the arguments of a Python worker.

    The plan remembers it for `carry`. Raises `ConfigError` where there is no such template, or the instance does not
    fit it.
    """
    written = plan.templates.get(supervisor)
    if written is None:
        raise ConfigError([Problem(plan.file, 1, supervisor, "is no supervisor with simple_one_for_one")])
    if not NAME.fullmatch(instance):
        said = f"{quoted(instance)} is no name of an instance: {NAME_WORDS}"
        raise ConfigError([Problem(written.file, written.line, supervisor, said)])
    settings, held, default_env = _settle(plan, written, f"{written.table}@{instance}", instance, plan.env_values)
    nameless = [word for word in args if "=" not in word]
    if nameless and settings.is_python:
        said = f"{quoted(nameless[0])} is no argument of a Python worker: write KEY=VALUE"
        raise ConfigError([Problem(written.file, written.line, supervisor, said)])
    settings = _with_args(settings, args)
    if held:
        plan.held[settings.name] = held
        plan.held_tables[settings.name] = written
    if default_env:
        plan.default_envs[settings.name] = default_env
    plan.instances[settings.name] = Instance(supervisor, instance, tuple(args))
    return settings, worker_spec(settings, tuple(_needs(plan, settings)))


def carry(old: Plan, new: Plan) -> None:
    """Keep in a new plan the instances that were made at run time, from its own templates; one that its template
    does not fit any more stays as it was."""
    for name, made in old.instances.items():
        if made.supervisor in new.templates and name in old.workers:
            try:
                new.workers[name] = template(new, made.supervisor, made.instance, made.args)[0]
            except ConfigError:
                new.workers[name] = old.workers[name]
                new.instances[name] = made


def settings_of(plan: Plan, name: str) -> WorkerSettings:
    """The settings of a worker, made from its template for an instance that the plan has not met.

    Raises `KeyError` for a name that is none, `Held` where the template does not fit the instance.
    """
    settings = plan.workers.get(name)
    if settings is not None:
        return settings
    table, _, instance = name.partition("@")
    written = next((written for written in plan.templates.values() if written.table == table), None)
    if written is None or not instance:
        raise KeyError(name)
    try:
        return _settle(plan, written, name, instance, plan.env_values)[0]
    except ConfigError as error:
        raise Held(str(error)) from error


def settings_now(plan: Plan, name: str) -> WorkerSettings:
    """The settings of a worker; of one that was held for want of a variable, with the tree's ``env_file`` as it is now.

    Raises `Held`: the variable still is not set.
    """
    written = plan.held_tables.get(name)
    if written is None:
        if name in plan.held:
            raise Held(plan.held[name])
        return settings_of(plan, name)
    values: dict[str, str] = {}
    for file in plan.tree.env_file:
        values.update(read_env_file(file))
    try:
        settings, held, _ = _settle(plan, written, name, plan.workers[name].instance, values)
    except ConfigError as error:
        raise Held(str(error)) from error
    if held:
        raise Held(held)
    made = plan.instances.get(name)
    return _with_args(settings, made.args) if made is not None else settings


def _with_args(settings: WorkerSettings, args: Sequence[str]) -> WorkerSettings:
    if args and settings.is_python:
        return replace(settings, args=settings.args | dict(map(argument, args)))
    if not args or settings.command is None:
        return settings
    return replace(settings, command=(*settings.command, *args))


def argument(word: str) -> tuple[str, Any]:
    key, _, text = word.partition("=")
    try:
        return key, msgspec.json.decode(text)
    except msgspec.DecodeError:
        return key, text


def _settle(
    plan: Plan, written: Written, name: str, instance: str | None, env_values: dict[str, str]
) -> tuple[WorkerSettings, str, dict[str, EnvValue]]:
    """Settings, the reason why they are held, and the child's own default environment, from a table as written."""
    loader = Loader(Sources(), plan.environ)
    loader.data = plan.defaults
    loader.dir, loader.state_dir, loader.env_values = plan.dir, plan.state_dir, env_values
    loader.names |= {"tree.name": plan.name, "tree.dir": plan.dir}
    loader.read_defaults()
    names = {**loader.names, "self.name": name} | ({} if instance is None else {"self.instance": instance})
    at = At(loader.reading(names, holds=True), ("workers", written.table))
    at.reading.shell = loader.default_shell
    settings = loader.settle(name, instance, written.values, WORKER, WorkerSettings, loader.worker_defaults, at)
    if at.reading.problems:
        problems = {Problem(written.file, written.line, dotted(path), said) for path, said in at.reading.problems}
        raise ConfigError(sorted(problems))
    assert isinstance(settings, WorkerSettings)
    return settings, "; ".join(dict.fromkeys(at.reading.held or ())), loader.default_envs.get(name, {})


def _needs(plan: Plan, settings: WorkerSettings) -> Iterator[Need]:
    """What an instance needs: of a supervisor, all workers below it."""
    for name, level in settings.needs.items():
        for top in names_of(plan, name):
            path = plan.paths[top]
            below = [one for bare, one in plan.paths.items() if bare in plan.workers and one.startswith(f"{path}/")]
            for one in below if top in plan.supervisors else [path]:
                yield Need(one, level)


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
