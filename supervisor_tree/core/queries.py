"""OTP's questions about a supervisor's children. Pure: nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor_tree.core.node import Node, State

if TYPE_CHECKING:
    from supervisor_tree.core.tree import Tree


def which_children(tree: Tree, path: str) -> list[list[Any]] | str:
    """``[name, pid | "undefined" | "restarting", type]`` of each child, the last one first; `simple_one_for_one`:
    by name, and the name is None while restarting. "noproc": the supervisor doesn't run."""
    sup = _running(tree, path)
    if sup is None:
        return "noproc"
    if sup.is_simple:
        rows = [_row(tree, child) for child in sup.order]
        nameless = [[None if row[1] == "restarting" else row[0], *row[1:]] for row in rows]
        return sorted(nameless, key=lambda row: row[0] or "")
    return [_row(tree, child) for child in reversed(sup.order) if child.listed]


def count_children(tree: Tree, path: str) -> dict[str, int] | str:
    """``{"specs", "active", "supervisors", "workers"}``; `simple_one_for_one`: one spec, the others count processes."""
    sup = _running(tree, path)
    if sup is None:
        return "noproc"
    children = [child for child in sup.order if child.listed]
    supervisors = sum(child.is_supervisor for child in children)
    return {
        "specs": 1 if sup.is_simple else len(children),
        "active": sum(child.alive for child in children),
        "supervisors": supervisors,
        "workers": len(children) - supervisors,
    }


def _running(tree: Tree, path: str) -> Node | None:
    sup = tree.nodes.get(path)
    return sup if sup is not None and sup.is_supervisor and sup.state is State.UP else None


def _row(tree: Tree, child: Node) -> list[Any]:
    pid: Any = "undefined"
    if child.state is State.RESTARTING:
        pid = "restarting"
    elif child.alive:
        pid = tree.identity(child)
    return [child.name, pid, "supervisor" if child.is_supervisor else "worker"]
