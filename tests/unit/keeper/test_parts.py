"""Parts of the keeper that need no child."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from supervisor_tree.keeper import cgroup_names, last_life, lock
from supervisor_tree.keeper.limits import Limits
from supervisor_tree.keeper.spawn import SpawnError, find_program
from supervisor_tree.keeper.sweep import kill_all, value
from supervisor_tree.keeper.upward import Upward
from supervisor_tree.system import means


def test_find_program(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "mine"
    program.write_text("")
    with pytest.raises(SpawnError, match="mine: no such program in its PATH"):
        find_program("mine", {"PATH": str(tmp_path / "bin")}, None)
    program.chmod(0o755)
    assert find_program("mine", {"PATH": f"/nowhere:{tmp_path}/bin"}, None) == str(program)
    assert find_program("mine", {"PATH": "bin"}, str(tmp_path)) == str(program)
    assert find_program("./x/mine", {}, None) == "./x/mine"
    assert find_program("sh", {}, None) == "/bin/sh"


def test_limits_have_no_unknown_names() -> None:
    assert Limits(ping=1).ping == 1
    with pytest.raises(TypeError, match="no limit is named pong"):
        Limits(pong=1)


def test_value_in_an_environment() -> None:
    entries = b"A=1\0SUPERVISOR_TREE_NAME=web@1\0".split(b"\0")
    assert value(entries, "SUPERVISOR_TREE_NAME") == "web@1"
    assert value(entries, "NAME") is None


def test_lock(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    held = lock.take(path)
    held.write({"pid": 7, "id": "x"})
    with pytest.raises(lock.Busy) as busy:
        lock.take(path)
    assert busy.value.owner == {"pid": 7, "id": "x"}
    began = time.monotonic()
    with pytest.raises(lock.Busy):
        lock.take(path, 0.1)
    assert 0.09 < time.monotonic() - began < 10
    held.release()
    again = lock.take(path, 1)
    assert again.owner() == {"pid": 7, "id": "x"}
    again.release()


def owner(**changed: object) -> dict[str, object]:
    me = {"pid": os.getpid(), "start": means.process_identity(os.getpid()), "id": "no-such-tree"}
    return {**me, "boot": means.boot_id(), "ns": means.pid_namespace(), **changed}


def test_a_living_keeper_is_not_disturbed(tmp_path: Path) -> None:
    held = lock.take(str(tmp_path / "lock"))
    held.write(owner())
    with pytest.raises(last_life.AlreadyRunning, match=rf"tree t is already running \(keeper pid {os.getpid()}\)"):
        last_life.take_over(str(tmp_path), "t", Limits())
    held.write(owner(ns="pid:[1]"))
    with pytest.raises(last_life.AlreadyRunning, match="in another PID namespace"):
        last_life.take_over(str(tmp_path), "t", Limits())
    held.release()


@pytest.mark.parametrize("changed", [{"start": 1}, {"pid": 2**22 + 1}, {"boot": "another"}])
def test_a_dead_keepers_lock_is_waited_for(tmp_path: Path, changed: dict[str, object]) -> None:
    held = lock.take(str(tmp_path / "lock"))
    held.write(owner(**changed))
    with pytest.raises(last_life.AlreadyRunning):
        last_life.take_over(str(tmp_path), "t", Limits(lock=0.05))
    held.release()
    taken, swept = last_life.take_over(str(tmp_path), "t", Limits())
    assert swept == []
    taken.release()


def test_sweeping_nothing_kills_nothing() -> None:
    assert kill_all("f" * 32) == []


class _Loop:
    def __init__(self) -> None:
        self.calls: list[tuple[float, object]] = []

    def later(self, seconds: float, call: object) -> None:
        self.calls.append((seconds, call))


def test_upward_is_silent_without_a_service_manager() -> None:
    up = Upward({}, _Loop(), lambda: True)  # type: ignore[arg-type]
    up.ready()
    up.stopping()
    assert up.watchdog is None


def test_upward_watchdog_is_of_this_process_only(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.bind(f"\0supervisor-tree-unit-{os.getpid()}")
        address = f"@supervisor-tree-unit-{os.getpid()}"
        loop = _Loop()
        environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid() + 1)}
        up = Upward(environ, loop, lambda: True)  # type: ignore[arg-type]
        assert up.watchdog is None
        up.close()
        up = Upward({**environ, "WATCHDOG_PID": str(os.getpid())}, loop, lambda: True)  # type: ignore[arg-type]
        assert up.watchdog == 1.0
        up.status("two\nlines")
        assert service.recv(100) == b"STATUS=two lines"
        up.close()


def test_names_of_folders_tell_whose_they_are() -> None:
    assert cgroup_names.of_worker("web@8001") == "worker.web@8001"
    assert cgroup_names.of_worker("web", 3) == "worker.web~3"
    assert cgroup_names.of_worker("a/b ~\n") == "worker.a_b___"
    assert len(cgroup_names.of_worker("x" * 999, 2)) < 255
    for name in ("web@8001", "a.1", "a-b_c"):
        assert cgroup_names.worker(cgroup_names.of_worker(name)) == name
        assert cgroup_names.worker(cgroup_names.of_worker(name, 7)) == name
    assert cgroup_names.worker(cgroup_names.HOME) is None


def test_a_note_of_a_folder_that_is_not_there_or_none_at_all() -> None:
    none: list[object] = [None, [], {}, {"path": 1, "line": "/"}]
    for said in (*none, {"path": "/x/supervisor-tree.0", "line": "/y", "identity": 7}):
        assert cgroup_names.noted(said) is None
