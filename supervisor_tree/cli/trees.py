"""`trees`: the running trees of this user."""

from __future__ import annotations

from supervisor_tree.cli.parser import add_json
from supervisor_tree.cli.target import running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def arguments(parser: ArgumentParser) -> None:
    add_json(parser)


def run(args: Namespace) -> int:
    from supervisor_tree.cli import table, times

    trees = running()
    if args.json:
        table.print_json(
            [
                {
                    "tree": tree.name,
                    "file": tree.file,
                    "keeper": tree.keeper,
                    "since": tree.since,
                    "state_dir": tree.state_dir,
                    "run_dir": tree.run_dir,
                }
                for tree in trees
            ]
        )
    elif trees:
        at = times.now()
        rows = [
            (
                tree.name,
                str(tree.keeper),
                times.age(tree.since, at) if tree.since else "?",
                tree.file,
            )
            for tree in trees
        ]
        table.show(("TREE", "KEEPER", "UP", "FILE"), rows, right=("KEEPER",))
    else:
        print("no tree is running")
    return 0
