"""`init`: a commented tree.toml to begin with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from supervisor_tree.cli.errors import CommandError
from supervisor_tree.cli.parser import add_files, add_json

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

_TREE = """\
# {file}: a tree of programs. `supervisor-tree check` explains it, `supervisor-tree start` runs it.
# Every key, with what it means: `supervisor-tree schema` (JSON Schema; editors complete and check with it).

[tree]
name = "{name}"
# env_file = [".env", "?.env.local"]   # variables for ${{VAR}} here and for every program; "?": may be missing
# make_dirs = ["data"]                 # folders made at the start
# strategy = "one_for_one"             # who else is restarted when one child must be

# [defaults]                           # for each worker that does not set the key
# shutdown = "10s"                     # from TERM to KILL
# backoff = {{ first = "0s", initial = "1s", factor = 2.0, max = "5m", jitter = 0.1, reset = "5m" }}

# A worker is one program; it is restarted whenever it ends. Its output goes to
# .supervisor-tree/logs/hello.log, see `supervisor-tree logs -f hello`.
[workers.hello]
command = "while true; do date; sleep 5; done"
shell = true                           # without: split into words, no shell

# [workers.web]
# command = "python3 -m http.server --bind 127.0.0.1 8000"
# env = {{ GREETING = "hello" }}
# needs = {{ hello = "started" }}        # started | ready | healthy | completed; something above it here
# restart = "transient"                # permanent | transient: only after a failure | temporary: never
# log = {{ max_size = "50MB", keep = 5 }}

# A supervisor groups workers that belong together.
# [supervisors.pair]
# strategy = "rest_for_one"            # what comes after the one that failed is restarted with it
# children = ["first", "second"]       # each is a [workers.…] table
"""


def arguments(parser: ArgumentParser) -> None:
    add_files(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    if args.config and len(args.config) > 1:
        raise CommandError("usage", "one file can be written at a time", "give -c once")
    file = args.config[0] if args.config else "tree.toml"
    name = _name_of(os.path.basename(os.path.dirname(os.path.abspath(file))))
    try:
        with open(file, "x", encoding="utf-8") as opened:
            opened.write(_TREE.format(file=os.path.basename(file), name=name))
    except FileExistsError:
        raise CommandError("refused", f"{file} is there already", "name another file with -c, or remove it") from None
    except OSError as error:
        raise CommandError("failed", f"can't write {file}: {error.strerror}") from None
    if args.json:
        import json

        print(json.dumps({"file": os.path.abspath(file), "tree": name}))
    else:
        print(f"wrote {file}: look at it, then `supervisor-tree check` and `supervisor-tree start`")
    return 0


def _name_of(folder: str) -> str:
    """The folder's name with what a name can't have replaced."""
    name = "".join(char if char.isascii() and (char.isalnum() or char in "_.-") else "-" for char in folder)[:64]
    return name if name[:1].isalnum() else f"tree{name}"[:64] if name else "tree"
