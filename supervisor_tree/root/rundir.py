"""The run directory: where the sockets lie, and who may look at them.

`tree.run_dir`, else `$XDG_RUNTIME_DIR/supervisor-tree/ID`, else `/tmp/supervisor-tree-UID/ID`, where ID is
made of the real path of the state directory: short enough for a socket path on every system (macOS: 104
bytes). Every directory on the way that is ours is checked at every use: no link, our own, not open to
others: somebody who made it before us could otherwise listen.

In it lie `control/`, for us alone, and `u-UID/` for each user that workers run as: their way to us, theirs alone.
With another user than us among them the directory itself may be passed through (0711), not looked into.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection
from typing import TYPE_CHECKING

from supervisor_tree.config.users import find_user
from supervisor_tree.root.errors import RootError

if TYPE_CHECKING:
    from supervisor_tree.config import Plan

_LONGEST = 104 - len("/control/control") - 8
"""Bytes of a run directory's path, so that the longest socket path fits everywhere."""


def tree_id(state_dir: str) -> str:
    """Twelve hex digits that name the tree whose state is in ``state_dir``."""
    return hashlib.sha256(os.path.realpath(state_dir).encode()).hexdigest()[:12]


def parents() -> list[str]:
    """Where run directories of this user may lie, best first."""
    found = []
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and _lasts(runtime):
        found.append(os.path.join(runtime, "supervisor-tree"))
    found.append(f"/tmp/supervisor-tree-{os.getuid()}")
    return found


def uid(user: str | None) -> int:
    """The user id that a worker with this `user` runs as (None, or one that is gone: our own)."""
    found = find_user(user) if user is not None else None
    return os.geteuid() if found is None else found.uid


def users(plan: Plan) -> frozenset[int]:
    """The user ids that workers and jobs of a tree run as, and our own."""
    programs = (*plan.workers.values(), *plan.jobs.values())
    return frozenset({uid(program.user) for program in programs} | {os.geteuid()})


def place(configured: str | None, state_dir: str, uids: Collection[int] = ()) -> str:
    """The run directory's path for a tree whose workers run as these users.

    Raises:
        RootError: the configured one is too long for a socket path.
    """
    shared = f"/tmp/supervisor-tree-{os.getuid()}"
    # $XDG_RUNTIME_DIR is open to its user only, and that is not ours to change.
    parent = parents()[0] if _ours_alone(uids) else shared
    path = configured or os.path.join(parent, tree_id(state_dir))
    if len(os.fsencode(path)) > _LONGEST:
        if configured is None:
            return os.path.join(shared, tree_id(state_dir))
        raise RootError(f"run_dir {path} is too long for a socket path", mend=f"use at most {_LONGEST} bytes")
    return path


def prepare(path: str, uids: Collection[int] = ()) -> None:
    """Make the run directory, `control/` and each user's folder in it, or check those that are there.

    Raises:
        RootError: somebody else's, a link, or open to others.
    """
    mode = 0o700 if _ours_alone(uids) else 0o711
    parent = os.path.dirname(path)
    if parent in parents():
        _make(parent, mode)
    else:
        os.makedirs(parent, exist_ok=True)
    _make(path, mode)
    control = os.path.join(path, "control")
    _make(control)
    check(control)
    for each in uids:
        _make(folder(path, each), uid=each)


def _ours_alone(uids: Collection[int]) -> bool:
    return all(each == os.geteuid() for each in uids)


def closed_to_others(path: str) -> str | None:
    """The folder above ``path`` that other users can't pass; None: there is none."""
    above = os.path.dirname(path)
    while above != os.path.dirname(above):
        if not os.stat(above).st_mode & 0o001:
            return above
        above = os.path.dirname(above)
    return None


def folder(path: str, uid: int) -> str:
    """Where workers that run as ``uid`` reach us, in the run directory at ``path``."""
    return os.path.join(path, f"u-{uid}")


def endpoint(path: str, uid: int) -> str:
    """Their `SUPERVISOR_TREE_ENDPOINT`."""
    return f"ipc://{folder(path, uid)}/heartbeat"


def check(path: str, uid: int | None = None, *, passable: bool = False) -> None:
    """Refuse a directory that is not ours alone (or, with ``uid``, that user's). ``passable``: 0711 will do.

    Raises:
        RootError: as in `prepare`.
    """
    owner = os.getuid() if uid is None else uid
    try:
        status = os.lstat(path)
    except OSError as error:
        raise RootError(f"run_dir {path}: {error.strerror}", mend="set tree.run_dir to a folder of your own") from error
    if stat.S_ISLNK(status.st_mode) or not stat.S_ISDIR(status.st_mode):
        raise RootError(f"run_dir {path} is no folder of ours", mend="remove it, or set tree.run_dir to another place")
    if status.st_uid != owner:
        raise RootError(
            f"run_dir {path} belongs to user id {status.st_uid}",
            mend="set tree.run_dir to a folder of your own",
        )
    if status.st_mode & 0o077 and not (passable and stat.S_IMODE(status.st_mode) == 0o711):
        raise RootError(
            f"run_dir {path} is open to others (mode {stat.S_IMODE(status.st_mode):04o})",
            mend=f"chmod 700 {path}, or set tree.run_dir to another place",
        )


def _make(path: str, mode: int = 0o700, *, uid: int | None = None) -> None:
    """``mode``: 0700, or 0711, which one of 0700 is opened to; one that is open so already stays (another tree's may
    lie in it)."""
    try:
        try:
            os.mkdir(path, 0o700)
            made = True
        except FileExistsError:
            made = False
        if uid is not None and uid != os.geteuid() and (made or os.lstat(path).st_uid == os.geteuid()):
            # Nobody else can have put something in its place: the folder that it lies in is ours.
            os.chown(path, uid, -1, follow_symlinks=False)
        check(path, uid, passable=uid is None)
        if mode == 0o711:
            os.chmod(path, mode)
    except OSError as error:
        raise RootError(f"run_dir {path}: {error.strerror}", mend="set tree.run_dir to a folder of your own") from error


def _lasts(runtime: str) -> bool:
    """Whether $XDG_RUNTIME_DIR outlives this session: the system's for a lingering user or root's own.

    logind removes it when the user's last session ends, and the tree's sockets with it.
    """
    try:
        status = os.stat(runtime)
    except OSError:
        return False
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        return False
    if os.getuid() == 0 or os.environ.get("SYSTEMD_EXEC_PID") or os.environ.get("INVOCATION_ID"):
        return True
    user = os.environ.get("USER") or str(os.getuid())
    return os.path.exists(f"/var/lib/systemd/linger/{user}")
