"""What a zygote and its forks say, believed only as far as it can be checked.

Code of the user's has run in both, perhaps as a user who may kill nobody but himself, while the keeper may kill
everybody and must outlive whatever it hears. What is no message raises `ValueError`: `Peer` then kills the zygote.
"""

from __future__ import annotations

import json
import os
from math import isfinite

from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WORDS_MOST = 4000
"""Characters."""
_LARGE = 2**63 - 1


def words(text: Any) -> str:
    """Fit for an event: no half characters, which a root could not read, and not endless."""
    return str(text)[:_WORDS_MOST].encode(errors="replace").decode()


def number(value: Any, most: int = 2**31 - 1) -> int:
    """What is an int in C, as a pid, an exit status and an errno are.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, int) or abs(value) > most:
        raise ValueError(f"{value!r:.100} where a number is to be")
    return value


def process(head: dict[str, Any]) -> tuple[int, int]:
    """pid and start time.

    Raises:
        ValueError, KeyError: there are none.
    """
    pid, start = number(head["pid"]), number(head["start"], _LARGE)
    if pid <= 1:
        raise ValueError(f"{pid} is no pid of a worker")
    return pid, start


def ends(head: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """By pid: what each has cost that was reaped.

    Raises:
        ValueError, KeyError, TypeError, OverflowError: this is not said.
    """
    return {
        number(pid): {"cpu": cpu if isfinite(cpu) else None, "maxrss": number(maxrss, _LARGE)}
        for pid, cpu, maxrss in head["ends"]
    }


def first_word(talk: int) -> tuple[int, int, dict[str, Any] | None]:
    """A fork's one message: its pid and start time, and why it could not become what was asked for.

    Raises:
        BlockingIOError: it has said nothing yet.
        EOFError: it says nothing (more).
        ValueError: what came is no such message.
    """
    try:
        said = os.read(talk, 65536)
    except BlockingIOError:
        raise
    except OSError:
        said = b""
    if not said:
        raise EOFError
    try:
        head = json.loads(said)
        failure = None if head["ok"] else {"errno": number(head["errno"]), "reason": words(head["reason"])}
        return *process(head), failure
    except (TypeError, LookupError, RecursionError) as error:
        raise ValueError("no first word of a fork") from error


def may_be_fork(pid: int, start: int, zygote: int | None, tree_id: str) -> bool:
    """Whether a process can be what it is said to be. ``zygote``: pid of the one that is to have forked it, while that
    lives."""
    seen = means.process(pid)
    if seen is None:
        return not means.sees_the_dead_before_reaping  # It has ended, and its zygote has reaped it.
    if seen.start != start:
        return False
    if zygote is not None and seen.ppid == zygote:
        return True
    environment = means.environment(pid) or b""
    return f"SUPERVISOR_TREE_ID={tree_id}".encode() in environment.split(b"\0")
