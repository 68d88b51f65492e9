"""The core's nodes by the names that people use, and as people see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_tree.core import view

if TYPE_CHECKING:
    from supervisor_tree.core.tree import Tree
    from supervisor_tree.core.view import NodeView


class Directory:
    """Looks things up in a living tree. The index of names is made anew when a name is not in it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._index: dict[str, str] = {}

    def find(self, name: str) -> str | None:
        """The path of the child called ``name``; None when there is none."""
        path = self._index.get(name)
        if path is None or not self.has(path):
            self._index = {path.rpartition("/")[2]: path for path in self.paths()}
            path = self._index.get(name)
        return path

    def forget(self) -> None:
        """Children have moved: look all of them up again."""
        self._index.clear()

    def has(self, path: str) -> bool:
        return path in self._tree.nodes

    def node(self, path: str) -> NodeView:
        """How a child is, now.

        Raises:
            KeyError: there is none (any more).
        """
        return view.node(self._tree, path)

    def held(self, path: str) -> bool:
        """Whether it is held by what its start needs (not by an operator)."""
        return view.held(self._tree, path)

    def paths(self) -> list[str]:
        """Of all children, in the tree's order, without the root."""
        return [path for path in view.paths(self._tree) if "/" in path]

    def children(self, path: str) -> list[str]:
        return view.children(self._tree, path)

    def workers_below(self, path: str) -> list[str]:
        """The workers at or below ``path``, in the tree's order."""
        if self.node(path).type == "worker":
            return [path]
        return [worker for child in self.children(path) for worker in self.workers_below(child)]
