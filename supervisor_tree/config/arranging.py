"""From settings to the tree: who is whose child, in which order, needing whom; and the core's specifications."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from supervisor_tree.config.logs_check import check_logs
from supervisor_tree.config.needs import check_needs
from supervisor_tree.config.not_yet import only_notify
from supervisor_tree.config.plan import Plan, Template
from supervisor_tree.config.problems import ConfigError, Key, Path, Problem, UnknownName, did_you_mean
from supervisor_tree.config.settings import SupervisorSettings, WorkerSettings
from supervisor_tree.core.spec import (
    AutoShutdown,
    ChildSpec,
    Level,
    Need,
    Restart,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
)

if TYPE_CHECKING:
    from supervisor_tree.config.loading import Loader

_DEEPEST = 60
"""Supervisors above one another: more is a slip, and everything that walks the tree stays far from Python's limit."""


def arrange(loader: Loader, only: Sequence[str]) -> Plan:
    """The plan of what was read.

    Raises `ConfigError` for all that is wrong in it, `UnknownName` for a name in ``only`` that is none.
    """
    tree = Arrangement(loader)
    tree.place()
    check_needs(tree)
    check_logs(loader)
    _check_recover(loader)
    _check_significant(tree)
    problems = {*loader.found, *(loader.sources.problem(path, message) for path, message in loader.problems)}
    if problems:
        raise ConfigError(sorted(problems))
    if only:
        _keep_only(tree, only)
    return _plan(tree, only)


