"""The environment of a child in its layers, read anew at each start (configuration.md rule 6)."""

from __future__ import annotations

import os
from collections.abc import Sequence

from supervisor_tree.config.dotenv import parse as parse_dotenv
from supervisor_tree.config.plan import Plan
from supervisor_tree.config.problems import Held, quoted
from supervisor_tree.config.program_kinds import EnvValue, FromCommand, FromFile
from supervisor_tree.config.settings import ProgramSettings
from supervisor_tree.config.users import User, find_user

_PATIENCE = 10.0
"""Seconds that a program which prints an environment value may take."""


def environment(
    plan: Plan, settings: ProgramSettings, tree: dict[str, str | None] | None = None
) -> dict[str, str | None]:
    """The variables of a child over what it inherits; None removes one. Raises `Held` for what can't be had.

    ``tree``: the `tree_environment`, where it has been worked out already. What the keeper and the root add
    (SUPERVISOR_TREE_*) is not in it.
    """
    env: dict[str, str | None] = {}
    if settings.user is not None:
        env.update(names_of(known_user(settings.user)))
    cwd = settings.cwd or plan.dir
    env.update(tree_environment(plan, cwd) if tree is None else tree)
    for name, value in plan.default_envs.get(settings.name, {}).items():
        env[name] = _value(name, value, plan, cwd)
    for file in settings.env_file:
        env.update(read_env_file(file))
    for name, value in settings.env.items():
        env[name] = _value(name, value, plan, cwd)
    return env


def known_user(name: str) -> User:
    """The user of this name or number. Raises `Held` where there is none."""
    user = find_user(name)
    if user is None:
        raise Held(f"there is no user {quoted(name)} on this machine")
    return user


def names_of(user: User) -> dict[str, str]:
    """What says to a program as whom it runs."""
    return {"HOME": user.home, "USER": user.name, "LOGNAME": user.name, "SHELL": user.shell}


def tree_environment(plan: Plan, cwd: str) -> dict[str, str | None]:
    """What all children have in common over what they inherit; programs that are asked for a value are run in ``cwd``.

    Raises `Held` for what can't be had.
    """
    env: dict[str, str | None] = {}
    for file in plan.tree.env_file:
        env.update(read_env_file(file))
    for name, value in plan.default_env.items():
        env[name] = _value(name, value, plan, cwd)
    return env


_parsed: dict[str, tuple[tuple[int, int, int], dict[str, str]]] = {}
"""Environment files by path, with what tells that one is unchanged (inode, time, size)."""


def read_env_file(file: str) -> dict[str, str]:
    """The variables of an ``env_file`` as it is now; ``?`` before its name: it may be missing. Raises `Held`."""
    path = file.removeprefix("?")
    try:
        status = os.stat(path)
        mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = _parsed.get(path)
        if known is None or known[0] != mark:
            with open(path, encoding="utf-8") as opened:
                known = (mark, parse_dotenv(opened.read())[0])
            _parsed[path] = known
    except FileNotFoundError:
        if file.startswith("?"):
            return {}
        raise Held(f"env_file {path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Held(
            f"env_file {path}: {error.strerror if isinstance(error, OSError) else 'the text is not UTF-8'}"
        ) from None
    return {
        name: value for name, value in known[1].items() if "\0" not in value and not name.startswith("SUPERVISOR_TREE_")
    }


def _value(name: str, value: EnvValue, plan: Plan, cwd: str) -> str | None:
    """The text of one variable. What fails is told without the value, which may be a secret."""
    if isinstance(value, FromFile):
        try:
            with open(value.file, encoding="utf-8") as opened:
                text = opened.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "the text is not UTF-8"
            raise Held(f"env {name}: can't read {value.file}: {reason}") from None
        text = text.removesuffix("\n").removesuffix("\r")
    elif isinstance(value, FromCommand):
        text = _printed(name, value.command, plan, cwd)
    else:
        return value
    if "\0" in text:
        raise Held(f"env {name}: the value holds a NUL character")
    return text


def _printed(name: str, command: tuple[str, ...], plan: Plan, cwd: str) -> str:
    import subprocess

    environ = {**plan.environ, **plan.env_values}
    argv = absolute(command, cwd)
    try:
        done = subprocess.run(
            argv, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise Held(f"env {name}: {command[0]} did not end within {_PATIENCE:g}s") from None
    except OSError as error:
        raise Held(f"env {name}: can't run {command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        ended = f"exit status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        raise Held(f"env {name}: {command[0]} failed ({ended})")
    try:
        return done.stdout.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Held(f"env {name}: what {command[0]} printed is not UTF-8") from None


def default_env(plan: Plan, settings: ProgramSettings) -> dict[str, EnvValue]:
    """`env` of `[defaults]` as it is for this child."""
    return plan.default_envs.get(settings.name, plan.default_env)


def absolute(argv: Sequence[str], cwd: str) -> tuple[str, ...]:
    """The arguments with the program, where it has a slash, as an absolute path. One without is looked for in the
    child's own PATH by who spawns it."""
    program = argv[0]
    if "/" in program and not program.startswith("/"):
        return (f"{cwd}/{program.removeprefix('./')}", *argv[1:])
    return tuple(argv)
