"""Run by path, ``PYTHON boot.py --link FD --preload MODULE…``, by any interpreter: the program of a zygote.

``PYTHON boot.py --alone TARGET ARGS`` runs one worker, in the foreground, for `supervisor-tree exec`.

Parsed by old interpreters too, so that they can say what is wrong. Only this package is made importable beside what
the interpreter has: nothing else of the environment that supervisor-tree is installed in.
"""

import importlib.util
import json
import os
import socket
import struct
import sys

NEEDED = (3, 11)
HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(os.path.dirname(HERE))


class OurPackage:
    """A finder on `sys.meta_path` that knows one name."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> object:
        if name != "supervisor_tree":
            return None
        return importlib.util.spec_from_file_location(
            name, os.path.join(PACKAGE, "__init__.py"), submodule_search_locations=[PACKAGE]
        )


def refuse(link: "int | None", why: str) -> int:
    """One frame of `ipc.link`, written by hand: the module may be too new for this interpreter."""
    if link is not None:
        head = json.dumps({"t": "failed", "module": None, "error": why}).encode()
        with socket.socket(fileno=link) as sock:
            sock.sendall(struct.pack(">II", 4 + len(head), len(head)) + head)
    sys.stderr.write("supervisor-tree: " + why + "\n")
    return 1


def alone(target: str, args: str, code: "str | None" = None) -> int:
    """One worker in the foreground, for `exec`: as a fork of the zygote, but that nobody speaks to it.

    ``code``: the descriptor of what is to be run, pickled; ``target`` is how it is called then.
    """
    from supervisor_tree.workers.life import live

    sys.argv[:] = [target]
    if code is None:
        return live(target, None, json.loads(args))
    with open(int(code), "rb") as opened:
        return live(None, opened.read(), json.loads(args))


def main() -> int:
    link = None if sys.argv[1] == "--alone" else int(sys.argv[sys.argv.index("--link") + 1])
    if sys.version_info < NEEDED:
        have = ".".join(map(str, sys.version_info[:3]))
        return refuse(link, f"Python workers need Python 3.11 or newer, and {sys.executable} is {have}")
    # Imports are looked for where the tree is, not where this file lies.
    sys.path[:] = [os.getcwd(), *(each for each in sys.path if each != HERE)]
    sys.meta_path.insert(0, OurPackage)  # type: ignore[arg-type]
    if link is None:
        return alone(*sys.argv[2:])
    from supervisor_tree.workers.zygote import process

    return process.main(link, sys.argv[sys.argv.index("--preload") + 1 :])


if __name__ == "__main__":
    sys.exit(main())
