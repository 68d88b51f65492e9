"""Processes as /proc shows them."""

from __future__ import annotations

import os

from supervisor_tree.system.means import Cost, Process, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def read(path: str) -> bytes | None:
    """A whole file of /proc (they can't be sized beforehand); None when it is gone or forbidden."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        parts = [os.read(fd, 16384)]
        while parts[-1]:
            parts.append(os.read(fd, 262144))
        return b"".join(parts)
    except OSError:
        return None
    finally:
        os.close(fd)


def process(pid: int) -> Process | None:
    """One line of /proc/PID/stat; the command's name in it may hold spaces and parentheses."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(fd, 4096)
    except OSError:
        return None
    finally:
        os.close(fd)
    end = text.rindex(b")")
    fields = text[end + 2 :].split(None, 20)
    name = text[text.index(b"(") + 1 : end].decode(errors="replace")
    return Process(pid, name, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]), fields[0].decode())


TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def usage(pid: int) -> tuple[float, int, float] | None:
    """From /proc/PID/stat: seconds of CPU, bytes resident, seconds since boot at which it began."""
    text = read(f"/proc/{pid}/stat")
    if text is None:
        return None
    fields = text[text.rindex(b")") + 2 :].split(None, 23)
    return (int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * _PAGE, int(fields[19]) / TICKS


def costs(pids: Iterable[int] | None = None) -> list[Cost]:
    """One line of each /proc/PID/stat; of all processes by a full walk."""
    found = []
    for name in [each for each in os.listdir("/proc") if each.isdigit()] if pids is None else pids:
        try:
            fd = os.open(f"/proc/{name}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            text = os.read(fd, 4096)
        except OSError:
            continue
        finally:
            os.close(fd)
        fields = text[text.rindex(b")") + 2 :].split(None, 23)
        spent = (int(fields[11]) + int(fields[12])) / TICKS
        reaped = (int(fields[13]) + int(fields[14])) / TICKS
        memory = int(fields[21]) * _PAGE
        found.append(Cost(int(name), int(fields[1]), int(fields[3]), int(fields[19]), spent, reaped, memory))
    return found


def processes() -> list[Process]:
    """A full walk."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            seen = process(int(name))
            if seen is not None:
                found.append(seen)
    return found


def children(pid: int) -> list[int]:
    """pids of a process's children, of all its threads; empty when it is gone."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for task in tasks:
        found += [int(each) for each in (read(f"/proc/{pid}/task/{task}/children") or b"").split()]
    return found


def environment(pid: int) -> bytes | None:
    """/proc/PID/environ: the exec-time environment, None for other users' processes and kernel threads."""
    return read(f"/proc/{pid}/environ")


def command(pid: int) -> str:
    """/proc/PID/cmdline joined by spaces, else the short name in brackets as ``ps`` shows it."""
    text = read(f"/proc/{pid}/cmdline")
    if text:
        return one_line(text)
    short = read(f"/proc/{pid}/comm")
    return f"[{short.decode(errors='replace').strip()}]" if short else ""


def boot_id() -> str:
    text = read("/proc/sys/kernel/random/boot_id")
    return text.decode().strip() if text else ""


def pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def writers(link: str) -> list[int]:
    """pids that have a descriptor open for writing whose link reads ``link`` (``pipe:[123]``)."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        folder = f"/proc/{entry}/fd"
        try:
            for fd in os.listdir(folder):
                path = f"{folder}/{fd}"
                # The owner's write bit of the link is the descriptor's access mode.
                if os.readlink(path) == link and os.lstat(path).st_mode & 0o200:
                    found.append(int(entry))
                    break
        except OSError:
            continue
    return found


def lock_holders(device: int, inode: int) -> list[int]:
    """/proc/locks: who holds a lock on the file. Not those who wait for it, and not who is of no number here."""
    wanted = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}".encode()
    found = []
    for line in (read("/proc/locks") or b"").splitlines():
        fields = line.split()
        # 1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF
        if len(fields) > 5 and fields[1] != b"->" and fields[5] == wanted and int(fields[4]) > 0:
            found.append(int(fields[4]))
    return found


def openers(device: int, inode: int, names: Collection[str]) -> list[int]:
    """Who has the file open, among those whose descriptors may be seen."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        folder = f"/proc/{entry}/fd"
        try:
            for fd in os.listdir(folder):
                path = f"{folder}/{fd}"
                # Told by name first: to ask each open file for its number could wait for a network.
                name = os.readlink(path).removesuffix(" (deleted)").rpartition("/")[2]
                if name in names:
                    status = os.stat(path)
                    if (status.st_dev, status.st_ino) == (device, inode):
                        found.append(int(entry))
                        break
        except OSError:
            continue
    return found
