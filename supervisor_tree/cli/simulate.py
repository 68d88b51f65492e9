"""`simulate SCENARIO`: what the tree would do if these things went wrong; nothing is started, no time passes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from supervisor_tree.cli import table
from supervisor_tree.cli.errors import CommandError
from supervisor_tree.cli.parser import add_files, add_json

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from supervisor_tree.testing.simulated import SimulatedTree


def arguments(parser: ArgumentParser) -> None:
    add_files(parser)
    add_json(parser)
    parser.add_argument("scenario", metavar="SCENARIO", help="a file of lines `WHEN WHOM WHAT`; - for standard input")


def run(args: Namespace) -> int:
    from supervisor_tree import config
    from supervisor_tree.testing import scenario, seen, simulated

    try:
        files = args.config or config.find(os.environ, example=False).files
        plan = config.load(files, os.environ)
    except config.ConfigError as error:
        raise CommandError("config", str(error)) from None
    try:
        text = sys.stdin.read() if args.scenario == "-" else _read(args.scenario)
        tree = simulated.SimulatedTree(plan)
        scenario.play(scenario.read(args.scenario, text, tree.cast()), tree)
    except (scenario.ScenarioError, seen.SimulationError) as error:
        raise CommandError("usage", str(error)) from None
    if args.json:
        ended = tree.ended.why if tree.ended is not None else None
        table.print_json(
            {
                "events": [line._asdict() for line in tree.lines],
                "states": tree.states(),
                "jobs": _jobs(tree),
                "ended": ended,
            }
        )
    else:
        _show(tree)
    return 0


def _read(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise CommandError("usage", f"{file}: {why}") from None


def _show(tree: SimulatedTree) -> None:
    from supervisor_tree.root.words import duration

    table.show(["AFTER", "WHAT"], [[duration(line.at), line.text] for line in tree.lines], right=["AFTER"])
    print()
    print(f"after {duration(tree.now)}:" if tree.ended is None else f"the tree has ended: {tree.ended.why}")
    if tree.states():
        table.show(["NAME", "STATE"], [[name, table.state(word)] for name, word in tree.states().items()])
    if tree.plan.jobs:
        head = ["JOB", "STATE", "RUNS", "SUCCEEDED", "SKIPPED", "FAILED"]
        rows: list[list[str | table.Cell]] = [
            [name, table.state(tree.job(name).state), *map(str, of.values())] for name, of in _jobs(tree).items()
        ]
        table.show(head, rows, right=head[2:])


def _jobs(tree: SimulatedTree) -> dict[str, dict[str, int]]:
    """Of each job how many runs it had, and how they ended."""
    found = {}
    for name in tree.plan.jobs:
        states = [run.state for run in tree.runs(name)]
        well, skipped = states.count("succeeded"), states.count("skipped")
        found[name] = {
            "runs": len(states),
            "succeeded": well,
            "skipped": skipped,
            "failed": len(states) - well - skipped,
        }
    return found
