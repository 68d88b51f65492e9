"""What the tree file says of each child, by its path in the core."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from supervisor_tree.core.spec import ChildSpec, SupervisorSpec

if TYPE_CHECKING:
    from supervisor_tree.config import Plan
    from supervisor_tree.root.shell import Shell


class Specs:
    """The specifications of the present plan, looked up when somebody asks."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._plan: Plan | None = None
        self._specs: dict[str, ChildSpec] = {}

    def of(self, path: str) -> ChildSpec | None:
        """The specification of a child; None: the tree file does not name it."""
        plan = self._shell.plan
        if self._plan is not plan:
            self._specs = dict(_below(plan.root, plan.root.name))
            self._plan = plan
        return self._specs.get(path)


def _below(spec: SupervisorSpec, path: str) -> Iterator[tuple[str, ChildSpec]]:
    for child in spec.children:
        yield f"{path}/{child.name}", child
        if isinstance(child, SupervisorSpec):
            yield from _below(child, f"{path}/{child.name}")
