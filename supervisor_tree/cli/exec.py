"""`exec NAME [-- CMD]`: a program in the foreground, with a worker's environment, folder and user.

This process becomes that program, so its exit status is the program's own; 125 is ours. Without a command it is the
worker's own program: the quickest way to see why it does not start.
"""

from __future__ import annotations

import os

from supervisor_tree.cli.errors import CommandError
from supervisor_tree.cli.parser import add_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any, NoReturn

OUR_STATUS = 125
"""Exit status of every error of ours, so that none is taken for the program's."""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME [-- CMD …]", help="the worker; without CMD its own program is run")
    parser.set_defaults(takes_rest=True)
    add_target(parser)


def run(args: Namespace) -> int:
    from supervisor_tree.cli.ask import Root

    with Root.of(args) as root:
        info = root.ask("exec_info", name=args.name)
        environment = _environment(info, args.name, root.target.file)
    _become(info, args.rest or info["argv"] or _alone(info["python"]), environment)


def _become(info: dict[str, Any], argv: list[str], environment: dict[str, str]) -> NoReturn:
    try:
        os.chdir(info["cwd"])
        if info.get("umask") is not None:
            os.umask(info["umask"])
        _switch(info.get("user"), info.get("group"))
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        # Of a program that is sought, the system names the last place where it was looked for.
        whom = error.filename if isinstance(error.filename, str) else argv[0]
        raise CommandError("failed", f"{whom}: {error.strerror}") from error


def _alone(python: dict[str, Any]) -> list[str]:
    """The command that runs a Python worker without its zygote, in the interpreter that it has there."""
    import json

    command = [*python["zygote"]["argv"], "--alone", python["target"] or "a function", json.dumps(python["args"])]
    if python["dill"] is not None:
        import base64
        import tempfile

        # Unlinked, so it lasts as long as the worker has it open; too long for an argument.
        with tempfile.TemporaryFile() as code:
            code.write(base64.b64decode(python["dill"]))
            code.seek(0)
            command.append(str(os.dup(code.fileno())))
        os.set_inheritable(int(command[-1]), True)
    return command


def _environment(info: dict[str, Any], name: str, file: str) -> dict[str, str]:
    """The worker's environment, but without what makes a process one of the tree: the tree would sweep it."""
    environment = {key: value for key, value in info["environment"].items() if not key.startswith("SUPERVISOR_TREE_")}
    environment["SUPERVISOR_TREE_NAME"] = name
    environment["SUPERVISOR_TREE_CONFIG"] = info["environment"].get("SUPERVISOR_TREE_CONFIG", file)
    if term := os.environ.get("TERM"):
        environment["TERM"] = term  # the terminal is the caller's
    return environment


def _switch(user: str | int | None, group: str | int | None) -> None:
    """Become ``user`` with its groups; nothing when it is the one we are.

    Raises:
        CommandError: we may not.
    """
    if user is None and group is None:
        return
    import grp
    import pwd

    try:
        who = None if user is None else pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
        if group is None:
            gid = who.pw_gid if who is not None else os.getgid()
        else:
            gid = group if isinstance(group, int) else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise CommandError("failed", str(error.args[0])) from error
    uid = os.getuid() if who is None else who.pw_uid
    if (uid, gid) == (os.getuid(), os.getgid()):
        return
    try:
        if who is not None:
            os.initgroups(who.pw_name, gid)
        os.setgid(gid)
        os.setuid(uid)
    except PermissionError as error:
        raise CommandError("refused", f"only root may become {user or group}", "use sudo") from error
