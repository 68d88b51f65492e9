"""Every duration the keeper waits, in seconds. Tests start a keeper with smaller ones; nothing else does."""

from __future__ import annotations


class Limits:
    """Defaults are the contract (`processes.md` 3, 5, 9, 11, 12)."""

    def __init__(self, **changed: float) -> None:
        self.ping = 4.0
        """An idle root is asked this often whether it still answers."""
        self.answer = 5.0
        """An event unacknowledged, or a ping unanswered, for so long: the root is blocked."""
        self.stopped = 0.3
        """A root or logger still stopped (SIGSTOP) after so long is replaced."""
        self.able = 20.0
        """A root or logger that has not become able so long after its spawn is replaced."""
        self.stack = 0.5
        """What a blocked root gets to write its stacks before it is killed."""
        self.retry_first = 1.0
        self.retry_most = 30.0
        """Between two tries of a root or logger that dies before it is able: 1, 2, 4 … 30 s."""
        self.late = 1.0
        """The keeper itself was asleep (suspend, ^Z) if it wakes this much too late."""
        self.asked = 5.0
        """A request to stop that no root acknowledges for so long is carried out without one."""
        self.leftover = 0.1
        """What outlives its leader by so long is looked for by a full walk, watched and reported."""
        self.follow = 1.0
        """A leader gets so long to end after the main process that it had started and waited for."""
        self.linger = 5.0
        """A start waits so long for what was found of the incarnation before after its end, and was killed."""
        self.strangers = 5.0
        """Unattributed adopted processes get so long between TERM and KILL at the end of the tree."""
        self.drain = 10.0
        """The logger gets so long to write what is in the pipes at the end of the tree."""
        self.last = 5.0
        """Root and logger get so long to exit at the end of the tree."""
        self.launch = 10.0
        """The helper that sets user, group, nice or hard limits gets so long to reach the program."""
        self.slow = 10.0
        """A zygote that imports one module for so long is told of …"""
        self.preload = 60.0
        """… and is killed."""
        self.fork = 10.0
        """A zygote that is asked to fork and answers nothing for so long is killed."""
        self.told = 1.0
        """A zygote gets so long to tell of a dead worker, and to reap it."""
        self.unused = 600.0
        """A zygote that has no workers and was asked for none for so long is ended."""
        self.lock = 10.0
        """A start waits so long for root and logger of a dead keeper to finish their sweep."""
        for name, value in changed.items():
            if not hasattr(self, name):
                raise TypeError(f"no limit is named {name}")
            setattr(self, name, value)


DEATHS_ON_ONE_EVENT = 3
"""After so many roots died of their own doing with the same event first in line, it is set aside."""
