"""What the keeper does when the kernel refuses one of its folders; those are in memory here."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor_tree.keeper.cgroups import Cgroups
from supervisor_tree.system import means
from supervisor_tree.system.cgroup import Cgroup


class Kernel:
    """Which folders there are, where we are, and what is refused: ``(operation, name of the folder)``."""

    def __init__(self) -> None:
        self.folders = {"/own"}
        self.here = "/own"
        self.refused: set[tuple[str, str]] = set()


class Folder(Cgroup):
    __slots__ = ("kernel",)

    def __init__(self, path: str, kernel: Kernel) -> None:
        super().__init__(path, path)
        self.kernel = kernel

    def child(self, name: str) -> Folder:
        return Folder(f"{self.path}/{name}", self.kernel)

    @property
    def parent(self) -> Folder:
        return Folder(os.path.dirname(self.path), self.kernel)

    is_ours = True

    def folders(self) -> list[Cgroup]:
        return [Folder(each, self.kernel) for each in self.kernel.folders if os.path.dirname(each) == self.path]

    @property
    def populated(self) -> bool:
        return f"{self.kernel.here}/".startswith(f"{self.path}/")

    def make(self) -> None:
        self._ask("make")
        if self.path in self.kernel.folders:
            raise FileExistsError
        self.kernel.folders.add(self.path)

    def remove(self) -> bool:
        for each in self.folders():
            each.remove()
        if not self.populated and not self.folders():
            self.kernel.folders.discard(self.path)
        return self.path not in self.kernel.folders

    def take(self, pid: int = 0) -> None:
        self._ask("take")
        self.kernel.here = self.path

    def kill(self) -> None:
        assert not self.populated, "that would be us"

    @property
    def controllers(self) -> list[str]:
        return []

    def enable(self) -> None:
        """There are none."""

    def disable(self) -> None:
        """There are none."""

    def _ask(self, operation: str) -> None:
        if (operation, self.name) in self.kernel.refused:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(means, "own_cgroup", lambda: Folder("/own", kernel))
    return kernel


TOP = "/own/supervisor-tree." + "a" * 16


class Keeper:
    """As much of one as is asked for."""

    def __init__(self) -> None:
        self.tree_id = "a" * 32
        self.kept = self
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.cgroups = Cgroups(self)  # type: ignore[arg-type]
        self.cgroups.tell()

    def event(self, kind: str, **fields: Any) -> None:
        self.told.append((kind, fields))

    @property
    def refusals(self) -> list[dict[str, Any]]:
        return [fields for kind, fields in self.told if kind == "no_cgroup"]


def test_one_that_cannot_be_entered_is_gone_and_said_once(kernel: Kernel) -> None:
    keeper = Keeper()
    for name in ("a", "b"):
        kernel.refused.add(("take", f"worker.{name}"))
        folder = keeper.cgroups.make(name)
        with keeper.cgroups.inside(folder):
            assert kernel.here == f"{TOP}/tree"
    assert kernel.folders == {"/own", TOP, f"{TOP}/tree"}
    assert keeper.refusals == [{"name": "a", "reason": "it can't be entered: Device or resource busy"}]


def test_who_cannot_leave_a_worker_s_folder_kills_nobody_in_it(kernel: Kernel) -> None:
    keeper = Keeper()
    child: Any = SimpleNamespace(key=("a", 1), cgroup=None)
    folder = keeper.cgroups.make("a")
    kernel.refused.add(("take", "tree"))
    with keeper.cgroups.inside(folder):
        keeper.cgroups.belongs(folder, child)
    assert kernel.here == f"{TOP}/worker.a"
    keeper.cgroups.kill(child)
    assert [each["reason"] for each in keeper.refusals] == [f"{TOP}/tree: Device or resource busy"]
    kernel.refused.clear()
    keeper.cgroups.kill(child)
    assert kernel.here == f"{TOP}/tree"
    keeper.cgroups.done(child)
    keeper.cgroups.leave()
    assert kernel.folders == {"/own"}


@pytest.mark.parametrize("refused", [("make", "tree"), ("take", "tree"), ("make", os.path.basename(TOP))])
def test_a_tree_that_gets_none_is_where_it_was(kernel: Kernel, refused: tuple[str, str]) -> None:
    kernel.refused.add(refused)
    keeper = Keeper()
    assert len(keeper.refusals) == 1
    assert keeper.cgroups.make("a") is None
    with keeper.cgroups.inside(None):
        assert kernel.here == "/own"
    keeper.cgroups.leave()
    assert kernel.folders == {"/own"}


def test_what_killed_trees_have_left_is_removed_and_nothing_else(kernel: Kernel) -> None:
    kernel.folders |= {"/own/supervisor-tree.0", "/own/supervisor-tree.0/tree", "/own/else"}
    Keeper()
    assert kernel.folders == {"/own", "/own/else", TOP, f"{TOP}/tree"}
