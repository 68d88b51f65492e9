"""Cgroups (v2) as folders: where this process is, whether it may divide that, and what a folder tells and does.

After the kernel's admin-guide/cgroup-v2.rst and, for the mark of a delegated one, systemd's CGROUP_DELEGATION.md.
"""

from __future__ import annotations

import os

from supervisor_tree.system import procfs

_MARKS = ("user.delegate", "trusted.delegate")
"""Extended attributes: systemd's word that it leaves a folder to who runs in it (the second one is for root's eyes)."""
_WANTED = ("memory", "cpu", "pids")
_ENABLED = "user.supervisor-tree.enabled"
"""Ours: the controllers that `enable` has switched on, for whoever is to switch them off."""


class Cgroup:
    """One folder, which may be gone by now. What asks returns None then; what changes something raises OSError."""

    __slots__ = ("line", "path")

    def __init__(self, path: str, line: str) -> None:
        self.path = path
        self.line = line
        """What /proc/PID/cgroup calls it."""

    def child(self, name: str) -> Cgroup:
        """A folder in it, made or not."""
        return Cgroup(f"{self.path}/{name}", f"{self.line.rstrip('/')}/{name}")

    @property
    def parent(self) -> Cgroup:
        return Cgroup(os.path.dirname(self.path), os.path.dirname(self.line))

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    # --- making and removing

    @property
    def is_ours(self) -> bool:
        """Whether we may divide it: it is marked as delegated, or belongs to our user, who is not root.

        Never so the root of the hierarchy, which has no ``cgroup.kill``, nor on a kernel before 5.14, which has none.
        """
        needed = [self.path, f"{self.path}/cgroup.procs", f"{self.path}/cgroup.subtree_control"]
        if not os.path.exists(f"{self.path}/cgroup.kill") or not all(os.access(each, os.W_OK) for each in needed):
            return False
        user = os.geteuid()
        return (user != 0 and os.stat(self.path).st_uid == user) or any(self._marked(each) for each in _MARKS)

    def _marked(self, name: str) -> bool:
        try:
            return os.getxattr(self.path, name) == b"1"
        except OSError:
            return False

    def make(self) -> None:
        os.mkdir(self.path)

    def remove(self) -> bool:
        """Remove it and what was made in it, but no folder that something lives in. False: it is there still."""
        for each in self.folders():
            if not each.populated:
                each.remove()
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def folders(self) -> list[Cgroup]:
        """Those in it."""
        try:
            # The links of a folder are itself, its name, and each folder in it.
            if os.stat(self.path).st_nlink == 2:
                return []
            with os.scandir(self.path) as entries:
                return [self.child(each.name) for each in entries if each.is_dir(follow_symlinks=False)]
        except OSError:
            return []

    def enable(self) -> None:
        """Let the folders in it have the controllers of memory, cpu and pids.

        One that is not there is left out. All are refused while there are processes in it beside its folders; and while
        they are on, no process may enter it.
        """
        on = self._words("cgroup.subtree_control")
        enabled = self._enabled()
        for each in self._words("cgroup.controllers"):
            if each in _WANTED and each not in on:
                try:
                    self._write("cgroup.subtree_control", f"+{each}")
                except OSError:
                    continue
                enabled.append(each)
        if enabled:
            try:
                os.setxattr(self.path, _ENABLED, " ".join(enabled).encode())
            except OSError:
                return  # They stay on, then.

    def disable(self) -> None:
        """Take back what `enable` has done, by whomever. Refused while a folder in it has let its own have them."""
        enabled = self._enabled()
        for each in enabled:
            self._write("cgroup.subtree_control", f"-{each}")
        if enabled:
            os.removexattr(self.path, _ENABLED)

    def _enabled(self) -> list[str]:
        try:
            return os.getxattr(self.path, _ENABLED).decode().split()
        except OSError:
            return []

    @property
    def controllers(self) -> list[str]:
        """Of memory, cpu and pids those that folders in it have."""
        return [each for each in self._words("cgroup.subtree_control") if each in _WANTED]

    # --- its processes

    def take(self, pid: int = 0) -> None:
        """Move a process into it; 0: this one."""
        self._write("cgroup.procs", str(pid))

    def kill(self) -> None:
        """SIGKILL to all in it, and in its folders, to the last one: no fork escapes."""
        self._write("cgroup.kill", "1")

    def members(self) -> list[int]:
        """pids of all in it, and in its folders."""
        found = [int(each) for each in self._words("cgroup.procs")]
        for each in self.folders():
            found += each.members()
        return found

    @property
    def populated(self) -> bool:
        """Whether anything lives in it, or in its folders. Zombies don't."""
        return b"populated 1" in (procfs.read(f"{self.path}/cgroup.events") or b"")

    def events(self) -> int:
        """A descriptor that has POLLPRI when `populated` has changed since it was asked by it."""
        return os.open(f"{self.path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)

    @staticmethod
    def is_populated(events: int) -> bool:
        """`populated`, by the descriptor of `events`."""
        try:
            return b"populated 1" in os.pread(events, 4096, 0)
        except OSError:  # removed
            return False

    # --- what it has used

    def identity(self) -> int | None:
        """A number that no other folder has or will have in this boot."""
        try:
            return os.stat(self.path).st_ino
        except OSError:
            return None

    def spent(self) -> float | None:
        """Seconds of CPU of all that is or ever was in it."""
        used = self._number("cpu.stat", b"usage_usec")
        return None if used is None else used / 1e6

    def memory(self) -> int | None:
        """Bytes that all in it hold, less what the kernel takes back before anything else (file pages long unused).

        None: without the memory controller.
        """
        held = procfs.read(f"{self.path}/memory.current")
        idle = self._number("memory.stat", b"inactive_file")
        return None if not held or idle is None else max(0, int(held) - idle)

    def oom_kills(self) -> int | None:
        """How many in it the kernel has killed for want of memory; None: without the memory controller."""
        return self._number("memory.events", b"oom_kill")

    # --- files

    def _words(self, name: str) -> list[str]:
        return (procfs.read(f"{self.path}/{name}") or b"").decode().split()

    def _number(self, name: str, key: bytes) -> int | None:
        """Of a file of lines "key number"."""
        for line in (procfs.read(f"{self.path}/{name}") or b"").splitlines():
            if line.startswith(key + b" "):
                return int(line[len(key) :])
        return None

    def _write(self, name: str, text: str) -> None:
        fd = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def own() -> Cgroup | None:
    """The one that this process is in; None: there is no v2 here, or its folder is not to be seen."""
    line = line_of(os.getpid())
    path = None if line is None else folder_of(line, procfs.read("/proc/self/mountinfo") or b"")
    return None if line is None or path is None else Cgroup(path, line)


def folder_of(line: str, mountinfo: bytes) -> str | None:
    """Where the folder of that line is mounted; None: nowhere that can be seen."""
    for mount in mountinfo.splitlines():
        fields = mount.split()
        if fields[fields.index(b"-") + 1] != b"cgroup2":
            continue
        # Of a container that sees the host's names, but of the host's folders only its own.
        top = os.fsdecode(fields[3]).rstrip("/")
        if line == top or line.startswith(top + "/"):
            return os.fsdecode(fields[4]) + line[len(top) :].rstrip("/")
    return None


def line_of(pid: int) -> str | None:
    """What /proc says of where a process is; None: it is gone, or there is no v2 here."""
    for line in (procfs.read(f"/proc/{pid}/cgroup") or b"").splitlines():
        if line.startswith(b"0::"):
            return os.fsdecode(line[3:])
    return None
