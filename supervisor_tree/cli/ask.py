"""Asking a running tree: find it, ask its root, and turn what goes wrong into a `CommandError`."""

from __future__ import annotations

import os

from supervisor_tree.cli.errors import CommandError
from supervisor_tree.cli.target import Target, find
from supervisor_tree.ipc.control import Control, ControlError, ControlTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from typing import Any, Self


class Root:
    """The root of one running tree, to be asked. Use with ``with``."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._control = Control(target.run_dir, by())

    @classmethod
    def of(cls, args: Namespace) -> Self:
        """The root of the tree that the command line means.

        Raises:
            CommandError: no such tree runs.
        """
        return cls(find(args.config, args.tree))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()

    def ask(
        self, command: str, *, within: float | None = None, idle: Callable[[], None] | None = None, **args: Any
    ) -> Any:
        """The answer to ``command`` with ``args``.

        ``within`` bounds the whole in seconds; ``idle`` is called after each second without an answer.

        Raises:
            CommandError: the root refused, does not answer, or the time is over (``timeout``).
        """
        try:
            return self._control.request(command, args, timeout=within, idle=idle)
        except ControlTimeout as error:
            raise CommandError("timeout", f"not done within {within:g} s") from error
        except ControlError as error:
            if error.code == "no_answer":
                raise self._silent() from error
            raise CommandError(error.code, str(error), error.mend) from error

    def _silent(self) -> CommandError:
        target = self.target
        running = f"tree {target.name} is running (keeper pid {target.keeper})"
        if not target.lives():
            return CommandError("not_running", f"tree {target.name} has ended", "start it with `supervisor-tree start`")
        if not os.path.exists(os.path.join(target.run_dir, "control", "control")):
            return CommandError(
                "unreachable",
                f"{running}, but unreachable: no socket in {target.run_dir}",
                "if something cleans that folder, set tree.run_dir",
            )
        return CommandError(
            "no_answer", f"{running}, but its root does not answer", "a hung root is replaced within 10 s: try again"
        )


def by() -> str:
    """Who asks, for the journal: ``user@host/terminal``."""
    try:
        import pwd

        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    terminal = ""
    for fd in (0, 1, 2):
        try:
            terminal = "/" + os.ttyname(fd).removeprefix("/dev/")
        except OSError:
            continue
        break
    return f"{user}@{os.uname().nodename}{terminal}"
