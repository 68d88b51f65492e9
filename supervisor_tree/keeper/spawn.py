"""Starting programs: `os.posix_spawn` (vfork and exec in C), with what it can't do done around it.

Soft limits, umask and working directory are set on the keeper itself for the moment of the vfork and
restored: it has one thread. User, group, nice and hard limits go through `spawn_helper`: to lower a hard limit or
to raise nice on oneself can't be undone everywhere.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

HELPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "spawn_helper.py")
_OURS = ("SUPERVISOR_TREE_ID", "_NAME", "_INCARNATION", "_ENDPOINT", "_TOKEN", "_ROLE")
_OF_THE_SERVICE_MANAGER = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
)
_NOT_INHERITED = frozenset((*_OF_THE_SERVICE_MANAGER, _OURS[0], *("SUPERVISOR_TREE" + each for each in _OURS[1:])))
_SOFT_ONLY = {"nofile": resource.RLIMIT_NOFILE, "core": resource.RLIMIT_CORE}
"""Limits that the keeper can carry for a moment without being hit by them."""


class SpawnError(Exception):
    """A program could not be started. ``errno`` and a reason that tells the mend."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.errno = number
        self.reason = reason


class Spawner:
    """Holds what each spawn needs of the keeper's own start."""

    def __init__(self, environ: Mapping[str, str], tree_id: str) -> None:
        self.environ = {key: value for key, value in environ.items() if key not in _NOT_INHERITED}
        self.tree_id = tree_id
        self.null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._home = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
        self.soft, self.hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        """nofile as the keeper was started with."""
        self._raised = self._raise_descriptors()
        # What is ignored stays ignored over an exec; handlers are reset by it.
        self._reset = [each for each in signal.valid_signals() if signal.getsignal(each) is signal.SIG_IGN]

    def _raise_descriptors(self) -> int:
        most = self.hard
        if sys.platform == "darwin" and most == resource.RLIM_INFINITY:
            most = os.sysconf("SC_OPEN_MAX")
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, self.hard))
        except (OSError, ValueError):
            return self.soft
        return most

    def environment(self, overlay: Mapping[str, str | None], inherit: bool | Sequence[str] = True) -> dict[str, str]:
        """The environment of a child: ``overlay`` (None removes) over what it inherits, and the tree's id."""
        if inherit is True:
            env = self.environ.copy()
        elif inherit is False:
            env = {}
        else:
            env = {key: self.environ[key] for key in inherit if key in self.environ}
        for key, value in overlay.items():
            if value is None:
                env.pop(key, None)
            else:
                env[key] = value
        env["SUPERVISOR_TREE_ID"] = self.tree_id
        return env

    def program(
        self,
        effect: Mapping[str, Any],
        env: dict[str, str],
        out: int,
        err: int,
        *,
        pass_fds: Sequence[int] = (),
        reads: Sequence[str] = (),
    ) -> tuple[int, int | None]:
        """Start what a ``spawn`` effect describes, writing to ``out`` and ``err``.

        Args:
            pass_fds: inherited under their own numbers.
            reads: files that its user must be able to read; asked where that is another one.

        Returns:
            The pid, and the descriptor on which the helper will report a failure (None: it runs already).

        Raises:
            SpawnError: it could not be started.
        """
        argv: list[str] = effect["argv"]
        if not argv or not argv[0]:
            raise SpawnError(errno.EINVAL, "the command is empty")
        limits: dict[str, Any] = effect.get("limits") or {}
        soft = {resource.RLIMIT_NOFILE: (self.soft, self.hard)}
        helped = any(effect.get(key) is not None for key in ("user", "group", "nice"))
        for name, value in limits.items():
            kind = _SOFT_ONLY.get(name)
            if kind is None or not isinstance(value, list) or value[1] != resource.getrlimit(kind)[1]:
                helped = True
            else:
                soft[kind] = (value[0], value[1])
        if not helped:
            path = find_program(argv[0], env, effect.get("cwd"))
            where = {"cwd": effect.get("cwd"), "umask": effect.get("umask")}
            return self.start(path, argv, env, out, err, **where, soft=soft, pass_fds=pass_fds), None
        return self._with_helper(effect, argv, env, out, err, pass_fds, reads)

    def _with_helper(
        self,
        effect: Mapping[str, Any],
        argv: list[str],
        env: dict[str, str],
        out: int,
        err: int,
        pass_fds: Sequence[int],
        reads: Sequence[str],
    ) -> tuple[int, int]:
        wanted = {key: effect.get(key) for key in ("user", "group", "nice", "limits")}
        wanted["reads"] = reads
        wanted["nofile"] = [self.soft, self.hard]
        wanted["drop"] = [] if "LC_CTYPE" in env else ["LC_CTYPE"]  # Python sets it in the C locale (PEP 538)
        read, write = os.pipe()
        os.set_blocking(read, False)
        try:
            os.set_inheritable(write, True)
            command = [sys.executable, "-I", "-S", HELPER, str(write), json.dumps(wanted), *argv]
            where = {"cwd": effect.get("cwd"), "umask": effect.get("umask")}
            pid = self.start(sys.executable, command, env, out, err, **where, soft={}, pass_fds=pass_fds)
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        return pid, read

    def start(
        self,
        path: str,
        argv: list[str],
        env: Mapping[str, str],
        out: int,
        err: int,
        *,
        cwd: str | None = None,
        umask: int | None = None,
        soft: Mapping[int, tuple[int, int]] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> int:
        """posix_spawn in a session of its own with /dev/null as standard input.

        Args:
            cwd: None: where the keeper was started.
            soft: limits for the child; None: nofile as the keeper was started with.
            pass_fds: inherited under their own numbers.

        Raises:
            SpawnError: it could not be started.
        """
        if soft is None:
            soft = {resource.RLIMIT_NOFILE: (self.soft, self.hard)}
        before: list[tuple[int, tuple[int, int]]] = []
        old_umask = None
        actions = [(os.POSIX_SPAWN_DUP2, self.null, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)]
        try:
            if cwd is not None:
                try:
                    os.chdir(cwd)
                except OSError as error:
                    raise SpawnError(error.errno or 0, f"cwd {cwd}: {error.strerror}") from error
            for fd in pass_fds:
                os.set_inheritable(fd, True)
            if umask is not None:
                old_umask = os.umask(umask)
            for kind, pair in soft.items():
                before.append((kind, resource.getrlimit(kind)))
                resource.setrlimit(kind, pair)
            return os.posix_spawn(
                path, argv, env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=self._reset
            )
        except OSError as error:
            raise SpawnError(error.errno or 0, _reason(error, path)) from error
        except (ValueError, TypeError) as error:
            raise SpawnError(errno.EINVAL, f"{path}: {error}") from error
        finally:
            for kind, pair in before:
                resource.setrlimit(kind, pair)
            if old_umask is not None:
                os.umask(old_umask)
            for fd in pass_fds:
                os.set_inheritable(fd, False)
            if cwd is not None:
                os.fchdir(self._home)

    def descriptors(self) -> int:
        """The most descriptors the keeper may have open."""
        return self._raised


def find_program(name: str, env: Mapping[str, str], cwd: str | None) -> str:
    """A name with a slash as it is; one without is looked for in the child's own PATH.

    Raises:
        SpawnError: not found.
    """
    if "/" in name:
        return name
    path = env.get("PATH", os.defpath)
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder or ".", name)
        if not os.path.isabs(candidate) and cwd is not None:
            # Resolved from the keeper's directory here, from the child's by the exec.
            candidate = os.path.join(cwd, candidate)
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    raise SpawnError(errno.ENOENT, f"{name}: no such program in its PATH")


def _reason(error: OSError, path: str) -> str:
    number = error.errno
    if number == errno.ENOENT:
        if os.path.exists(path):
            return f"{path}: its interpreter (first line, #!) does not exist"
        return f"{path}: no such program"
    if number == errno.EACCES:
        if os.path.isdir(path):
            return f"{path}: is a directory"
        return f"{path}: not executable (chmod +x), or its folder may not be entered"
    if number == errno.ENOEXEC:
        return f"{path}: no program and no script with a #! line"
    if number == errno.E2BIG:
        return f"{path}: arguments and environment are too long for this system"
    if number in (errno.EMFILE, errno.ENFILE):
        return "out of file descriptors: raise the hard limit of open files (ulimit -Hn) or start fewer workers"
    if number == errno.EAGAIN:
        return "no more processes for this user (ulimit -u, pids limit of the cgroup)"
    return f"{path}: {error.strerror}"
