"""A disk that takes nothing: runs go on, records wait and come."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from tests.support.waiting import eventually
from tests.system.jobs.looking import job, records, runs, status, wait_job, wait_lines


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("a small file system can't be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.slow
def test_a_full_disk_costs_no_run_and_no_record(tree: MakeTree, small_disk: Path) -> None:
    t = tree(
        f"""
        [tree]
        state_dir = "{small_disk}/state"
        [jobs.tick]
        every = "200ms"
        command = "sh -c 'echo x >> ran'"
        log = {{ file = "/dev/null" }}
        """,
        start=False,
    )
    t.state_dir = small_disk / "state"
    t.start()
    wait_lines(t, "ran", 2)
    fill = os.open(small_disk / "fill", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(fill, b"\0" * 4096)
    os.close(fill)
    eventually(lambda: t.events("job_files_not_written"), "it is told that the disk is full", 30)
    count = len(wait_lines(t, "ran", 1))
    wait_lines(t, "ran", count + 3)  # runs go on
    (small_disk / "fill").unlink(missing_ok=True)
    eventually(lambda: t.events("job_files_written"), "they are written again", 30)
    t.ctl("stop", "tick")
    wait_job(t, "tick", lambda j: j["state"] == "stopped", "it is stopped")
    ran = len(wait_lines(t, "ran", 1))
    eventually(lambda: len(records(t, "tick")) == len(runs(t, "tick")) >= ran, "every run has its record", 30)
    eventually(
        lambda: status(t, "tick").get("run_id") == job(t, "tick")["last"]["run"], "the last one's status, too", 30
    )
