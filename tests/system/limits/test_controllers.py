"""Limits, and kills for want of memory, where the delegated cgroup has its controllers: not where v1 holds them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.conftest import MakeTree
from tests.support.cgroups import Delegated, delegated
from tests.support.waiting import eventually

pytestmark = pytest.mark.linux


@pytest.fixture
def own() -> Iterator[Delegated]:
    with delegated() as made:
        if "memory" not in (made.path / "cgroup.controllers").read_text().split():
            pytest.skip("no memory controller in cgroup v2 here")
        yield made


UNMAPPED = """
import os, signal
fd = os.memfd_create("held")
for _ in range(100):
    os.write(fd, b"x" * 1_000_000)
signal.pause()
"""


def test_memory_is_what_the_controller_counts(tree: MakeTree, own: Delegated) -> None:
    """Also what is in no process' memory: a file in memory that is only written to."""
    t = tree(
        """
        [workers.files]
        command = "${tree.python} -S unmapped.py"
        memory_max = "80MB"
        backoff = "1h"
        """,
        start=False,
    )
    (t.dir / "unmapped.py").write_text(UNMAPPED)
    t.wrap = own.wrap
    t.start()
    with t.follow("ctl", "events", "-f", "--json") as f:
        exceeded = f.event("limit_exceeded", "files")
    assert 80_000_000 < exceeded["value"] < 130_000_000  # it may be looked at while it still writes
    assert "unmapped.py" in exceeded["processes"][0]["command"]
    t.wait("files", state="backoff")
    assert "memory" in t.events("cgroups")[0]["controllers"].split()


HUNGRY = """
import signal
held = []
signal.signal(signal.SIGUSR1, lambda *_: held.extend(bytearray(b"x" * 1_000_000) for _ in range(200)))
print("ready", flush=True)
while True:
    signal.pause()
"""


def test_who_was_killed_for_want_of_memory_is_told_by_its_own_folder(tree: MakeTree, own: Delegated) -> None:
    t = tree(
        """
        [defaults]
        backoff = "1h"
        [workers.hungry]
        command = "${tree.python} -S hungry.py"
        [workers.bystander]
        command = "sleep 1000"
        """,
        start=False,
    )
    (t.dir / "hungry.py").write_text(HUNGRY)
    t.wrap = own.wrap
    t.start()
    eventually(lambda: "ready" in t.log("hungry"), "it handles signals")
    pids = t.pids()
    folder = own.tree() / "worker.hungry"
    (folder / "memory.max").write_text("40000000")
    os.kill(pids["hungry"], signal.SIGUSR1)
    t.wait("hungry", state="backoff")
    t.kill(pids["bystander"])  # within the time in which the tree's counter alone would have taken it for another
    t.wait("bystander", state="backoff")
    assert t.child("hungry")["last_exit"]["reason"].startswith("killed by SIGKILL (out of memory")
    assert t.child("bystander")["last_exit"]["reason"] == "killed by SIGKILL"
