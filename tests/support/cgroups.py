"""A cgroup of our own (v2), marked as systemd marks one that it delegates."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_tree.system import means
from tests.support.waiting import eventually


class Delegated:
    """The folder, and how something is started in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wrap = ["sh", "-c", f'echo $$ > {path}/cgroup.procs && exec "$@"', "sh"]
        """Before a command: joins, and becomes it."""

    def trees(self) -> list[str]:
        """Names of the folders that trees have made."""
        return sorted(each.name for each in self.path.iterdir() if each.is_dir())

    def tree(self) -> Path:
        """The folder of the one tree."""
        (name,) = self.trees()
        return self.path / name

    def workers(self) -> dict[str, list[int]]:
        """pids in each folder of a worker."""
        return {each.name: pids(each) for each in self.tree().iterdir() if each.name.startswith("worker.")}


def pids(folder: Path) -> list[int]:
    return [int(each) for each in (folder / "cgroup.procs").read_text().split()]


def where(pid: int) -> str:
    """The name of the folder that a process is in."""
    return os.path.basename(means.cgroup_line(pid) or "")


@contextlib.contextmanager
def delegated() -> Iterator[Delegated]:
    """Skips where none can be made; kills what is left in it."""
    own = means.own_cgroup()
    if own is None:
        pytest.skip("no cgroup v2 is mounted here")
    path = Path(own.path, f"test-{uuid.uuid4().hex[:12]}")
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup may be made in {own.path}: {error.strerror}")
    try:
        if not (path / "cgroup.kill").exists():
            pytest.skip("a kernel before 5.14 has no cgroup.kill")
        try:
            os.setxattr(path, "user.delegate", b"1")
        except OSError as error:
            pytest.skip(f"{path} can't be marked as delegated: {error.strerror}")
        yield Delegated(path)
    finally:
        top = own.child(path.name)
        with contextlib.suppress(OSError):
            top.kill()
        eventually(top.remove, "the cgroup is empty")
