"""`start`: this very process becomes the keeper of the tree.

It stays for the tree's life, so nothing is imported here that the keeper has no use for, and every millisecond
before `keeper.run` is one that each start of a tree waits for.
"""

from __future__ import annotations

import os
import sys

from supervisor_tree.cli.parser import add_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

_LAST_LINES = 5.0
"""Seconds that the follower of `--logs` has for what is left when the tree has ended."""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these, and what they need")
    add_files(parser)
    parser.add_argument("--logs", action="store_true", help="also show what the workers write, as `logs -f` does")
    from argparse import SUPPRESS

    # from a program whose tree this is: stop when the other end of this pipe is closed, for then the program is gone
    parser.add_argument("--while-open", metavar="FD", type=int, help=SUPPRESS)


def run(args: Namespace) -> int:
    flags = [word for file in args.config or [] for word in ("--file", file)]
    argv = [*module("supervisor_tree.root"), *flags, "--", *args.names]
    follower = _Follower(args.config or []) if args.logs else None
    from supervisor_tree.keeper.main import run as keep

    status: int = keep(argv, os.environ, lifeline=args.while_open)
    if follower is not None:
        follower.finish()
    return status


def module(name: str) -> list[str]:
    """The command that runs a module of this package.

    With ``-P`` the folder in which `start` is called is no place to import from: a user's ``json.py`` or ``config/``
    there must not become the root's. Only where this package itself is found just there (a checkout) it has to be.
    """
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    only_here = not sys.flags.safe_path and sys.path[0] == home and home not in sys.path[1:]
    return [sys.executable, *([] if only_here else ["-P"]), "-m", name]


class _Follower:
    """A process that shows the logs of the tree to come until this one has ended.

    Not a child of ours once it runs (born twice): the keeper reaps, sweeps and ends what is below it. It learns of our
    end from one pipe, we of its end from another.
    """

    def __init__(self, files: list[str]) -> None:
        from supervisor_tree.cli import times

        told, self._alive = os.pipe()
        self._done, working = os.pipe()
        os.set_inheritable(told, True)
        os.set_inheritable(working, True)
        # what is written before the follower looks for the first time is shown, what is of an earlier life is not
        argv = [
            *module("supervisor_tree"),
            "logs",
            "-f",
            "--until-eof",
            str(told),
            "--since",
            times.rfc3339(times.now()),
        ]
        argv += [word for file in files for word in ("-c", file)]
        first = os.fork()  # noqa: TID251 - before there is a keeper
        if first == 0:
            try:
                if os.fork() == 0:  # noqa: TID251
                    os.setsid()  # ^C at the terminal is for the keeper
                    os.execv(argv[0], argv)
            finally:
                os._exit(0)
        os.waitpid(first, 0)
        os.close(told)
        os.close(working)

    def finish(self) -> None:
        """Let it print what is left."""
        import select

        os.close(self._alive)
        select.select([self._done], [], [], _LAST_LINES)
        os.close(self._done)
