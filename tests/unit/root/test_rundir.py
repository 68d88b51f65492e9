"""A run directory that is not ours alone is refused: somebody else could listen there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from supervisor_tree.root import rundir
from supervisor_tree.root.errors import RootError


def test_it_is_made_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "run"
    rundir.prepare(str(path))
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / "control").stat().st_mode & 0o777 == 0o700
    rundir.prepare(str(path))


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o777])
def test_one_open_to_others_is_refused_with_its_mode_and_the_mend(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "run"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(RootError, match=f"{mode:04o}") as caught:
        rundir.prepare(str(path))
    assert "chmod 700" in caught.value.mend


def test_a_link_is_refused_even_to_a_folder_of_ours(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    link = tmp_path / "run"
    link.symlink_to(real)
    with pytest.raises(RootError, match="no folder of ours"):
        rundir.prepare(str(link))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.root
def test_somebody_elses_is_refused_naming_run_dir(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    os.chown(path, 65534, 65534)
    with pytest.raises(RootError, match="belongs to user id 65534") as caught:
        rundir.prepare(str(path))
    assert "run_dir" in caught.value.mend


def test_a_path_too_long_for_a_socket_is_refused_when_configured_and_avoided_when_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RootError, match="too long"):
        rundir.place("/" + "x" * 100, "/state")
    runtime = tmp_path / ("y" * 90)
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert len(rundir.place(None, "/state")) < 104 - len("/control/control")


def test_the_id_is_of_the_real_path(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    link = tmp_path / "link"
    link.symlink_to(real)
    assert rundir.tree_id(str(link)) == rundir.tree_id(str(real))
    assert len(rundir.tree_id(str(real))) == 12


def test_each_user_has_a_folder_of_his_own(tmp_path: Path) -> None:
    path = tmp_path / "run"
    rundir.prepare(str(path), {os.geteuid()})
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / f"u-{os.geteuid()}").stat().st_mode & 0o777 == 0o700
    assert rundir.endpoint(str(path), 5) == f"ipc://{path}/u-5/heartbeat"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.root
def test_with_other_users_it_may_be_passed_through_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "run"
    rundir.prepare(str(path), {0})
    rundir.prepare(str(path), {0, 65534})
    for _ in range(2):
        assert path.stat().st_mode & 0o777 == 0o711
        assert (path / "control").stat().st_mode & 0o777 == 0o700
        other = (path / "u-65534").stat()
        assert (other.st_mode & 0o777, other.st_uid) == (0o700, 65534)
        rundir.prepare(str(path), {0})  # what is open stays so: somebody may be using it
    assert rundir.closed_to_others(str(path)) is not None  # pytest's own folder
    os.chown(path / "u-65534", 1, -1)
    with pytest.raises(RootError, match="belongs to user id 1"):
        rundir.prepare(str(path), {65534})
    (path / "control").chmod(0o711)
    with pytest.raises(RootError, match="control is open to others"):
        rundir.prepare(str(path), {0})


def test_a_tree_with_other_users_lies_where_they_can_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOCATION_ID", "x")
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        assert rundir.place(None, "/state", {os.geteuid()}).startswith(runtime)
        assert rundir.place(None, "/state", {os.geteuid(), 65534}).startswith("/tmp/supervisor-tree-")
    assert rundir.place(None, "/state", {os.geteuid(), 65534}).startswith("/tmp/supervisor-tree-")
    assert rundir.place("/run/x", "/state", {65534}) == "/run/x"
