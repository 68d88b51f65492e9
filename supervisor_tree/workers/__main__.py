"""One worker in the foreground: ``python -m supervisor_tree.workers module:attribute '{"json": "args"}'``.

With or without a tree: as a tree's ``command`` it speaks to it, in a terminal it works alone and ^C ends it as SIGTERM
does. The exit status is the worker's (`life.live`).
"""

from __future__ import annotations

import json
import sys

from supervisor_tree.workers.life import live
from supervisor_tree.workers.life.ending import UNABLE

USAGE = "usage: python -m supervisor_tree.workers MODULE:ATTRIBUTE [ARGS]     ARGS: a JSON object"


def main(argv: list[str]) -> int:
    if argv in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    if len(argv) not in (1, 2):
        print(USAGE, file=sys.stderr)
        return UNABLE
    try:
        args = json.loads(argv[1]) if len(argv) == 2 else {}
    except ValueError as error:
        print(f"args: no JSON: {error}", file=sys.stderr)
        return UNABLE
    if not isinstance(args, dict):
        print(f"args: Expected a JSON object, got {argv[1]}", file=sys.stderr)
        return UNABLE
    return live(argv[0], None, args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
