"""The command `supervisor-tree`: which command is meant, then that command's module and no other.

Nothing is imported before the command is known, and little by it: `ctl status` and `start` count milliseconds.
"""

from __future__ import annotations

import os
import sys

from supervisor_tree.cli.errors import FAILED, USAGE, CommandError, did_you_mean, report
from supervisor_tree.cli.parser import WITH_VALUE, Parser, overview, take_command

COMMANDS = {
    "start": ("start", "run the tree in the foreground", "supervisor-tree start -c tree.toml --logs"),
    "check": ("check", "validate the tree file and show what it means", "supervisor-tree check -c tree.toml"),
    "schema": ("schema", "print the JSON Schema of a tree file", "supervisor-tree schema > tree.schema.json"),
    "init": ("init", "write a commented tree.toml", "supervisor-tree init"),
    "trees": ("trees", "list the running trees of this user", "supervisor-tree trees --json"),
    "ctl": ("ctl", "look at and steer a running tree", "supervisor-tree ctl status"),
    "logs": ("logs", "show and follow what the workers write", "supervisor-tree logs -f -n 20 web"),
    "exec": ("exec", "run a program in a worker's environment", "supervisor-tree exec web -- env"),
    "simulate": ("simulate", "show what the tree would do if …", "supervisor-tree simulate bad-night.txt"),
    "guard": ("guard", "run a script and heal what it finds", "supervisor-tree guard pre_market_health_check.py"),
    "beat": ("beat", "say from a worker's script that it lives", "supervisor-tree beat --status 'page 3 of 10'"),
}
"""Command → module, one line, an example."""

_SIGINT, _SIGPIPE = 128 + 2, 128 + 13


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit status. Never raises for what a user can do wrong.

    Without ``argv`` it is the program: it ends here, and does not take the interpreter apart first, which is a sixth
    of the time of a `ctl status`.
    """
    status = _status_of(sys.argv[1:] if argv is None else argv)
    if argv is None:
        from contextlib import suppress

        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # whoever read it may have gone
                stream.flush()
        os._exit(status)
    return status


def _status_of(argv: list[str]) -> int:
    as_json = "--json" in (argv[: argv.index("--")] if "--" in argv else argv)
    try:
        try:
            status = run(argv)
        except SystemExit as end:  # argparse's --help
            status = end.code if isinstance(end.code, int) else FAILED
        sys.stdout.flush()
    except CommandError as error:
        return report(error, as_json)
    except KeyboardInterrupt:
        return _SIGINT
    except BrokenPipeError:
        return _SIGPIPE
    except OSError as error:
        if error.filename is None:
            raise
        return report(CommandError("failed", f"{error.filename}: {error.strerror}"), as_json)
    return status


def run(argv: list[str]) -> int:
    """`main` without its care for errors."""
    command, argv = take_command(argv, COMMANDS, "supervisor-tree")
    if command is None:
        return _overview(argv)
    module, summary, example = COMMANDS[command]
    if command == "ctl":
        from supervisor_tree.cli import ctl

        return ctl.run(argv)
    from importlib import import_module

    part = import_module(f"supervisor_tree.cli.{module}")
    parser = Parser(f"supervisor-tree {command}", summary, example)
    part.arguments(parser)
    argv = getattr(part, "split", list)(argv)
    try:
        status: int = part.run(parser.parse(argv))
    except CommandError as error:
        error.status = getattr(part, "OUR_STATUS", error.status)
        raise
    return status


def _overview(argv: list[str]) -> int:
    if "--version" in argv:
        from importlib.metadata import version

        print(f"supervisor-tree {version('supervisor-tree')}")
        return 0
    text = overview(
        "supervisor-tree",
        "An Erlang/OTP-style supervision tree of operating-system processes.",
        COMMANDS,
        "Every command takes -c FILE or -t NAME to say which tree; what shows something takes --json.",
    )
    asked = "-h" in argv or "--help" in argv
    unknown = [word for word in argv if word not in ("-h", "--help", "--json")]
    if unknown and not asked and unknown[0] not in WITH_VALUE:
        known = ["--help", "--version", *WITH_VALUE]
        raise CommandError("usage", f"unknown option {unknown[0]}", did_you_mean(unknown[0], known))
    print(text, file=sys.stdout if asked else sys.stderr)
    return 0 if asked else USAGE
