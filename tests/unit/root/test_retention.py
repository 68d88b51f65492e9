"""Old files: which are removed, and which never."""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from pathlib import Path

import pytest

from supervisor_tree.root.retention.removing import Removed, remove_old
from supervisor_tree.system import means

DAY = 86400.0


def make(file: Path, days: float) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * 100)
    at = time.time() - days * DAY
    os.utime(file, (at, at))
    return file


def remove(
    folder: Path, *patterns: str, max_age: float | None = 7 * DAY, keep: int = 0, own: tuple[str, ...] = ()
) -> Removed:
    wanted = [str(folder / pattern) for pattern in patterns]
    return remove_old(wanted, max_age, keep, time.time(), str(folder / ".supervisor-tree"), own)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_what_is_older_goes_and_the_newest_stay_however_old(tmp_path: Path) -> None:
    for days in (1, 6.9, 7.1, 8, 30, 365):
        make(tmp_path / f"{days}.bin", days)
    done = remove(tmp_path, "*.bin")
    assert (done.count, done.bytes, done.failed, done.in_use) == (4, 400, 0, 0)
    assert names(tmp_path) == {"1.bin", "6.9.bin"}
    make(tmp_path / "40.bin", 40)
    assert remove(tmp_path, "*.bin", max_age=DAY / 2, keep=2).count == 1
    assert names(tmp_path) == {"1.bin", "6.9.bin"}


def test_without_an_age_only_the_newest_stay(tmp_path: Path) -> None:
    for days in (0, 1, 2, 3):
        make(tmp_path / f"{days}.bin", days)
    assert remove(tmp_path, "*.bin", max_age=None, keep=3).count == 1
    assert names(tmp_path) == {"0.bin", "1.bin", "2.bin"}


def test_several_globs_are_one_set(tmp_path: Path) -> None:
    make(tmp_path / "a/1.bin", 10)
    make(tmp_path / "b/2.parquet", 20)
    make(tmp_path / "b/3.parquet", 30)
    assert remove(tmp_path, "a/*.bin", "b/*.parquet", "**/*.parquet", keep=2).count == 1
    assert names(tmp_path) == {"a/1.bin", "b/2.parquet"}


def test_only_what_the_glob_says(tmp_path: Path) -> None:
    for name in ("x.bin", "x.bin.bak", ".hidden.bin", "sub/x.bin", "sub/deep/x.bin"):
        make(tmp_path / name, 10)
    assert remove(tmp_path, "*.bin").count == 1
    assert names(tmp_path) == {"x.bin.bak", ".hidden.bin", "sub/x.bin", "sub/deep/x.bin"}
    assert remove(tmp_path, "sub/**/*.bin").count == 2


def test_folders_links_and_what_is_no_file_stay(tmp_path: Path) -> None:
    old = make(tmp_path / "old.bin", 10)
    (tmp_path / "folder.bin").mkdir()
    os.utime(tmp_path / "folder.bin", (0, 0))
    (tmp_path / "link.bin").symlink_to("elsewhere.txt")
    os.utime(tmp_path / "link.bin", (0, 0), follow_symlinks=False)
    target = make(tmp_path / "elsewhere.txt", 10)
    os.mkfifo(tmp_path / "pipe.bin")
    os.utime(tmp_path / "pipe.bin", (0, 0))
    assert remove(tmp_path, "*.bin").count == 1
    assert not old.exists()
    assert target.exists()
    assert (tmp_path / "folder.bin").is_dir()
    assert names(tmp_path) == {"link.bin", "elsewhere.txt", "pipe.bin"}


def test_a_link_to_a_folder_does_not_lead_out(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside/precious.bin", 100)
    make(tmp_path / "models/old.bin", 100)
    (tmp_path / "models/away").symlink_to(tmp_path / "outside")
    done = remove(tmp_path, "models/**/*.bin", "models/*/*.bin")
    assert done.files == [str(tmp_path / "models/old.bin")]
    assert outside.exists()
    # Where the glob itself spells a link out, that is the folder that is meant.
    (tmp_path / "current").symlink_to(tmp_path / "outside")
    assert remove(tmp_path, "current/*.bin").count == 1


def test_the_trees_own_files_stay_but_for_logs_and_runs(tmp_path: Path) -> None:
    state = tmp_path / ".supervisor-tree"
    for name in (
        "lock",
        "wishes.json",
        "journal/00000001.jsonl",
        "alerts/1.json",
        "jobs/nightly/1.log",
        "logs/web.log.3",
    ):
        make(state / name, 100)
    assert remove(tmp_path, ".supervisor-tree/*", ".supervisor-tree/**/*").count == 2
    assert names(state) == {"lock", "wishes.json", "journal/00000001.jsonl", "alerts/1.json"}


def test_what_is_written_right_now_stays(tmp_path: Path) -> None:
    log = make(tmp_path / "logs/web.log", 40)
    make(tmp_path / "logs/web.log.1", 40)
    assert remove(tmp_path, "logs/*", own=(str(log),)).count == 1
    assert log.exists()


def test_what_is_locked_stays_until_it_is_not(tmp_path: Path) -> None:
    file = make(tmp_path / "x.bin", 10)
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        done = remove(tmp_path, "*.bin")
        assert (done.count, done.in_use) == (0, 1)
    assert remove(tmp_path, "*.bin").count == 1


@pytest.mark.linux
@pytest.mark.parametrize("how", ["read", "write", "map"])
def test_what_somebody_has_open_stays_until_it_is_not(tmp_path: Path, how: str) -> None:
    file = make(tmp_path / "x.bin", 10)
    before = file.stat().st_mtime_ns
    with file.open("ab" if how == "write" else "rb") as held:
        mapped = mmap.mmap(held.fileno(), 0, prot=mmap.PROT_READ) if how == "map" else None
        if mapped is not None:
            held.close()
        done = remove(tmp_path, "*.bin")
        assert (done.count, done.in_use, done.failed) == (0, 1, 0)
        if mapped is not None:
            mapped.close()
    assert file.stat().st_mtime_ns == before
    assert remove(tmp_path, "*.bin").count == 1


@pytest.mark.linux
def test_to_look_whether_a_file_is_open_harms_nobody(tmp_path: Path) -> None:
    """Whoever opens it meanwhile may wait for a moment; we are not killed by the signal that tells us."""
    file = make(tmp_path / "x.bin", 0)
    reader, writer = os.pipe()
    child = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", 'i=0; while [ $i -lt 300 ]; do : < "$0"; i=$((i+1)); done; echo done >&3', str(file)],
        dict(os.environ),
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, 3)],
    )
    os.close(writer)
    fd = os.open(file, os.O_RDONLY)
    ended, free = False, 0
    while not ended:
        free += not means.open_elsewhere(fd)
        ended = os.waitpid(child, os.WNOHANG)[0] == child
    os.close(fd)
    assert os.read(reader, 10) == b"done\n"
    os.close(reader)
    assert free > 0


def test_one_that_cannot_be_removed_is_told_and_ends_nothing(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may remove anything")
    make(tmp_path / "a/x.bin", 10)
    make(tmp_path / "b/y.bin", 10)
    (tmp_path / "a").chmod(0o500)
    done = remove(tmp_path, "*/*.bin")
    (tmp_path / "a").chmod(0o700)
    assert (done.count, done.failed) == (1, 1)
    assert done.reason is not None
    assert "a/x.bin" in done.reason
