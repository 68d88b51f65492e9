"""What is wrong with a tree that a program describes."""

from __future__ import annotations


class ConfigError(ValueError):
    """The tree can't be run as it is described. Nothing was started.

    Attributes:
        problems: everything that is wrong, each as ``Child 'web': shutdown: must be …``.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
