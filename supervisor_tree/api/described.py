"""What a child, a job and a stage have in common: a name, and the keys of their table that were given."""

from __future__ import annotations

from typing import Any


class Described:
    """One table of the tree, by name.

    Attributes:
        name: what it is called.
        options: what was given, by key.
    """

    def __init__(self, name: str, given: dict[str, Any]) -> None:
        """
        Args:
            given: the local variables of the `__init__` that calls this.
        """
        self.name = name
        self.options: dict[str, Any] = {
            key: value for key, value in given.items() if key not in ("self", "name", "__class__") and value is not None
        }

    def __repr__(self) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"{type(self).__name__}({self.name!r}{', ' if given else ''}{given})"
