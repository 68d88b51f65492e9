"""What any code in a worker may say and ask, whatever kind of worker it is: `beat`, `activity`, `ready`, `stopping`.

A plain function is a worker, too. The tree file names it, its ``args`` are its keyword arguments, checked against the
annotations of its parameters, and what it returns is the exit status (None is 0)::

    from supervisor_tree.workers import beat, stopping

    def collect(source: str, every: float = 60.0) -> None:
        while not stopping(every):
            beat("collected", rows=copy_from(source))

    # tree.toml
    [workers.collect]
    run = "collector:collect"
    args = { source = "/var/lib/source.db" }

It is ready when it is entered. An ``async`` function has a loop that beats for it, as a `Worker`'s does; a plain one
beats only when it says `beat` (``health = { heartbeat = … }`` makes sense only if it does). SIGTERM and SIGINT raise
SystemExit in it, where it just is (in the main thread; ``finally`` and ``with`` are respected): unless it has asked
`stopping`, then it is trusted to end by itself, and only a second signal raises. An ``async`` function is cancelled
instead.

These may be called from any thread. Without a tree they do nothing. None of them waits for the tree, or raises because
of it. In a process forked from a worker they do nothing either: its beats would say that its parent is well.
"""

from __future__ import annotations

import select

from supervisor_tree.workers.life import present

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def beat(status: str | None = None, *, detail: str | None = None, **fields: Any) -> None:
    """Say that the work gets on, and how.

    Args:
        status: a few words for ``ctl status``. None: as before.
        detail: more of them, with this beat only.
        fields: figures for ``ctl describe``, any that JSON has; they stay as they are in later beats until they are
        given
            again. None removes one.

    Where a loop beats for the worker, a beat from another thread than the loop's waits for it to turn.
    """
    life = present.speaker()
    if life is not None:
        life.beat(status, detail, fields)


def activity(name: str, **fields: Any) -> None:
    """Say that something useful was done (``"POST_SUCCESS"``): one line of the journal."""
    life = present.speaker()
    if life is not None:
        life.channel.activity(name, fields)


def ready() -> None:
    """Say that this program can do its work, for a ``command`` with ``ready = { heartbeat = true }``.

    Other workers have no need of it: the harness says it, after `Worker.setup`, or when a function is entered.
    """
    life = present.speaker()
    if life is not None:
        life.channel.ready()


def stopping(timeout: float = 0.0) -> bool:
    """Whether the end was asked for: True as soon as that is so, False after ``timeout`` seconds at the latest.

    A plain function that calls this is not interrupted by the first SIGTERM. In an ``async`` one leave ``timeout`` at
    0: to wait here would block the loop. Where no harness runs this (in a ``command``, in a terminal) it is only a
    pause.
    """
    if present.life is None:
        select.select((), (), (), max(0.0, timeout))
        return False
    present.life.end.looked_at = True
    return present.life.end.wait(timeout)
