"""Put one logger process together from its command line and let it run."""

from __future__ import annotations

import os
import signal
import socket

from supervisor_tree.ipc.link import Link
from supervisor_tree.keeper.deathwatch import DeathWatch
from supervisor_tree.logs.carry import Copying, Splicing
from supervisor_tree.logs.memo import Memo
from supervisor_tree.logs.process import Logger
from supervisor_tree.logs.spill import Spills
from supervisor_tree.logs.waiting import EdgeWaiter, LevelWaiter
from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor_tree.logs.carry import Carry
    from supervisor_tree.logs.waiting import Waiter

_FLAGS = {"--link": 1, "--lock": 1, "--staging": 2, "--memo": 1, "--keeper": 2}
USAGE = 2


def main(arguments: list[str]) -> int:
    """``--link FD --lock FD --staging R W --memo FD --keeper PID START``, all of them inherited descriptors.

    Returns the exit status. The lock is only held.
    """
    given = _parse(arguments)
    if given is None:
        os.write(2, b"supervisor_tree.logs is started by the keeper; to read logs: supervisor-tree logs\n")
        return USAGE
    for fd in (*given["--link"], *given["--lock"], *given["--staging"], *given["--memo"]):
        os.set_inheritable(fd, False)
    # A service manager may send TERM to all at once: what workers say while they stop must not be lost. The keeper
    # ends this process through the link or with KILL.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _raise_descriptors()
    watch = DeathWatch(given["--keeper"][0], given["--keeper"][1])
    link = Link(socket.socket(fileno=given["--link"][0]))
    memo, spills = Memo(given["--memo"][0]), Spills(given["--memo"][0])
    carry: Carry
    waiter: Waiter
    if means.splices:
        reader, writer = given["--staging"]
        carry, waiter = Splicing((reader, writer), memo, means.tee), EdgeWaiter()
    else:
        carry, waiter = Copying(), LevelWaiter()
    return Logger(link, watch, carry, memo, spills, waiter).run()


def _parse(arguments: list[str]) -> dict[str, list[int]] | None:
    given: dict[str, list[int]] = {}
    left = list(arguments)
    try:
        while left:
            flag = left.pop(0)
            count = _FLAGS[flag]
            given[flag] = [int(each) for each in left[:count]]
            if len(given[flag]) < count:
                return None
            del left[:count]
    except (KeyError, ValueError):
        return None
    return given if given.keys() == _FLAGS.keys() else None


def _raise_descriptors() -> None:
    """Each stream is a pipe here and each file two descriptors."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
