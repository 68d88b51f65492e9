"""Disks that are full or do not answer: supervision goes on, what is dropped is counted and said."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_tree.logs import index
from supervisor_tree.system import means
from tests.support.waiting import eventually
from tests.system.logs.playing import Keeper, content

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems")]

_LINE = b"x" * 99 + b"\n"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, check=False
    ).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def freezable(tmp_path: Path) -> Iterator[Path]:
    """A file system that can be made to not answer (`fsfreeze`)."""
    image, folder = tmp_path / "image", tmp_path / "freezable"
    folder.mkdir()
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    if shutil.which("mkfs.ext4") is None or shutil.which("fsfreeze") is None:
        pytest.skip("needs mkfs.ext4 and fsfreeze")
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    if _fails("mount", "-o", "loop", image, folder):
        pytest.skip("no file system can be mounted here")
    yield folder
    _fails("fsfreeze", "-u", folder)
    subprocess.run(["umount", "-l", folder], check=True)


def _fails(*command: str | Path) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


def _drops(path: Path) -> dict[int, int]:
    found: dict[int, int] = {}
    for kind, _, value in index.records(Path(index.path_of(str(path))).read_bytes()[index.HEADER.size :]):
        if kind & index.DROPPED:
            found[kind & 0xF] = found.get(kind & 0xF, 0) + value
    return found


def test_full_disk_drops_and_says_so(keeper: Keeper, small: Path) -> None:
    path = small / "web.log"
    web, other = keeper.stream("web", path=str(path)), keeper.stream("other")
    web.write(_LINE * 20_000)
    said = keeper.hear("notice", what="dropping")
    assert said["name"] == "web"
    assert said["reason"] == "No space left on device"
    other.write(b"not concerned\n")
    eventually(lambda: keeper.log("other").exists() and keeper.log("other").read_bytes() == b"not concerned\n")
    subprocess.run(["mount", "-o", "remount,size=8m", small], check=True)

    def again() -> bool:
        web.write(b"again\n")
        return path.read_bytes().endswith(b"again\n")

    eventually(again)
    lost = keeper.hear("notice", what="recovered")["bytes"]
    web.close()
    done = keeper.hear("done", id=web.head["id"])
    assert done["dropped"] == lost
    assert done["bytes"] == path.stat().st_size + lost
    assert _drops(path) == {index.OUT: lost}
    data = path.read_bytes()
    assert data.startswith(_LINE * 10_000)


@pytest.mark.parametrize("kills", [0, pytest.param(3, marks=pytest.mark.linux)])
def test_full_disk_blocks_and_loses_nothing(keeper: Keeper, small: Path, kills: int) -> None:
    if kills and not means.splices:
        pytest.skip("what a copying logger had read is lost with it")
    path = small / "web.log"
    web, other = keeper.stream("web", path=str(path), on_full="block"), keeper.stream("other")
    data = b"".join(b"%099d\n" % n for n in range(20_000))
    writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=web.writer)
    web.close()
    assert writer.stdin is not None
    feeder = os.fork()  # noqa: TID251 - the writer blocks with the disk
    if feeder == 0:
        with writer.stdin as pipe:
            pipe.write(data)
        os._exit(0)
    writer.stdin.close()
    assert keeper.hear("notice", what="blocking")["name"] == "web"
    other.write(b"not concerned\n")
    eventually(lambda: keeper.log("other").exists() and keeper.log("other").read_bytes() == b"not concerned\n")
    for _ in range(kills):
        keeper.kill()
        keeper.start()
        keeper.hear("able")
    subprocess.run(["mount", "-o", "remount,size=8m", small], check=True)
    keeper.hear("notice", what="recovered")
    keeper.hear("done", id=web.head["id"])
    os.waitpid(feeder, 0)
    assert writer.wait() == 0
    assert content(path) == data


def test_stalled_disk(keeper: Keeper, freezable: Path) -> None:
    path = freezable / "web.log"
    web = keeper.stream("web", path=str(path))
    waits = keeper.stream("waits", path=str(freezable / "waits.log"), on_full="block")
    web.write(b"before\n")
    waits.write(b"before\n")
    keeper.drain()
    subprocess.run(["fsfreeze", "-f", freezable], check=True)
    web.write(b"stuck\n")
    keeper.hear("notice", what="stalled")
    web.write(b"dropped\n" * 100_000)
    assert keeper.hear("notice", what="dropping")["name"] == "web"
    waits.write(b"waited\n")
    # The main thread is well: it takes frames and answers those that need no disk.
    keeper.send({"t": "table", "line": "{}"})
    subprocess.run(["fsfreeze", "-u", freezable], check=True)
    keeper.hear("notice", what="answers")
    lost = keeper.hear("notice", what="recovered", name="web")["bytes"]
    web.write(b"after\n")
    keeper.done(waits)
    web.close()
    done = keeper.hear("done", id=web.head["id"])
    assert done["dropped"] == lost
    data = path.read_bytes()
    assert data.startswith(b"before\nstuck\n")
    assert data.endswith(b"after\n")
    assert done["bytes"] == len(data) + lost == 7 + 6 + 800_000 + 6
    assert (freezable / "waits.log").read_bytes() == b"before\nwaited\n"
    assert _drops(path) == {index.OUT: lost}


def test_a_folder_that_cannot_be_written(keeper: Keeper) -> None:
    blocker = keeper.folder / "file"
    blocker.write_bytes(b"")
    pipe = keeper.stream("web", path=str(blocker / "web.log"))
    pipe.write(_LINE * 5000)
    said = keeper.hear("notice", what="dropping")
    assert said["reason"] == "Not a directory"
    pipe.close()
    done = keeper.hear("done")
    assert done["dropped"] == done["bytes"] == 5000 * len(_LINE)
