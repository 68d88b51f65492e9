"""`ctl reload`: the tree file anew (`--plan`: only say what would happen), or workers' own reload signals."""

from __future__ import annotations

from supervisor_tree.cli import results, table
from supervisor_tree.cli.ask import Root
from supervisor_tree.cli.errors import DONE, CommandError
from supervisor_tree.cli.parser import add_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

_COLOURS = {"keep": "dim", "live": "cyan", "restart": "yellow", "add": "green", "remove": "red"}


def _arguments(parser: ArgumentParser) -> None:
    add_names(
        parser,
        "send these workers their reload_signal, or tell those that listen; without names the tree file is read anew",
    )
    parser.add_argument("--plan", action="store_true", help="show what would happen to each child, and do nothing")


def reload(args: Namespace) -> int:
    if args.names and args.plan:
        raise CommandError("usage", "--plan is about the tree file: it takes no names")
    with Root.of(args) as root:
        if args.names:
            return results.tell(root.ask("reload_names", names=args.names), "told to reload", args.json)
        progress = results.Progress(root.target, "reloading")
        try:
            data = root.ask("reload", plan=args.plan, idle=progress)
        finally:
            progress.clear()
    results.refuse(data)
    changes = data.get("changes") or []
    if not args.json:
        shown = changes if args.plan else [change for change in changes if change["action"] != "keep"]
        rows = [
            (change["name"], table.Cell(change["action"], _COLOURS.get(change["action"], "")), " ".join(change["keys"]))
            for change in shown
        ]
        if rows:
            table.show(("NAME", "ACTION", "BECAUSE OF"), rows)
        elif not args.plan:
            print("nothing has changed")
    if args.plan:
        if args.json:
            table.print_json(data)
        return DONE
    if args.json or data.get("results"):
        return results.tell(data, "done", args.json)
    return DONE


VERBS: dict[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {"reload": (_arguments, reload)}
