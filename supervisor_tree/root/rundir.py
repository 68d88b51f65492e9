"""The run directory: where the sockets lie, and who may look at them.

`tree.run_dir`, else `$XDG_RUNTIME_DIR/supervisor-tree/ID`, else `/tmp/supervisor-tree-UID/ID`, where ID is
made of the real path of the state directory: short enough for a socket path on every system (macOS: 104
bytes). Every directory on the way that is ours is checked at every use: no link, our own, not open to
others: somebody who made it before us could otherwise listen.
"""

from __future__ import annotations

import hashlib
import os
import stat

from supervisor_tree.root.errors import RootError

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


def place(configured: str | None, state_dir: str) -> str:
    """The run directory's path for a tree.

    Raises:
        RootError: the configured one is too long for a socket path.
    """
    path = configured or os.path.join(parents()[0], tree_id(state_dir))
    if len(os.fsencode(path)) > _LONGEST:
        if configured is None:
            return os.path.join(f"/tmp/supervisor-tree-{os.getuid()}", tree_id(state_dir))
        raise RootError(f"run_dir {path} is too long for a socket path", mend=f"use at most {_LONGEST} bytes")
    return path


def prepare(path: str) -> None:
    """Make the run directory and `control/` in it, or check those that are there.

    Raises:
        RootError: somebody else's, a link, or open to others.
    """
    parent = os.path.dirname(path)
    if parent in parents():
        _make(parent)
    else:
        os.makedirs(parent, exist_ok=True)
    _make(path)
    _make(os.path.join(path, "control"))


def check(path: str) -> None:
    """Refuse a run directory that is not ours alone.

    Raises:
        RootError: as in `prepare`.
    """
    try:
        status = os.lstat(path)
    except OSError as error:
        raise RootError(f"run_dir {path}: {error.strerror}", mend="set tree.run_dir to a folder of your own") from error
    if stat.S_ISLNK(status.st_mode) or not stat.S_ISDIR(status.st_mode):
        raise RootError(f"run_dir {path} is no folder of ours", mend="remove it, or set tree.run_dir to another place")
    if status.st_uid != os.getuid():
        raise RootError(
            f"run_dir {path} belongs to user id {status.st_uid}",
            mend="set tree.run_dir to a folder of your own",
        )
    if status.st_mode & 0o077:
        raise RootError(
            f"run_dir {path} is open to others (mode {stat.S_IMODE(status.st_mode):04o})",
            mend=f"chmod 700 {path}, or set tree.run_dir to another place",
        )


def _make(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise RootError(f"run_dir {path}: {error.strerror}", mend="set tree.run_dir to a folder of your own") from error
    check(path)


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
