"""What a start does about the life before: refuse, wait, or sweep (`processes.md` 7–9)."""

from __future__ import annotations

import os
import signal

from supervisor_tree.keeper import cgroup_names, record, sweep
from supervisor_tree.keeper.lock import Busy, Lock, take
from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.keeper.limits import Limits
    from supervisor_tree.system.cgroup import Cgroup

_WRITING = 1.0
"""Seconds in which a keeper that has just taken the lock has written its name into it."""


class AlreadyRunning(Exception):
    """Another keeper holds the state directory; the message names it."""


def take_over(state_dir: str, name: str, limits: Limits) -> tuple[Lock, list[dict[str, Any]]]:
    """Take the lock and kill what is left of the life before.

    Returns:
        The lock, and one ``{"name", "pid", "command"}`` for each process that was swept.

    Raises:
        AlreadyRunning: a living keeper holds it.
        OSError: the state directory can't be used.
    """
    path = os.path.join(state_dir, "lock")
    try:
        lock = take(path)
    except Busy as busy:
        owner = busy.owner if _alive(busy.owner) else _recorded(state_dir) or busy.owner
        if not owner:
            lock = _take_or_refuse(path, name, _WRITING)
        elif _alive(owner):
            raise AlreadyRunning(_refusal(name, owner)) from None
        else:
            lock = _after_its_heirs(path, state_dir, name, limits)
    return lock, _sweep(lock.owner(), state_dir)


def _take_or_refuse(path: str, name: str, wait: float) -> Lock:
    try:
        return take(path, wait)
    except Busy as busy:
        raise AlreadyRunning(_refusal(name, busy.owner)) from None


def _after_its_heirs(path: str, state_dir: str, name: str, limits: Limits) -> Lock:
    """The keeper is dead; its root and logger are sweeping and will let go. If they don't, they are killed."""
    try:
        return take(path, limits.lock)
    except Busy as busy:
        last = record.read(os.path.join(state_dir, "keeper.log"))
        if _same_machine(last.life):
            for row in last.rows:
                if row[0] in ("root", "logger"):
                    means.signal_process(row[2], row[3], signal.SIGKILL)
        owner = busy.owner
        if owner.get("id"):
            sweep.kill_all(str(owner["id"]), last.rows if _same_machine(last.life) else (), cgroup=_cgroup(owner))
    return _take_or_refuse(path, name, _WRITING)


def _sweep(owner: dict[str, Any], state_dir: str) -> list[dict[str, Any]]:
    if not owner.get("id"):
        return []
    last = record.read(os.path.join(state_dir, "keeper.log"))
    of_this_life = last.life.get("id") == owner["id"] and _same_machine(last.life)
    return sweep.kill_all(str(owner["id"]), last.rows if of_this_life else (), cgroup=_cgroup(owner))


def _cgroup(owner: dict[str, Any]) -> Cgroup | None:
    """The folder of a life that is over."""
    return cgroup_names.noted(owner.get("cgroup")) if _same_machine(owner) else None


def _same_machine(who: dict[str, Any]) -> bool:
    """pids and start times mean something only in the boot and PID namespace that they are from."""
    return who.get("boot") == means.boot_id() and who.get("ns") == means.pid_namespace()


def _alive(owner: dict[str, Any]) -> bool:
    """The lock is held: by its keeper, unless that is provably dead."""
    if not _same_machine(owner):
        # Seen from another container, over a shared folder: its pids say nothing here, but the lock does.
        return owner.get("boot") == means.boot_id()
    pid = owner.get("pid")
    seen = means.process(pid) if isinstance(pid, int) else None
    return seen is not None and seen.start == owner.get("start") and not seen.dead


def _recorded(state_dir: str) -> dict[str, Any] | None:
    """The keeper that `keeper.log` names, as the lock file's ``owner``, if it lives: a torn or damaged lock file
    must not have a living tree swept."""
    life = record.read(os.path.join(state_dir, "keeper.log")).life
    owner = {"pid": life.get("keeper"), **{key: life.get(key) for key in ("id", "boot", "ns", "start")}}
    return owner if _same_machine(owner) and _alive(owner) else None


def _refusal(name: str, owner: dict[str, Any]) -> str:
    pid = owner.get("pid")
    where = f"keeper pid {pid}" if pid else "its keeper is just starting"
    if pid and owner.get("ns") != means.pid_namespace():
        where += " in another PID namespace"
    return f"tree {name} is already running ({where})"
