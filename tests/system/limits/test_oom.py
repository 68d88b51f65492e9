"""What the kernel kills for want of memory is told as that, and what somebody else kills beside it is not."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from tests.support.waiting import eventually

FULL = "held = [bytearray(b'x' * 1_000_000) for _ in range(1000)]"
LIMIT = "40000000"


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A memory cgroup of our own with room for 40 MB; skips where we may make none (v1 or v2)."""
    folder = next((own / f"supervisor-tree-{uuid.uuid4().hex[:8]}" for own in _own_memory_cgroups()), None)
    if folder is None:
        pytest.skip("no memory controller here")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no memory cgroup may be made here: {error}")
    try:
        for name, text in (
            ("memory.limit_in_bytes", LIMIT),
            ("memory.memsw.limit_in_bytes", LIMIT),
            ("memory.max", LIMIT),
            ("memory.swap.max", "0"),
        ):
            if (folder / name).exists():
                (folder / name).write_text(text)
        yield folder
    finally:
        with contextlib.suppress(OSError):
            eventually(lambda: not (folder / "cgroup.procs").read_text(), "the cgroup is empty")
            folder.rmdir()


def _own_memory_cgroups() -> Iterator[Path]:
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own[controllers] = path.lstrip("/")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split()[:3]
        mount = Path(before.split()[4])
        if kind == "cgroup" and "memory" in options.split(",") and "memory" in own:
            yield mount / own["memory"]
        elif kind == "cgroup2" and "memory" in (mount / own[""] / "cgroup.subtree_control").read_text().split():
            yield mount / own[""]


@pytest.mark.linux
@pytest.mark.root
def test_a_kill_by_the_kernel_is_told_in_its_words(tree: MakeTree, small_cgroup: Path) -> None:
    t = tree(
        f"""
        [defaults]
        backoff = "1h"
        [workers.hungry]
        command = ["sh", "-c", 'echo $$$$ > {small_cgroup}/cgroup.procs && exec "$@"', "sh",
            "${{tree.python}}", "-S", "-c", "{FULL}"]
        autostart = false
        [workers.bystander]
        command = "sleep 1000"
        [workers.asked]
        command = ["sh", "-c", 'echo $$$$ > {small_cgroup}/cgroup.procs && "$@"; exit $?', "sh",
            "${{tree.python}}", "-S", "-c", "{FULL}"]
        autostart = false
        """
    )
    t.wait("bystander")
    bystander = t.pids()["bystander"]
    t.ctl("start", "hungry")
    t.wait("hungry", state="backoff")
    t.kill(bystander)  # within the time in which a counter alone would have taken it for another
    t.wait("bystander", state="backoff")
    told = t.child("hungry")["last_exit"]
    assert told["reason"].startswith("killed by SIGKILL (out of memory")
    assert t.child("hungry")["restarts"] == 1
    if os.access("/dev/kmsg", os.R_OK) and os.readlink("/proc/self/ns/pid") == "pid:[4026531836]":
        assert "its memory cgroup was full, the kernel chose python" in told["reason"]
        assert t.child("bystander")["last_exit"]["reason"] == "killed by SIGKILL"
    assert "out of memory" in t.ctl("why", "hungry")
    t.ctl("start", "asked")
    t.wait("asked", state="backoff")
    assert "perhaps for want of memory" in t.child("asked")["last_exit"]["reason"]
