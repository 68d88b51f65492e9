"""Small files, replaced whole: whoever reads sees the old one or the new one, and a power cut leaves one of them.

`keep` and `settle` go together, for files that carry what a program knows to its next life: what was given to `keep`
outlives the program from the moment it is written, and the machine's memory once it is forced to the disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile

from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMING = ".new"
"""Behind the name of a file: what it is to become."""


def replace(path: str | Path, data: bytes, mode: int = 0o600, *, forced: bool = False) -> None:
    """Write a file so that a reader sees the old or the new one, whole.

    Args:
        forced: return once it is on the disk, and nothing that loses the machine's memory takes it back. That waits for
            the disk (milliseconds, seconds where others write much): in a thread only. Without, a power cut within some
            seconds may leave the old one, and on some file systems an empty one.

    Raises:
        OSError: the disk is full, or not ours.
    """
    folder = os.path.dirname(path)
    fd, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            if forced:
                file.flush()
                means.force(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    if forced:
        force_folder(folder)


def keep(path: str, data: bytes) -> None:
    """`replace`, forced; while the disk is waited for, the new file lies beside the old one for `settle` to find.

    Raises:
        OSError: the disk is full, or not ours.
    """
    replace(f"{path}{COMING}", data)
    try:
        with open(f"{path}{COMING}", "rb") as file:
            means.force(file.fileno())
        os.replace(f"{path}{COMING}", path)
    except FileNotFoundError:
        return  # whoever came after us has settled it
    force_folder(os.path.dirname(path))


def settle(path: str, whole: Callable[[bytes], object]) -> None:
    """Before a file is read that an earlier life wrote by `keep`: let it be what was written last.

    Args:
        whole: raises ValueError for what is cut off, as a power cut leaves what was not forced yet; that is removed.
    """
    coming = f"{path}{COMING}"
    with contextlib.suppress(OSError):  # there is none; or what can't be read counts for nothing
        with open(coming, "rb") as file:
            data = file.read()
            means.force(file.fileno())
        try:
            whole(data)
        except ValueError:
            os.unlink(coming)
        else:
            os.replace(coming, path)


def force_folder(folder: str) -> None:
    """Return once it is on the disk which files there are in a folder."""
    fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # as of network file systems that can't be asked
            raise
    finally:
        os.close(fd)