class Arrangement:
    """Base names in their places; instances are expanded when the specifications are made."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.children: dict[str, list[str]] = {"": []}
        """Supervisor → its children, base names; ``""`` is the root."""
        self.parent: dict[str, str] = {}
        self.order: dict[str, int] = {}
        """Base name → its number in the order of the tree (preorder)."""
        self.problem: Callable[[Path, str], None] = lambda path, message: loader.problems.append((path, message))

    def kind(self, name: str) -> str:
        return "supervisors" if name in self.loader.supervisors else "workers"

    def known(self, name: str) -> bool:
        return name in self.loader.supervisors or name in self.loader.sets or name in self.loader.workers

    def instances(self, name: str) -> tuple[str, ...]:
        """The bare names behind a base name of a worker."""
        return self.loader.sets.get(name, (name,))

    def place(self) -> None:
        loader = self.loader
        workers = {base for bare, base in loader.base_of.items() if bare in loader.workers}
        named: dict[str, Path] = {}
        for supervisor, settings in loader.supervisors.items():
            path = ("supervisors", supervisor, "children")
            self.children[supervisor] = self._named(settings.children, path, supervisor, named, workers)
        if loader.tree.children is None:
            self.children[""] = [
                name
                for kind, name in loader.sources.order()
                if name not in named and (name in loader.supervisors if kind == "supervisors" else name in workers)
            ]
        else:
            self.children[""] = self._named(loader.tree.children, ("tree", "children"), "", named, workers)
        self._place_added(named)
        for supervisor, names in self.children.items():
            self.parent.update(dict.fromkeys(names, supervisor))
        self._number()
        judged: set[str] = set()
        for name in [*loader.supervisors, *workers]:
            if name in self.order:
                continue
            if name in self.parent:
                self._complain(name, judged)
            elif name not in loader.broken:
                loader.remarks.append(
                    ((self.kind(name), name), "is in no list of children, so it is no part of the tree")
                )
        self._check_templates()

    def _place_added(self, named: dict[str, Path]) -> None:
        """Put what was added at run time last below the supervisor it was added to."""
        for supervisor, names in self.loader.added_children().items():
            new = [name for name in names if name not in named]
            if supervisor not in self.children:
                hint = did_you_mean(supervisor, list(self.loader.supervisors))
                for name in new:
                    self.problem(
                        (self.kind(name), name), f'there is no supervisor "{supervisor}" to put it under{hint}'
                    )
            elif supervisor in self.loader.templates and new:
                self.problem(
                    ("supervisors", supervisor), "makes its children from its template: nothing else can be added to it"
                )
            else:
                self.children[""] = [name for name in self.children[""] if name not in new]
                self.children[supervisor] += new

    def _named(
        self, children: tuple[str, ...], path: Path, supervisor: str, named: dict[str, Path], workers: set[str]
    ) -> list[str]:
        """The children that a list names, with what is wrong about them noted."""
        loader = self.loader
        table: object = loader.data
        for key in path:
            table = table.get(key) if isinstance(table, dict) else None
        listed = isinstance(table, list)
        kept: list[str] = []
        for number, name in enumerate(children):
            place: tuple[Key, ...] = (*path, number) if listed else path
            known = name in loader.supervisors or name in workers
            if name in loader.disabled:
                continue
            if not known:
                if name in loader.broken:
                    continue
                self.problem(place, self._unknown(name, sorted({*loader.supervisors, *workers})))
            elif name in named:
                other = named[name]
                where = "here" if other[:2] == place[:2] else f"by {'.'.join(map(str, other[:2]))}"
                self.problem(place, f'"{name}" is named twice: already {where}')
            elif name == supervisor:
                self.problem(place, f'"{name}" can\'t be its own child')
                named[name] = place
            else:
                named[name] = place
                kept.append(name)
        return kept

    def _unknown(self, name: str, known: list[str]) -> str:
        if name in self.loader.jobs or name in self.loader.sets:
            return f'"{name}" is a job, and jobs belong to no supervisor'
        if "@" in name and name.partition("@")[0] in known:
            return f'"{name}" is one of several instances, which stay together: write "{name.partition("@")[0]}"'
        return f'there is no worker or supervisor "{name}"{did_you_mean(name, known)}'

    def _number(self) -> None:
        """Number what the root reaches, in preorder."""
        stack = [(name, 1) for name in reversed(self.children[""])]
        too_deep = False
        while stack:
            name, depth = stack.pop()
            self.order[name] = len(self.order)
            below = self.children.get(name, [])
            if depth >= _DEEPEST and below:
                if not too_deep:
                    self.problem(("supervisors", name), f"is deeper in the tree than {_DEEPEST} supervisors")
                too_deep = True
                continue
            stack += [(child, depth + 1) for child in reversed(below)]

    def _complain(self, name: str, judged: set[str]) -> None:
        """A name that has a parent and is not reached hangs in a loop, or below one, or below a stray."""
        way = {name: 0}
        above = self.parent.get(name)
        while above and above not in way and above not in judged and above not in self.order:
            way[above] = len(way)
            above = self.parent.get(above)
        judged.update(way)
        if above is not None and above in way:
            loop = list(way)[way[above] :]
            for number, one in enumerate(loop):
                around = [*reversed([*loop[number:], *loop[:number]]), loop[number - 1]]
                shown = " → ".join(around) if len(loop) < 8 else f"{around[0]} → … → {around[-2]} → {around[-1]}"
                self.problem(("supervisors", one, "children"), f"is below itself: {shown}")
        elif above is None and name not in self.loader.broken:
            self.loader.remarks.append(((self.kind(name), name), "is below a supervisor that is no part of the tree"))

    def _check_templates(self) -> None:
        loader = self.loader
        for supervisor, template in loader.templates.items():
            path = ("supervisors", supervisor, "children")
            if template in loader.supervisors:
                self.problem(path, f'"{template}" is a supervisor; the template of simple_one_for_one must be a worker')
            elif template in loader.sets:
                self.problem(
                    ("workers", template, "instances"),
                    "goes not with simple_one_for_one, whose instances are made at run time",
                )

    def leaves(self, name: str) -> list[str]:
        """The bare names of all workers at or below a base name, without templates."""
        found: list[str] = []
        stack = [name]
        while stack:
            one = stack.pop()
            if one in self.loader.templates:
                continue
            if one in self.loader.supervisors:
                stack += reversed(self.children[one])
            else:
                found += self.instances(one)
        return found


def _check_recover(loader: Loader) -> None:
    """Names that rules, jobs and activities use must be there."""
    tables = loader.table("recover") if isinstance(loader.data.get("recover"), dict) else {}
    everyone = {*loader.base_of.values(), *loader.base_of, *loader.supervisors}
    for kind, children in (("workers", loader.workers), ("jobs", loader.jobs)):
        for settings in children.values():
            for name in settings.recover:
                if name not in tables:
                    hint = did_you_mean(name, list(tables))
                    loader.problems.append(
                        ((kind, loader.base_of[settings.name], "recover"), f"there is no [recover.{name}]{hint}")
                    )
    for rule, recovery in loader.recover.items():
        for number, step in enumerate(recovery.steps):
            listed = isinstance(loader.data["recover"][rule]["steps"], list)
            for verb, names in (("restart", step.restart), ("reload", step.reload)):
                for name in names or ():
                    if name not in everyone and name not in loader.broken:
                        path: Path = ("recover", rule, "steps", *([number] if listed else []), verb)
                        loader.problems.append(
                            (path, f'there is no worker or supervisor "{name}"{did_you_mean(name, sorted(everyone))}')
                        )
    for activity, watched in loader.activity.items():
        for source in watched.any:
            if source.of is not None and source.of not in everyone and source.of not in loader.broken:
                loader.problems.append(
                    (
                        ("activity", activity, "any"),
                        f'there is no worker or job "{source.of}"{did_you_mean(source.of, sorted(everyone))}',
                    )
                )


def _check_significant(tree: Arrangement) -> None:
    """OTP's two rules about significant children."""
    loader = tree.loader
    children: dict[str, WorkerSettings | SupervisorSettings] = {**loader.supervisors, **loader.workers}
    for bare, settings in children.items():
        if not settings.significant:
            continue
        base = loader.base_of.get(bare, bare)
        path = (tree.kind(base), base, "significant")
        if settings.restart is Restart.PERMANENT:
            tree.problem(
                path, 'a permanent child never ends for good: write restart = "transient" or "temporary" beside it'
            )
        parent = tree.parent.get(base)
        if parent is None:
            continue
        above = loader.supervisors[parent].auto_shutdown if parent else loader.tree.auto_shutdown
        if above is AutoShutdown.NEVER:
            where = f"[supervisors.{parent}]" if parent else "[tree]"
            tree.problem(
                path, f'has no effect, for {where} has no auto_shutdown: write auto_shutdown = "any_significant" there'
            )


