"""What the parts of one decision tell one another.

An event changes a node; what its supervisor makes of that is a fact, told to `Tree.tell` and answered
when the present step is through (`supervising.REACTIONS`). So a chain of any length (an exit, a
give-up, the end of a supervisor, the round of its own supervisor) is a loop, not a recursion, and a
node is never changed under the feet of the function that is looking at it.
"""

from __future__ import annotations

from enum import Enum, auto


class Fact(Enum):
    STARTED = auto()
    """A child's start succeeded."""
    IGNORED = auto()
    """A child's start was ignored: by the shell, or by a closed gate."""
    FAILED = auto()
    """A child's start failed; with OTP's reason."""
    ENDED = auto()
    """A child ended that nobody asked to; with its `Exit`."""
    STOPPED = auto()
    """A child ended that was asked to; with whether it is to be started again."""
    REMOVED = auto()
    """A child ended that is to be taken out of the tree."""
    WALK = auto()
    """A supervisor has a pass over its children to go on with."""
    GATE = auto()
    """What others wait for has changed."""
