"""Who is whose child, and in which order (configuration.md rule 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_tree.config.problems import Key, Path, did_you_mean

if TYPE_CHECKING:
    from supervisor_tree.config.loading import Loader

_DEEPEST = 60
"""Supervisors above one another: more is a slip, and everything that walks the tree stays far from Python's limit."""


class Arrangement:
    """Base names in their places; instances are expanded when the specifications are made."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.children: dict[str, list[str]] = {"": []}
        """Supervisor → its children, base names; ``""`` is the root."""
        self.parent: dict[str, str] = {}
        self.order: dict[str, int] = {}
        """Base name → its number in the order of the tree (preorder)."""

    def problem(self, path: Path, message: str) -> None:
        self.loader.problems.append((path, message))

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
        self.number()
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

    def number(self) -> None:
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
