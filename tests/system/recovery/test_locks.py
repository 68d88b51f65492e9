"""`clear_locks` among real processes: what one holds in any way stays, what nobody holds goes, and both are said."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor_tree.system import locks, means

Holder = Callable[[str], int]


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    """``holder(code)`` runs Python code with `path` in a process that then stays; its pid, once it has done it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> int:
        before = f"import fcntl, os, struct, sys\npath = {str(tmp_path / 'a.lock')!r}\n"
        after = "\nprint('done', flush=True)\nsys.stdin.read()\n"
        process = subprocess.Popen(
            [sys.executable, "-c", before + textwrap.dedent(code) + after],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.communicate()


FLOCK = "file = open(path, 'w'); fcntl.flock(file, fcntl.LOCK_EX); file.write(f'pid={os.getpid()} ts=1'); file.flush()"
FCNTL = "file = open(path, 'w'); fcntl.lockf(file, fcntl.LOCK_EX)"
RANGE = "file = open(path, 'w'); fcntl.lockf(file, fcntl.LOCK_EX, 1, 4096)"
OFD = "file = open(path, 'w'); fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack('hhqqi', fcntl.F_WRLCK, 0, 0, 0, 0))"
SHARED = "open(path, 'w'); file = open(path); fcntl.flock(file, fcntl.LOCK_SH)"


@pytest.mark.parametrize("code", [FLOCK, FCNTL, RANGE, SHARED], ids=["flock", "fcntl", "a range", "shared"])
def test_what_a_living_process_has_locked_is_kept_and_its_process_named(
    code: str, holder: Holder, tmp_path: Path
) -> None:
    pid = holder(code)
    path = tmp_path / "a.lock"
    inode = path.stat().st_ino
    removal = locks.clear(str(path))
    assert removal is not None
    assert not removal.removed
    assert removal.lock.state == "held"
    assert path.stat().st_ino == inode
    if means.name == "linux":
        assert removal.lock.pid == pid
        assert f"(pid {pid})" in removal.words
        assert removal.words.startswith(f"kept {path}: locked by {sys.executable} -c")


@pytest.mark.linux
def test_an_open_file_description_lock_is_kept_although_the_system_names_no_pid(holder: Holder, tmp_path: Path) -> None:
    pid = holder(OFD)
    removal = locks.clear(str(tmp_path / "a.lock"))
    assert removal is not None
    assert (removal.removed, removal.lock.state, removal.lock.pid) == (False, "held", pid)


@pytest.mark.linux
def test_a_file_that_a_process_only_has_open_is_kept(holder: Holder, tmp_path: Path) -> None:
    pid = holder("file = open(path, 'w')")
    found = locks.look(str(tmp_path / "a.lock"))
    assert found is not None
    assert (found.state, found.pid) == ("held", pid)
    assert found.why.startswith("open in ")


@pytest.mark.parametrize("text", ["pid={} ts=1735000000.5\n", "{}\n", "  {}", '{{"a": 1, "pid": {}}}', "{}:1234\n"])
def test_a_file_that_names_a_living_process_is_kept(text: str, holder: Holder, tmp_path: Path) -> None:
    pid = holder("")
    path = tmp_path / "b.lock"
    path.write_text(text.format(pid))
    removal = locks.clear(str(path))
    assert removal is not None
    assert not removal.removed
    assert removal.lock.pid == pid
    assert "which lives" in removal.words
    assert path.exists()


def test_a_file_that_names_a_dead_process_goes(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    path = tmp_path / "b.lock"
    path.write_text(f"pid={process.pid} ts=1")
    removal = locks.clear(str(path))
    assert removal is not None
    assert removal.words == f"removed {path}: nobody has it locked, and its process {process.pid} is gone"
    assert os.listdir(tmp_path) == []


@pytest.mark.linux
def test_a_number_that_another_process_has_by_now_holds_nothing(holder: Holder, tmp_path: Path) -> None:
    pid = holder("")
    path = tmp_path / "b.lock"
    path.write_text(f"pid={pid} ts=1")
    os.utime(path, (1_600_000_000, 1_600_000_000))  # written years before that process began
    removal = locks.clear(str(path))
    assert removal is not None
    assert removal.removed
    assert "is another one by now, begun later" in removal.words


@pytest.mark.parametrize("text", ["", "locked\n", "0\n", "99999999999999\n", "pid=-5", "pid=\n", "\0\0\0"])
def test_a_file_that_nobody_holds_and_that_names_nobody_goes(text: str, tmp_path: Path) -> None:
    path = tmp_path / "b.lock"
    path.write_text(text)
    removal = locks.clear(str(path))
    assert removal is not None
    assert removal.removed
    assert not path.exists()


def test_what_is_no_regular_file_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("x")
    (tmp_path / "link.lock").symlink_to(target)
    (tmp_path / "folder.lock").mkdir()
    os.mkfifo(tmp_path / "pipe.lock")
    for path in locks.find([str(tmp_path / "*.lock")]):
        removal = locks.clear(path)
        assert removal is not None
        assert (removal.removed, removal.lock.state) == (False, "unknown")
        assert os.path.lexists(path)
    assert target.read_text() == "x"


def test_a_lock_that_is_gone_already_is_no_error(tmp_path: Path) -> None:
    assert locks.clear(str(tmp_path / "no.lock")) is None
    assert locks.look(str(tmp_path / "no.lock")) is None


def test_looking_leaves_everything_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "b.lock"
    path.write_text("x")
    found = locks.look(str(path))
    assert found is not None
    assert found.state == "stale"
    assert path.read_text() == "x"
    with open(path) as file:  # and not locked by us
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# Seed weakness §1d 4: with the daemon alive, the guardian removed its lock, and a second one started beside it.

DAEMON = """
import fcntl, os, sys
file = open(sys.argv[1], "a+")
try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit("Another instance is already running")
file.truncate(0)
print("has it", flush=True)
sys.stdin.read()
"""


def test_a_second_instance_is_refused_after_any_number_of_clearings(tmp_path: Path) -> None:
    path = tmp_path / "uw.lock"
    command = [sys.executable, "-c", DAEMON, str(path)]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"has it\n"
        for _ in range(20):
            removal = locks.clear(str(path))
            assert removal is not None
            assert not removal.removed
        second = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
        assert second.returncode == 1
    finally:
        first.kill()
        first.communicate()
    removal = locks.clear(str(path))
    assert removal is not None
    assert removal.removed


RACER = """
import fcntl, os, sys
path, seconds = sys.argv[1], float(sys.argv[2])
import time
until = time.monotonic() + seconds
held = lost = 0
while time.monotonic() < until:
    file = open(path, "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        continue
    held += 1
    # While we have it, the file of that name must be ours: else a second one could have one of its own.
    for _ in range(20):
        try:
            if os.stat(path).st_ino != os.fstat(file.fileno()).st_ino:
                lost += 1
                break
        except FileNotFoundError:
            lost += 1
            break
    file.close()
print(held, lost)
"""


@pytest.mark.linux
def test_a_daemon_that_takes_its_lock_while_it_is_cleared_does_not_lose_it(tmp_path: Path) -> None:
    path = tmp_path / "racy.lock"
    racer = subprocess.Popen([sys.executable, "-c", RACER, str(path), "2"], stdout=subprocess.PIPE)
    while racer.poll() is None:
        locks.clear(str(path))
    assert racer.stdout is not None
    held, lost = map(int, racer.stdout.read().split())
    racer.stdout.close()
    assert held > 20
    assert lost == 0
    assert [name for name in os.listdir(tmp_path) if "stale" in name] == []
