"""Command lines: argparse with our errors, cheap help and suggestions; the options that many commands share."""

from __future__ import annotations

import argparse
import os

from supervisor_tree.cli.errors import CommandError, did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

_WIDEST = 98
WITH_VALUE = ("-c", "-t")
"""Options with a value that may stand before the command."""


class Parser(argparse.ArgumentParser):
    """A parser for one command; options and names may be mixed, mistakes raise `CommandError` ``usage``."""

    def __init__(self, prog: str, summary: str, example: str, width: int | None = None) -> None:
        """``width``: columns of the help text; None: what the terminal has."""

        def formatter(prog: str) -> argparse.HelpFormatter:
            # argparse makes one for each argument added; without a width each would import shutil (4 ms)
            return argparse.RawDescriptionHelpFormatter(prog, width=width or _width(), max_help_position=28)

        super().__init__(
            prog=prog,
            description=summary,
            epilog=f"example:\n  {example}",
            formatter_class=formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.add_argument("-h", "--help", action="help", help="show this and exit")

    def error(self, message: str) -> NoReturn:
        raise CommandError("usage", message, f"try `{self.prog} --help`")

    def parse(self, argv: list[str]) -> argparse.Namespace:
        """The arguments; what stands behind ``--`` becomes ``rest`` (None without)."""
        rest = None
        if "--" in argv:
            at = argv.index("--")
            argv, rest = argv[:at], argv[at + 1 :]
        args, unknown = self.parse_known_intermixed_args(argv)
        if unknown:
            self._refuse(unknown[0])
        if rest is not None and not self.get_default("takes_rest"):
            self._refuse(rest[0] if rest else "--")
        args.rest = rest
        return args

    def _refuse(self, word: str) -> NoReturn:
        option = word.partition("=")[0]
        if option.startswith("-") and option != "--":
            mend = did_you_mean(option, self._option_string_actions)
            raise CommandError("usage", f"unknown option {option}", mend or f"try `{self.prog} --help`")
        raise CommandError("usage", f"unexpected argument {word}", f"try `{self.prog} --help`")


def take_command(argv: list[str], known: Mapping[str, object], prog: str) -> tuple[str | None, list[str]]:
    """The command and the arguments without it; options may stand before it. None: there is none.

    Raises:
        CommandError: an unknown command.
    """
    at = 0
    while at < len(argv) and argv[at].startswith("-") and argv[at] != "--":
        at += 2 if argv[at] in WITH_VALUE else 1
    if at >= len(argv) or argv[at] == "--":
        return None, argv
    command = argv[at]
    if command not in known:
        if command == "help":
            return None, ["--help"]
        mend = did_you_mean(command, known) or f"try `{prog} --help`"
        raise CommandError("usage", f"unknown command {command}", mend)
    return command, argv[:at] + argv[at + 1 :]


def overview(prog: str, about: str, commands: Mapping[str, tuple[str, str, str]], more: str = "") -> str:
    """The help text that lists ``commands``."""
    lines = [f"usage: {prog} COMMAND …", "", about, ""]
    lines += [f"  {name:<10} {summary}" for name, (_, summary, _) in commands.items()]
    if more:
        lines += ["", more]
    return "\n".join([*lines, "", f"`{prog} COMMAND --help` says more, with an example."])


def _width() -> int:
    try:
        return min(_WIDEST, os.get_terminal_size(1).columns - 2)
    except OSError:
        return _WIDEST


def add_files(parser: argparse.ArgumentParser) -> None:
    """``-c FILE``: the tree file, as ``config`` (None or a list)."""
    parser.add_argument(
        "-c",
        dest="config",
        metavar="FILE",
        action="append",
        help="the tree file; more than one are merged (default: $SUPERVISOR_TREE_CONFIG, ./tree.toml)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_target(parser: argparse.ArgumentParser) -> None:
    """``-c FILE`` and ``-t NAME``: which running tree is meant, as ``config`` and ``tree``."""
    add_files(parser)
    parser.add_argument("-t", dest="tree", metavar="NAME", help="a running tree by its name (see `trees`)")


def add_names(parser: argparse.ArgumentParser, help_: str) -> None:
    """Names of children, as ``names``."""
    parser.add_argument("names", metavar="NAME", nargs="*", help=help_)


def need_names(args: argparse.Namespace, mend: str) -> list[str]:
    """The names given.

    Raises:
        CommandError: there is none.
    """
    if not args.names:
        raise CommandError("usage", "no name was given", mend)
    return list(args.names)
