"""From settings to the tree: who is whose child, in which order, needing whom; and the core's specifications."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from supervisor_tree.config.cross_checks import check_logs, check_rules, check_significant
from supervisor_tree.config.needs import check_needs
from supervisor_tree.config.places_in_tree import Arrangement
from supervisor_tree.config.plan import Plan, Written
from supervisor_tree.config.problems import ConfigError, Problem, UnknownName, did_you_mean
from supervisor_tree.config.readiness import told_by
from supervisor_tree.config.settings import WorkerSettings
from supervisor_tree.core.spec import (
    ChildSpec,
    Level,
    Need,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
)

if TYPE_CHECKING:
    from supervisor_tree.config.loading import Loader


def arrange(loader: Loader, only: Sequence[str]) -> Plan:
    """The plan of what was read.

    Raises `ConfigError` for all that is wrong in it, `UnknownName` for a name in ``only`` that is none.
    """
    tree = Arrangement(loader)
    tree.place()
    check_needs(tree)
    check_logs(loader)
    check_rules(loader)
    check_significant(tree)
    problems = {*loader.found, *(loader.sources.problem(path, message) for path, message in loader.problems)}
    if problems:
        raise ConfigError(sorted(problems))
    if only:
        _keep_only(tree, only)
    return _plan(tree, only)


def _keep_only(tree: Arrangement, only: Sequence[str]) -> None:
    """Cut the tree down to the names, what they need, and the supervisors above them."""
    loader = tree.loader
    known = {*tree.order, *loader.workers, *loader.jobs, *(loader.base_of[job] for job in loader.jobs)}
    jobs: set[str] = set()
    wanted: set[str] = set()
    stack = []
    for name in only:
        if name not in known:
            hint = did_you_mean(name, sorted(known))
            raise UnknownName(
                [Problem(loader.sources.all[0].file, 1, "", f'there is no worker, supervisor or job "{name}"{hint}')]
            )
        stack.append(name)
    while stack:
        name = stack.pop()
        if name in wanted:
            continue
        wanted.add(name)
        of_jobs = [job for job in loader.jobs if name in (job, loader.base_of[job])]
        if of_jobs:
            jobs.update(of_jobs)
            stack += [needed for job in of_jobs for needed in loader.jobs[job].needs]
            continue
        base = loader.base_of.get(name, name)
        if base in loader.supervisors:
            stack += tree.children[base]
            continue
        stack += [bare for bare in tree.instances(base) if name == base]
        for bare in tree.instances(base) if name == base else (name,):
            if bare in loader.workers:
                stack += loader.workers[bare].needs
        # Under rest_for_one and one_for_all a child starts after the one before it.
        parent = tree.parent.get(base, "")
        strategy = loader.supervisors[parent].strategy if parent else loader.tree.strategy
        if strategy in (Strategy.REST_FOR_ONE, Strategy.ONE_FOR_ALL):
            siblings = tree.children[parent]
            stack += siblings[: siblings.index(base)]
    loader.jobs = {name: job for name, job in loader.jobs.items() if name in jobs}
    kept_bases = {loader.base_of.get(name, name) for name in wanted}
    for name in list(kept_bases):
        while name := tree.parent.get(name, ""):
            kept_bases.add(name)
    for supervisor, children in tree.children.items():
        tree.children[supervisor] = [name for name in children if name in kept_bases]
    for base, instances in list(loader.sets.items()):
        if base in kept_bases and base not in wanted:
            loader.sets[base] = tuple(bare for bare in instances if bare in wanted)
    tree.order.clear()
    tree.number()


def _plan(tree: Arrangement, only: Sequence[str]) -> Plan:
    loader = tree.loader
    paths: dict[str, str] = {"root": "root"}
    _name_paths(tree, "", "root", paths)
    specs = tuple(spec for name in tree.children[""] for spec in _specs(tree, name, paths))
    settings = loader.tree
    program = loader.sources.program
    root = SupervisorSpec(
        name="root",
        strategy=settings.strategy,
        intensity=settings.intensity,
        period=settings.period,
        auto_shutdown=settings.auto_shutdown,
        children=specs,
        first_start=_first_start(loader),
        on_give_up=settings.on_give_up,
    )
    templates = loader.templates.values()
    workers = {bare: worker for bare, worker in loader.workers.items() if bare in paths or bare in templates}
    locate = loader.sources.problem
    held = loader.held | loader.unknown_uses
    held_tables = {
        bare: _written(loader, loader.base_of[bare])
        for bare in loader.held
        if bare in workers and bare not in loader.unknown_uses
    }
    return Plan(
        name=loader.name,
        file=loader.file,
        files=tuple(os.path.abspath(source.file) for source in loader.sources.all),
        asked_files=None,
        only=tuple(only),
        dir=loader.dir,
        state_dir=loader.state_dir,
        run_dir=settings.run_dir,
        tree=settings,
        root=root,
        paths=paths,
        workers=workers,
        supervisors={name: supervisor for name, supervisor in loader.supervisors.items() if name in paths},
        sets=loader.sets,
        jobs=loader.jobs,
        recover=loader.recover,
        activity=loader.activity,
        retention=loader.retention,
        checks=loader.checks,
        store=loader.store,
        alerts=loader.alerts,
        held={bare: reason for bare, reason in held.items() if bare in workers or bare in loader.jobs},
        autostart_off=tuple(bare for bare, worker in workers.items() if not worker.autostart and bare in paths),
        env_values=loader.env_values,
        default_env=loader.default_env if loader.own_defaults is None else {},
        default_envs=loader.default_envs,
        make_dirs=settings.make_dirs,
        environ=loader.environ,
        added=tuple(loader.added_names()),
        templates={name: _written(loader, worker) for name, worker in loader.templates.items() if name in paths},
        held_tables=held_tables,
        defaults={key: loader.table(key) for key in ("defaults", "logs")} if loader.templates or held_tables else {},
        program=None if program is None else program["file"],
        code={} if program is None else program["code"],
        warnings=sorted({*loader.located, *(locate(path, message) for path, message in loader.remarks)}),
        not_yet=sorted({locate(path, f"not yet: {message}") for path, message in loader.later}),
    )


def _written(loader: Loader, worker: str) -> Written:
    file, line = loader.sources.locate(("workers", worker))
    return Written(table=worker, values=loader.data["workers"][worker], file=file, line=line)


def _name_paths(tree: Arrangement, supervisor: str, above: str, paths: dict[str, str]) -> None:
    templates = tree.loader.templates
    for name in tree.children[supervisor]:
        if name in tree.loader.supervisors:
            paths[name] = path = f"{above}/{name}"
            _name_paths(tree, name, path, paths)
        elif supervisor not in templates:
            for bare in tree.instances(name):
                paths[bare] = f"{above}/{bare}"


def _specs(tree: Arrangement, name: str, paths: dict[str, str]) -> tuple[ChildSpec, ...]:
    """The specifications of a child: several where it has instances."""
    loader = tree.loader
    supervisor = loader.supervisors.get(name)
    if supervisor is None:
        return tuple(
            worker_spec(loader.workers[bare], _needs(tree, loader.workers[bare], paths))
            for bare in tree.instances(name)
        )
    children = tuple(spec for child in tree.children[name] for spec in _specs(tree, child, paths))
    return (
        SupervisorSpec(
            name=name,
            strategy=supervisor.strategy,
            intensity=supervisor.intensity,
            period=supervisor.period,
            auto_shutdown=supervisor.auto_shutdown,
            children=children,
            restart=supervisor.restart,
            shutdown=supervisor.shutdown,
            significant=supervisor.significant,
            backoff=supervisor.backoff,
            first_start=_first_start(loader),
        ),
    )


def _first_start(loader: Loader) -> Literal["fail", "retry"]:
    """Tree files are tuned for machines left alone, programs get OTP's rule (design §4)."""
    return "retry" if loader.sources.program is None else "fail"


def _needs(tree: Arrangement, worker: WorkerSettings, paths: dict[str, str]) -> tuple[Need, ...]:
    """What a worker needs, instance sets and supervisors as the workers in them."""
    if not worker.needs:
        return ()
    found: dict[tuple[str, Level], None] = {}
    for name, level in worker.needs.items():
        bares = [name] if name in tree.loader.workers else tree.leaves(name)
        found.update({(paths[bare], level): None for bare in bares if bare in paths})
    return tuple(Need(path, level) for path, level in found)


def worker_spec(worker: WorkerSettings, needs: tuple[Need, ...]) -> WorkerSpec:
    """The core's view of a worker."""
    told = bool(told_by(worker))
    return WorkerSpec(
        name=worker.name,
        restart=worker.restart,
        shutdown=worker.shutdown,
        significant=worker.significant,
        backoff=worker.backoff,
        told_ready=told,
        start_timeout=worker.start_timeout if told else None,
        needs=needs,
    )
