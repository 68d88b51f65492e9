"""A worker's zygote has its user and group: what a preload runs has no more rights than the worker."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supervisor_tree.system import means
from tests.system.keeper.conftest import eventually
from tests.system.keeper.zygote.conftest import BOOT, Python

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root to become another user"),
]


@pytest.fixture
def opened(python: Python) -> Python:
    """Its folder may be entered and written by everybody."""
    python.brain.folder.chmod(0o777)
    for folder in python.brain.folder.parents:
        if folder.stat().st_mode & 0o007 == 0:
            folder.chmod(folder.stat().st_mode | 0o005)
    return python


def owner(pid: int) -> int:
    return os.stat(f"/proc/{pid}").st_uid


def may_raise_limits() -> bool:
    """Root in a container may lack CAP_SYS_RESOURCE."""
    script = "import resource as r; r.setrlimit(r.RLIMIT_RTPRIO, (0, 0)); r.setrlimit(r.RLIMIT_RTPRIO, (0, 1))"
    return subprocess.run([sys.executable, "-c", script], stderr=subprocess.DEVNULL, check=False).returncode == 0


def test_user_and_group(opened: Python, interpreter: str) -> None:
    python, brain = opened, opened.brain
    python.start("a", "tell", user="daemon", interpreter=interpreter)
    told = python.told()
    entry = pwd.getpwnam("daemon")
    assert (told["uid"], told["gid"]) == (entry.pw_uid, entry.pw_gid)
    assert set(told["groups"]) == set(os.getgrouplist("daemon", entry.pw_gid))
    zygote = python.zygote("z-daemon")
    assert owner(zygote) == entry.pw_uid
    (brain.folder / "told").unlink()
    python.start("b", "tell", user="65534", group="daemon", interpreter=interpreter)
    told = python.told()
    assert (told["uid"], told["gid"]) == (65534, grp.getgrnam("daemon").gr_gid)
    # A kill reaches it, and its end is told.
    brain.stop("a", grace=0)
    assert brain.event("exited", name="a")["signal"] == signal.SIGKILL
    if not means.orphans_come_to_us:
        return
    # So it is without its zygote.
    os.kill(python.zygote("z-65534-daemon"), signal.SIGKILL)
    brain.stop("b")
    assert brain.event("exited", name="b")["signal"] == signal.SIGTERM


def test_a_preload_runs_as_the_worker(opened: Python, interpreter: str) -> None:
    (opened.brain.folder / "seen.py").write_text(
        "import os\n"
        "told = os.getresuid(), os.getresgid(), os.getgroups(), os.environ['KEPT']\n"
        "open('ids', 'w').write(repr(told))\n"
    )
    opened.start("a", preload=("seen",), user="65534", group="daemon", interpreter=interpreter)
    gid = grp.getgrnam("daemon").gr_gid
    groups = os.getgrouplist(pwd.getpwuid(65534).pw_name, gid)
    told = ((65534,) * 3, (gid,) * 3, groups, "zygote's")
    assert (opened.brain.folder / "ids").read_text() == repr(told)


def test_its_environment_is_no_more_than_its_workers(opened: Python, interpreter: str) -> None:
    opened.start("a", user="daemon", inherit=[], interpreter=interpreter)
    zygote = opened.zygote("z-daemon-[]")
    names = {each.partition(b"=")[0] for each in Path(f"/proc/{zygote}/environ").read_bytes().split(b"\0") if each}
    assert names == {b"PYTHONPATH", b"KEPT", b"SUPERVISOR_TREE_ID", b"SUPERVISOR_TREE_ROOM"}


def test_rights_that_only_we_have(opened: Python, interpreter: str) -> None:
    """Limits above its own and a nice below zero: as a command of another user gets them."""
    keeper = opened.brain.keeper.pid
    resource.prlimit(keeper, resource.RLIMIT_RTPRIO, (0, 0))
    limits: dict[str, Any] = {"nofile": [20, 30]}
    if may_raise_limits():
        limits["rtprio"] = [1, 7]
    pid = opened.start("a", "tell", user="daemon", nice=-3, limits=limits, interpreter=interpreter)
    told = opened.told()
    assert (told["nice"], told["nofile"]) == (-3, [20, 30])
    assert limit(pid, "realtime priority") == limits.get("rtprio", [0, 0])
    # What is less than ours is for the worker alone: its zygote needs descriptors.
    assert limit(opened.zygote("z-daemon--3-" + str(limits)), "open files")[1] > 30


def limit(pid: int, name: str) -> list[int]:
    line = Path(f"/proc/{pid}/limits").read_text().split(f"Max {name}")[1].splitlines()[0]
    return [int(each) for each in line.split()[:2]]


def test_it_may_open_its_output_again(opened: Python, interpreter: str) -> None:
    (opened.brain.folder / "again.py").write_text(
        "import sys\ndef run():\n    open('/dev/stderr', 'w').write('ok')\n    return 0\n"
    )
    effect = opened.spec("a", "sleep", user="daemon", interpreter=interpreter)
    effect["python"]["target"] = "again:run"
    opened.brain.commit(effect)
    assert opened.brain.event("exited", name="a")["code"] == 0
    eventually(lambda: opened.brain.log("a") == "ok", "it has been written")


@pytest.mark.parametrize("closed", ["interpreter", "link", "package", "mode"])
def test_what_it_may_not_read_is_said(opened: Python, interpreter: str, closed: str, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    effect = opened.spec("a", "sleep", user="daemon", interpreter=interpreter)
    argv: list[str] = effect["python"]["zygote"]["argv"]
    if closed == "package":
        shutil.copy(BOOT, folder / "boot.py")
        argv[1] = str(folder / "boot.py")
        said = f"{argv[1]}: not readable for this user (it may not enter {folder})"
    else:
        argv[0] = str(tmp_path / "closed" / "python")
        os.symlink(os.path.realpath(interpreter), argv[0])
        said = f"{argv[0]}: not executable for this user (it may not enter {folder})"
        if closed == "link":
            os.symlink(argv[0], tmp_path / "python")
            argv[0] = str(tmp_path / "python")
            said = said.replace("closed/python", "python")
        elif closed == "mode":
            shutil.copyfile("/bin/true", tmp_path / "python")
            argv[0] = str(tmp_path / "python")
            said = f"{argv[0]}: not executable for this user (chmod +x)"
    opened.brain.commit(effect)
    failed = opened.brain.event("spawn_failed", name="a")
    assert (failed["errno"], failed["reason"]) == (errno.EACCES, said)
    assert opened.brain.event("zygote", what="failed")["why"] == said


@pytest.mark.parametrize(
    ("more", "number", "said"),
    [
        ({"user": "nobody-x"}, errno.ENOENT, "user nobody-x: there is no such user"),
        ({"group": "no-such"}, errno.ENOENT, "group no-such: there is no such group"),
    ],
)
def test_failures(python: Python, more: dict[str, Any], number: int, said: str) -> None:
    python.brain.commit(python.spec("a", "sleep", **more))
    failed = python.brain.event("spawn_failed", name="a")
    assert (failed["errno"], failed["reason"]) == (number, said)
    python.start("b")
