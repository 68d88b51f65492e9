"""What a changed configuration asks of a running tree."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from supervisor_tree.config.job_settings import JobSettings
from supervisor_tree.config.plan import Plan
from supervisor_tree.config.program_kinds import EnvValue
from supervisor_tree.config.programs import listens
from supervisor_tree.config.reading import options_of
from supervisor_tree.config.settings import SupervisorSettings, TreeSettings, WorkerSettings
from supervisor_tree.config.tree_kinds import LogSettings
from supervisor_tree.core.spec import Need, SupervisorSpec

_Needs = dict[str, tuple[Need, ...]]
Action = Literal["keep", "live", "restart", "add", "remove"]


class Change(Struct, frozen=True):
    """What happens to one child, and which keys cause it. ``root`` is the tree itself: of it, "restart" means that
    only a new start of the tree applies the change."""

    name: str
    action: Action
    keys: tuple[str, ...] = ()


def diff(old: Plan, new: Plan) -> list[Change]:
    """One change for the root and each child of the two plans: first the root, then the new tree in its order, jobs,
    and at last what goes, in the reverse of the old order."""
    order = {name: number for number, name in enumerate(new.paths)}
    changes = [_root(old, new)]
    needs = _needs(old), _needs(new)
    for name in order:
        if name == "root":
            continue
        if name not in old.paths or (name in old.workers) != (name in new.workers):
            changes.append(Change(name, "add"))
        elif name in new.workers:
            changes.append(_worker(old, new, name, needs))
        else:
            changes.append(_supervisor(old, new, name))
    changes += [
        Change(name, "add") if name not in old.jobs else _job(name, old.jobs[name], job)
        for name, job in new.jobs.items()
    ]
    gone = [name for name in (*old.paths, *old.jobs) if name not in new.paths and name not in new.jobs]
    # A worker that became a supervisor, or the other way round, goes and comes: the name alone is the same.
    turned = [
        name
        for name in old.paths
        if name in new.paths and name != "root" and (name in old.workers) != (name in new.workers)
    ]
    return changes + [Change(name, "remove") for name in reversed(gone + turned)]


def _change(name: str, restart: list[str], live: list[str]) -> Change:
    if restart:
        return Change(name, "restart", (*restart, *live))
    return Change(name, "live", tuple(live)) if live else Change(name, "keep")


def _compare(kind: type[Struct], old: Struct, new: Struct) -> tuple[list[str], list[str]]:
    """The keys that differ: those that ask for a restart (of the tree, in `[tree]`), and those applied live."""
    restart: list[str] = []
    live: list[str] = []
    if old == new:
        return restart, live
    for key, field in options_of(kind).items():
        if key == "instances":
            # Which others there are does not change what one is.
            continue
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        if isinstance(before, LogSettings) and isinstance(after, LogSettings):
            for name in before.__struct_fields__:
                if getattr(before, name) != getattr(after, name):
                    (restart if name in ("file", "stderr") else live).append(f"log.{name}")
        else:
            (live if field.option.reload == "live" else restart).append(key)
    return restart, live


def _worker(old: Plan, new: Plan, name: str, needs: tuple[_Needs, _Needs]) -> Change:
    before, after = old.workers[name], new.workers[name]
    restart, live = _compare(WorkerSettings, before, after)
    if "env" not in restart and _default_env(old, name) != _default_env(new, name):
        restart.append("env")
    if listens(before) != listens(after):
        # The socket of sd_notify is made at the spawn.
        moved = [key for key in live if key in ("ready", "health")]
        restart, live = restart + moved, [key for key in live if key not in moved]
    if old.paths[name] != new.paths[name]:
        restart.append("children")
    elif needs[0].get(name) != needs[1].get(name) and "needs" not in live:
        live.append("needs")
    return _change(name, restart, live)


def _job(name: str, before: JobSettings, after: JobSettings) -> Change:
    """A run under way is left alone: whatever has changed holds from the next one on."""
    restart, live = _compare(JobSettings, before, after)
    return _change(name, [], restart + live)


def _default_env(plan: Plan, name: str) -> dict[str, EnvValue]:
    return plan.default_envs.get(name, plan.default_env)


def _needs(plan: Plan) -> _Needs:
    """What each worker needs, instance sets and supervisors as the workers in them."""
    found: _Needs = {}
    stack: list[SupervisorSpec] = [plan.root]
    while stack:
        for child in stack.pop().children:
            if isinstance(child, SupervisorSpec):
                stack.append(child)
            else:
                found[child.name] = child.needs
    return found


def _supervisor(old: Plan, new: Plan, name: str) -> Change:
    before, after = old.supervisors[name], new.supervisors[name]
    restart, live = _compare(SupervisorSettings, before, after)
    if old.paths[name] != new.paths[name]:
        restart.append("children")
    was, now = old.templates.get(name), new.templates.get(name)
    if was is not None and now is not None and was.table == now.table:
        changed = _compare(WorkerSettings, old.workers[was.table], new.workers[now.table])
        live += [f"{now.table}.{key}" for keys in changed for key in keys]
    if (was is None) != (now is None):
        restart.append("strategy")
        live = [key for key in live if key != "strategy"]
    return _change(name, restart, live)


def _root(old: Plan, new: Plan) -> Change:
    restart, live = _compare(TreeSettings, old.tree, new.tree)
    if old.state_dir != new.state_dir and "state_dir" not in restart:
        restart.append("state_dir")
    if [child.name for child in old.root.children] != [
        child.name for child in new.root.children
    ] and "children" not in live:
        live.append("children")
    return _change("root", restart, live)