def _keep_only(tree: Arrangement, only: Sequence[str]) -> None:
    """Cut the tree down to the names, what they need, and the supervisors above them."""
    loader = tree.loader
    known = {*tree.order, *loader.workers}
    wanted: set[str] = set()
    stack = []
    for name in only:
        if name not in known:
            hint = did_you_mean(name, sorted(known))
            job = ": it is a job" if name in loader.jobs else ""
            raise UnknownName(
                [Problem(loader.sources.all[0].file, 1, "", f'there is no worker or supervisor "{name}"{job}{hint}')]
            )
        stack.append(name)
    while stack:
        name = stack.pop()
        if name in wanted:
            continue
        wanted.add(name)
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
    tree._number()


def _plan(tree: Arrangement, only: Sequence[str]) -> Plan:
    loader = tree.loader
    paths: dict[str, str] = {"root": "root"}
    _name_paths(tree, "", "root", paths)
    specs = tuple(spec for name in tree.children[""] for spec in _specs(tree, name, paths))
    settings = loader.tree
    root = SupervisorSpec(
        name="root",
        strategy=settings.strategy,
        intensity=settings.intensity,
        period=settings.period,
        auto_shutdown=settings.auto_shutdown,
        children=specs,
        first_start="retry",
        on_give_up=settings.on_give_up,
    )
    templates = loader.templates.values()
    workers = {bare: worker for bare, worker in loader.workers.items() if bare in paths or bare in templates}
    locate = loader.sources.problem
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
        held={bare: reason for bare, reason in loader.held.items() if bare in paths or bare in loader.jobs},
        autostart_off=tuple(bare for bare, worker in workers.items() if not worker.autostart and bare in paths),
        env_values=loader.env_values,
        default_env=loader.default_env if loader.own_defaults is None else {},
        default_envs=loader.default_envs,
        make_dirs=settings.make_dirs,
        environ=loader.environ,
        added=tuple(loader.added_names()),
        templates=_templates(loader, paths),
        defaults={key: loader.table(key) for key in ("defaults", "logs")} if loader.templates else {},
        warnings=sorted({*loader.located, *(locate(path, message) for path, message in loader.remarks)}),
        not_yet=sorted({locate(path, f"not yet: {message}") for path, message in loader.later}),
    )


def _templates(loader: Loader, paths: dict[str, str]) -> dict[str, Template]:
    found = {}
    for supervisor, worker in loader.templates.items():
        if supervisor in paths:
            file, line = loader.sources.locate(("workers", worker))
            found[supervisor] = Template(worker=worker, written=loader.data["workers"][worker], file=file, line=line)
    return found


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
            first_start="retry",
        ),
    )


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
    told = only_notify(worker)
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
