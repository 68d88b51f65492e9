"""The delay between a counted restart decision and the start. Not in OTP: all zero is OTP.

The ladder belongs to the failing child's path: it outlives the supervisor's instances and is left by
`reset` seconds of having been ready, or by an operator's start.
"""

from __future__ import annotations

from supervisor_tree.core.spec import Backoff
from supervisor_tree.core.spread import share


def delay(backoff: Backoff, attempt: int, path: str, seed: int) -> float:
    """Seconds before the ``attempt``-th restart in a row (1, 2, …).

    `jitter` comes from the path, the attempt and the tree's ``seed``: spread over the children of a
    tree, and the same in a replay.
    """
    if attempt <= 1:
        plain = backoff.first
    else:
        try:
            plain = backoff.initial * backoff.factor ** (attempt - 2)
        except OverflowError:
            plain = backoff.max
    plain = min(plain, backoff.max) if backoff.max else plain
    if not backoff.jitter or not plain:
        return plain
    return plain * (1 + backoff.jitter * (2 * share(f"{seed}/{path}/{attempt}") - 1))


def outlived(backoff: Backoff, ready_at: float | None, ended_at: float) -> bool:
    """Whether an incarnation that was ready from ``ready_at`` to ``ended_at`` has earned a new ladder."""
    return ready_at is not None and ended_at - ready_at >= backoff.reset
