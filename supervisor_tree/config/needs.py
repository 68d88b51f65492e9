"""`needs` point to something earlier in the tree, so that no circle can be written (rule 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_tree.config.problems import did_you_mean

if TYPE_CHECKING:
    from supervisor_tree.config.places_in_tree import Arrangement


def check_needs(tree: Arrangement) -> None:
    """Note needs that name nobody, or somebody who is not earlier in the tree."""
    loader = tree.loader
    for worker in loader.workers.values():
        if worker.needs:
            base = loader.base_of[worker.name]
            for needed in worker.needs:
                message = _wrong_target(tree, needed) or _wrong_order(tree, base, needed)
                if message:
                    tree.problem(("workers", base, "needs", needed), message)
    for job in loader.jobs.values():
        base = loader.base_of[job.name]
        for needed in job.needs:
            message = _wrong_target(tree, needed)
            if message:
                tree.problem(("jobs", base, "needs", needed), message)


def _wrong_target(tree: Arrangement, needed: str) -> str | None:
    loader = tree.loader
    if tree.known(needed) and needed not in loader.jobs and not _is_job_set(tree, needed):
        if needed in loader.templates.values():
            return f'"{needed}" is only a template; name its supervisor or a worker'
        base = loader.base_of.get(needed, needed)
        if base not in tree.order and base not in tree.parent:
            return f'"{needed}" is in no list of children, so it is never started'
        return None
    if needed in loader.broken:
        return None
    if needed in loader.disabled:
        return f'"{needed}" is left out by enabled = false'
    if needed in loader.jobs or _is_job_set(tree, needed):
        return f'"{needed}" is a job; only workers and supervisors can be needed'
    known = sorted({*loader.workers, *loader.supervisors, *loader.sets} - {*loader.jobs})
    return f'there is no worker or supervisor "{needed}"{did_you_mean(needed, known)}'


def _is_job_set(tree: Arrangement, name: str) -> bool:
    return name in tree.loader.sets and tree.loader.sets[name][0] in tree.loader.jobs


def _wrong_order(tree: Arrangement, base: str, needed: str) -> str | None:
    target = tree.loader.base_of.get(needed, needed)
    if base not in tree.order or target not in tree.order:
        return None
    if target == base:
        return (
            "a worker can't need itself" if needed == base or "@" not in needed else "instances can't need one another"
        )
    above = _above(tree, base)
    if target in above:
        return f'"{target}" is a supervisor above it, which waits for its children already'
    if tree.order[target] < tree.order[base]:
        return None
    return _order_to_write(tree, base, target, above)


def _above(tree: Arrangement, name: str) -> list[str]:
    """The supervisors above a name, the nearest first, without the root."""
    above = []
    while name := tree.parent.get(name, ""):
        above.append(name)
    return above


def _order_to_write(tree: Arrangement, base: str, target: str, above: list[str]) -> str:
    """What is wrong, and the order of children that mends it."""
    loader = tree.loader
    lines = {"": [*reversed([base, *above])], "target": [*reversed([target, *_above(tree, target)])]}
    parent, mine, other = "", lines[""][0], lines["target"][0]
    for one, two in zip(lines[""], lines["target"], strict=False):
        mine, other = one, two
        if one != two:
            break
        parent = one
    said = f'"{target}" comes later in the tree'
    if base in (
        loader.base_of.get(name, name)
        for worker in tree.instances(target)
        if worker in loader.workers
        for name in loader.workers[worker].needs
    ):
        return f'"{target}" needs "{base}" as well: neither could ever start'
    children = list(tree.children[parent])
    children.remove(other)
    children.insert(children.index(mine), other)
    explicit = bool(parent) or loader.tree.children is not None
    if explicit and len(children) <= 12:
        order = ", ".join(f'"{child}"' for child in children)
        where = f"[supervisors.{parent}]" if parent else "[tree]"
        return f"{said}: write children = [{order}] in {where}"
    if explicit:
        where = f"[supervisors.{parent}]" if parent else "[tree]"
        return f'{said}: write "{other}" before "{mine}" in the children of {where}'
    kinds = {name: tree.kind(name) for name in (mine, other)}
    return f"{said}: write [{kinds[other]}.{other}] above [{kinds[mine]}.{mine}]"
