"""`ctl ops|cancel|upgrade|shutdown`: about the whole tree."""

from __future__ import annotations

from supervisor_tree.cli import results, table, times
from supervisor_tree.cli.ask import Root
from supervisor_tree.cli.errors import DONE, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

_SHORT = 8
"""Digits of an operation's id that are shown; `ctl cancel` takes any unique beginning."""


def _nothing(parser: ArgumentParser) -> None:
    """No arguments but those of every verb."""


def _cancel_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("operation", metavar="ID", help="its id or the beginning of it, as `ctl ops` shows it")


def ops(args: Namespace) -> int:
    with Root.of(args) as root:
        data = root.ask("ops")
    if args.json:
        table.print_json(data)
        return DONE
    at = times.now()
    rows = [
        (
            operation["operation"][:_SHORT],
            operation["command"],
            table.state(operation["state"]),
            times.relative(times.unix(operation["at"]), at),
            operation["by"],
            " ".join(operation["names"]),
        )
        for operation in data
    ]
    if rows:
        table.show(("ID", "COMMAND", "STATE", "ASKED", "BY", "NAMES"), rows)
    else:
        print("no operation is under way or was in the last ten minutes")
    return DONE


def cancel(args: Namespace) -> int:
    with Root.of(args) as root:
        data = root.ask("cancel", operation=args.operation)
    return results.tell(data, "cancelled", args.json)


def upgrade(args: Namespace) -> int:
    with Root.of(args) as root:
        progress = results.Progress(root.target, "upgrading")
        try:
            data = root.ask("upgrade", idle=progress)
        finally:
            progress.clear()
    return results.tell(data, "upgraded", args.json)


def shutdown(args: Namespace) -> int:
    """Stop everything; done when the keeper itself has ended."""
    with Root.of(args) as root:
        target = root.target
        progress = results.Progress(target, "shutting down")
        data = None
        try:
            data = root.ask("shutdown", idle=progress)
        except CommandError as error:
            if error.code != "not_running":  # the root may be gone before its answer has left
                raise
        finally:
            progress.clear()
    target.wait_gone()
    if data is None:
        data = {"operation": None, "state": "done", "results": []}
    if args.json:
        return results.tell(data, "stopped", True)
    status = results.tell(data, "stopped", False) if data.get("results") else DONE
    print(f"tree {target.name} has ended")
    return status


VERBS: dict[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {
    "ops": (_nothing, ops),
    "cancel": (_cancel_arguments, cancel),
    "upgrade": (_nothing, upgrade),
    "shutdown": (_nothing, shutdown),
}
