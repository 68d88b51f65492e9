"""`schema`: the JSON Schema of a tree file, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the same: it is JSON already")


def run(args: Namespace) -> int:
    import json

    from supervisor_tree import config

    print(json.dumps(config.schema(), indent=2, ensure_ascii=False))
    return 0
