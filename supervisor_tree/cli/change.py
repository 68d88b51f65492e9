"""`ctl add` and `ctl remove`: children at run time."""

from __future__ import annotations

import sys

from supervisor_tree.cli import results
from supervisor_tree.cli.ask import Root
from supervisor_tree.cli.errors import CommandError
from supervisor_tree.cli.parser import add_names, need_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable


def _add_arguments(parser: ArgumentParser) -> None:
    parser.usage = "%(prog)s [options] FILE | -\n       %(prog)s [options] SUP INSTANCE [-- ARGS …]"
    parser.add_argument(
        "what",
        metavar="FILE | SUP INSTANCE",
        nargs="+",
        help="a file with [workers.X] and [supervisors.X] tables (- reads standard input); or a simple_one_for_one "
        "supervisor and the name of the new instance, with -- ARGS for its program",
    )
    parser.add_argument("--to", metavar="SUP", help="the supervisor that gets them (default: the root)")
    parser.set_defaults(takes_rest=True)


def _remove_arguments(parser: ArgumentParser) -> None:
    add_names(parser, "what `ctl add` brought")


def add(args: Namespace) -> int:
    if len(args.what) > 2:
        raise CommandError("usage", f"unexpected argument {args.what[2]}", "`ctl add FILE` or `ctl add SUP INSTANCE`")
    if len(args.what) == 2:
        if args.to is not None:
            raise CommandError("usage", "--to is for files: the first argument says the supervisor already")
        supervisor, instance = args.what
        asked = {"supervisor": supervisor, "instance": instance, "args": args.rest or []}
    else:
        if args.rest is not None:
            raise CommandError("usage", "arguments after -- are for `ctl add SUP INSTANCE -- ARGS`")
        file = args.what[0]
        asked = {"toml": _text(file), "to": args.to, "file": "standard input" if file == "-" else file}
    with Root.of(args) as root:
        progress = results.Progress(root.target, "adding")
        try:
            data = root.ask("add", idle=progress, **asked)
        finally:
            progress.clear()
    return results.tell(data, "added", args.json)


def remove(args: Namespace) -> int:
    names = need_names(args, "which are to be removed?")
    with Root.of(args) as root:
        progress = results.Progress(root.target, "removing")
        try:
            data = root.ask("remove", idle=progress, names=names)
        finally:
            progress.clear()
    return results.tell(data, "removed", args.json)


def _text(path: str) -> str:
    try:
        if path == "-":
            return sys.stdin.buffer.read().decode()
        with open(path, "rb") as file:
            return file.read().decode()
    except OSError as error:
        raise CommandError("usage", f"{path}: {error.strerror}", "give a file with tables, or - for input") from error
    except UnicodeDecodeError as error:
        raise CommandError("config", f"{path}: it is not UTF-8") from error


VERBS: dict[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {
    "add": (_add_arguments, add),
    "remove": (_remove_arguments, remove),
}
