"""What is read of a cgroup's files, in the form that kernels give them; and where a folder is mounted."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from pathlib import Path

import pytest

from supervisor_tree.system import means
from supervisor_tree.system.cgroup import Cgroup, folder_of
from tests.support.cgroups import delegated

FILES = {  # of a service on Linux 6.1, shortened
    "memory.current": "52428800\n",
    "memory.stat": "anon 31457280\nfile 18874368\nkernel 2097152\ninactive_anon 0\nactive_anon 31457280\n"
    "inactive_file 10485760\nactive_file 8388608\nworkingset_refault_file 0\n",
    "memory.events": "low 0\nhigh 0\nmax 14\noom 2\noom_kill 1\noom_group_kill 0\n",
    "cpu.stat": "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\ncore_sched.force_idle_usec 0\n"
    "nr_periods 0\nnr_throttled 0\nthrottled_usec 0\nnr_bursts 0\nburst_usec 0\n",
    "cgroup.events": "populated 1\nfrozen 0\n",
    "cgroup.procs": "12\n7\n12345\n",
    "cgroup.subtree_control": "cpu io memory pids\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Cgroup:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return Cgroup(str(tmp_path), "/system.slice/x.service")


def test_what_the_files_tell(folder: Cgroup) -> None:
    assert folder.memory() == 52428800 - 10485760
    assert folder.oom_kills() == 1
    assert folder.spent() == 1.234567
    assert folder.populated
    assert folder.members() == [12, 7, 12345]
    assert folder.controllers == ["cpu", "memory", "pids"]
    assert not folder.is_ours  # no cgroup.kill


def test_without_the_memory_controller_there_is_no_answer(folder: Cgroup) -> None:
    for name in FILES:
        if name.startswith("memory"):
            os.unlink(f"{folder.path}/{name}")
    assert folder.memory() is None
    assert folder.oom_kills() is None
    assert folder.spent() == 1.234567


def test_one_that_is_gone(tmp_path: Path) -> None:
    gone = Cgroup(str(tmp_path / "gone"), "/gone")
    assert (gone.memory(), gone.spent(), gone.oom_kills(), gone.identity()) == (None, None, None, None)
    assert (gone.members(), gone.folders(), gone.populated, gone.is_ours) == ([], [], False, False)
    assert gone.remove()
    for change in (gone.kill, gone.take, gone.events):
        with pytest.raises(FileNotFoundError):
            change()


def mount(root: str, where: str, kind: str = "cgroup2") -> bytes:
    return f"35 26 0:31 {root} {where} rw,nosuid shared:9 - {kind} {kind} rw,nsdelegate\n".encode()


V1 = mount("/", "/sys/fs/cgroup/memory", "cgroup")


@pytest.mark.parametrize(
    ("line", "mounts", "found"),
    [
        ("/user.slice/a.scope", mount("/", "/sys/fs/cgroup"), "/sys/fs/cgroup/user.slice/a.scope"),
        ("/", V1 + mount("/", "/sys/fs/cgroup/unified"), "/sys/fs/cgroup/unified"),  # hybrid
        ("/docker/1f", mount("/docker/1f", "/sys/fs/cgroup"), "/sys/fs/cgroup"),  # no namespace of its own
        ("/docker/1f/x", mount("/docker/1f", "/sys/fs/cgroup"), "/sys/fs/cgroup/x"),
        ("/docker/1fa", mount("/docker/1f", "/sys/fs/cgroup"), None),
        ("/a", V1, None),
    ],
)
def test_where_a_folder_is_mounted(line: str, mounts: bytes, found: str | None) -> None:
    assert folder_of(line, mounts) == found


@pytest.mark.linux
def test_a_real_one() -> None:
    with delegated() as made:
        own = means.own_cgroup()
        assert own is not None
        assert not own.is_ours or own.path != "/sys/fs/cgroup"
        top = own.child(made.path.name)
        assert top.is_ours
        assert top.parent.path == own.path
        top.child("a").make()
        top.child("a").child("b").make()
        assert [each.name for each in top.folders()] == ["a"]
        events = top.child("a").events()
        try:
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            assert not top.is_populated(events)
            assert poll.poll(0) == []
            pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
            top.child("a").child("b").take(pid)
            assert means.cgroup_line(pid) == f"{top.line}/a/b"
            assert poll.poll(5000)
            assert top.is_populated(events)
            assert top.members() == [pid]
            assert not top.child("a").remove()
            top.kill()
            os.waitpid(pid, 0)
            assert poll.poll(5000)
            assert not top.is_populated(events)
        finally:
            os.close(events)
        assert top.child("a").spent() == pytest.approx(0, abs=1)
        assert top.child("a").remove()
        os.removexattr(made.path, "user.delegate")
        assert top.is_ours == (os.geteuid() != 0)


@pytest.mark.linux
@pytest.mark.root
def test_another_user_s_own_folder_needs_no_mark(interpreter: str) -> None:
    code = "from supervisor_tree.system import means; print(means.own_cgroup().is_ours)"
    package = Path(__file__).parents[3]
    with delegated() as made:
        os.removexattr(made.path, "user.delegate")

        def is_ours() -> str:
            drop = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
            command = [*made.wrap, *drop, "env", f"PYTHONPATH={package}", interpreter, "-S", "-c", code]
            return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()

        assert is_ours() == "False"
        for name in (".", "cgroup.procs", "cgroup.subtree_control"):
            shutil.chown(made.path / name, "nobody")
        assert is_ours() == "True"
        os.chmod(made.path / "cgroup.subtree_control", 0o444)
        assert is_ours() == "False"
