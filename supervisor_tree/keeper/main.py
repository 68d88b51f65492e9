"""Becoming the keeper: `supervisor-tree start` calls `run` and exits with its result."""

from __future__ import annotations

import gc
import os

from supervisor_tree.keeper.ending import reap_the_rest
from supervisor_tree.keeper.keeper import Keeper
from supervisor_tree.keeper.limits import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def run(
    root_argv: list[str],
    environ: Mapping[str, str],
    *,
    limits: Limits | None = None,
    logger_argv: list[str] | None = None,
    lifeline: int | None = None,
) -> int:
    """Be the keeper of one tree until it is over.

    Args:
        root_argv: how a root is started; ``--link FD --stack FD`` are appended.
        environ: the environment of `start`, which children inherit from.
        limits, logger_argv: for tests.
        lifeline: a pipe; when its other end is closed, the tree is stopped as by SIGTERM.

    Returns:
        The exit status of `start`.
    """
    _tidy_descriptors()
    # No cycles are made on purpose, and a collection over 10,000 children takes longer than a restart.
    gc.disable()
    gc.freeze()
    keeper = Keeper(root_argv, environ, limits or Limits(), logger_argv)
    if lifeline is not None:
        keeper.live_while_open(lifeline)
    status = keeper.run()
    reap_the_rest()
    keeper.cgroups.leave()
    return status


def _tidy_descriptors() -> None:
    """0, 1 and 2 must be taken: a pipe that got such a number could not be handed on.

    What `start` inherited beyond them is for no child of ours.
    """
    for name in os.listdir("/dev/fd"):
        fd = int(name)
        if fd > 2:
            try:
                os.set_inheritable(fd, False)
            except OSError:
                continue  # The one that read the list.
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:
            os.close(fd)
            return
        os.set_inheritable(fd, True)
