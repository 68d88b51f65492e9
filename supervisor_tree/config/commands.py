"""What to run for a command that is no worker: a probe's, a step's, an alert's. Fields of the keeper's `spawn`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from supervisor_tree.config.environment import absolute, environment, tree_environment
from supervisor_tree.config.programs import Program, grace, log_fields
from supervisor_tree.config.tree_kinds import LogSettings

if TYPE_CHECKING:
    from supervisor_tree.config.plan import Plan
    from supervisor_tree.config.settings import ProgramSettings

_GRACE = 10.0
"""Seconds from the request to stop to the kill, where there is no owner whose `shutdown` says it."""


def command_program(
    plan: Plan,
    owner: ProgramSettings | None,
    argv: tuple[str, ...],
    *,
    log: LogSettings | str | None,
    env: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """A command in its owner's working directory and environment, as its user. May read files and run programs.

    Args:
        owner: worker or job; None: the tree.
        log: where its output goes; None: nowhere.
        env: over the owner's environment; None removes.

    Raises:
        Held: its environment can't be had.
    """
    cwd = (owner.cwd if owner is not None else None) or plan.dir
    tree = tree_environment(plan, cwd)
    own = environment(plan, owner, tree) if owner is not None else tree
    return Program(
        argv=absolute(argv, cwd),
        cwd=cwd,
        env={**own, **(env or {})},
        inherit=True if owner is None else owner.inherit_env,
        user=None if owner is None else owner.user,
        group=None if owner is None else owner.group,
        umask=None if owner is None else owner.umask,
        nice=None if owner is None else owner.nice,
        limits=None if owner is None else owner.limits or None,
        stop={"signal": "TERM", "to": "group", "grace": _GRACE if owner is None else grace(owner), "command": None},
        sweep=True,
        notify=False,
        log=log_fields(log_of(log)),
    ).spawn()


def helper_program(plan: Plan, argv: tuple[str, ...]) -> dict[str, Any]:
    """A program of the system that we need ourselves, in the environment of `start`. Reads nothing."""
    return Program(
        argv=argv,
        cwd=plan.dir,
        env={},
        inherit=True,
        user=None,
        group=None,
        umask=None,
        nice=None,
        limits=None,
        stop={"signal": "TERM", "to": "group", "grace": _GRACE, "command": None},
        sweep=True,
        notify=False,
        log=log_fields(log_of(None)),
    ).spawn()


def log_of(log: LogSettings | str | None) -> LogSettings:
    """Settings of a log that is named by its file only, or not wanted."""
    return log if isinstance(log, LogSettings) else LogSettings(file=log or "/dev/null")
