"""`require`: a worker is held while it does not pass, with the reason, and released by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from tests.support.ports import free_port
from tests.support.waiting import eventually, wait_gone
from tests.system.probes.programs import WEB, program, say


def test_held_for_a_variable_that_is_not_set_until_it_is(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.uw-daemon]
        command = "sh -c 'echo $UW_API_KEY; sleep 1000'"
        env_file = "?uw.env"
        require = { env = ["UW_API_KEY"], every = "0.2s", status = "NO_KEY" }
        [workers.other]
        command = "sleep 1000"
        """
    )
    t.wait("other")
    held = t.wait_until("uw-daemon", state="held")
    assert held["reason"] == "NO_KEY: require env UW_API_KEY: not set"
    assert held["status"] == "NO_KEY"
    assert held["pid"] is None
    why = t.ctl("why", "uw-daemon")
    assert "uw-daemon is held" in why
    assert "asked again every 200 ms; starts by itself when that is gone" in why
    say(t, "uw.env", "UW_API_KEY=\n")
    t.wait_until("uw-daemon", state="held")
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    assert t.child("uw-daemon")["state"] == "held"
    say(t, "uw.env", "UW_API_KEY=secret\n")
    t.wait("uw-daemon")
    assert t.child("uw-daemon")["status"] is None
    eventually(lambda: t.log("uw-daemon") == "secret\n")
    assert t.child("uw-daemon")["restarts"] == 0
    assert not any("secret" in str(line) for line in t.events())


def test_what_is_lacking_changes_and_is_said_and_a_stop_wins(tree: MakeTree) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/json/version"
    t = tree(
        f"""
        [workers.chrome]
        command = "${{tree.python}} web.py {port}"
        [workers.runner]
        command = "sleep 1000"
        require = [
          {{ http = "{url}", key = "webSocketDebuggerUrl", status = "CDP_DOWN", every = "0.1s" }},
          {{ command = "exit $(cat session)", shell = true, status = "SESSION_INVALID", every = "0.1s" }},
        ]
        """,
        start=False,
    )
    program(t, "web.py", WEB)
    say(t, "session", "2")
    t.start()
    both = ("without webSocketDebuggerUrl", "SESSION_INVALID: require command `exit $(cat session)`: exit status 2")
    t.wait_until("runner", state="held", status="CDP_DOWN", reason=lambda r: all(words in str(r) for words in both))
    say(t, "body", '{"webSocketDebuggerUrl": "ws://127.0.0.1/"}')
    t.wait_until("runner", status="SESSION_INVALID")
    t.ctl("stop", "runner")
    assert t.child("runner")["state"] == "stopped"
    assert t.child("runner")["status"] is None
    say(t, "session", "0")
    t.ctl("start", "runner")
    t.wait("runner")
    # Asked before every start, and never while it runs.
    say(t, "session", "1")
    t.wait_until("runner", state="running")
    t.kill(t.pids()["runner"])
    assert t.wait_until("runner", state="held")["status"] == "SESSION_INVALID"


@pytest.mark.parametrize("passes", [False, True])
def test_an_answer_that_comes_after_a_stop_changes_nothing(tree: MakeTree, passes: bool) -> None:
    t = tree(
        """
        [workers.runner]
        command = "sleep 1000"
        require = [{ command = "sh ask.sh", status = "CLOSED", every = "50ms" }]
        """,
        start=False,
    )
    # The first answer is at once no, the second comes when it is told to.
    ask = "test -e first || { touch first; exit 1; }; touch asked; until test -e answer; do sleep 0.02; done"
    program(t, "ask.sh", f"{ask}; touch answered; test -e open\n")
    t.start()
    t.wait_until("runner", state="held", status="CLOSED")
    eventually((t.dir / "asked").exists, "it is asked again")
    t.ask("stop", names=["runner"])
    if passes:
        say(t, "open", "")
    say(t, "answer", "")
    eventually((t.dir / "answered").exists, "it has answered")
    assert "CLOSED" not in t.ctl("status")
    child = t.child("runner")
    assert (child["state"], child["status"]) == ("stopped", None)
    assert t.events("internal_error") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB of our own, not mounted yet: `mount` it."""
    place = tmp_path / "drive"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    probe = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"can't mount here: {probe.stderr.decode().strip()}")
    subprocess.run(["umount", place], check=True)
    yield place
    subprocess.run(["umount", place], capture_output=True, check=False)


def mount(place: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)


@pytest.mark.linux
@pytest.mark.root
def test_waits_for_a_drive_and_for_room_on_it(tree: MakeTree, small_disk: Path) -> None:
    t = tree(
        f"""
        [workers.train]
        command = "sleep 1000"
        require = [
          {{ mount = "{small_disk}", every = "0.1s" }},
          {{ disk_free = "2MB", path = "{small_disk}", every = "0.1s" }},
        ]
        [workers.train.health]
        disk_free = "2MB"
        path = "{small_disk}"
        every = "0.1s"
        then = "alert"
        status = "DISK_LOW"
        """
    )
    held = t.wait_until("train", state="held")
    assert held["reason"] == f"require mount {small_disk}: nothing is mounted there"
    mount(small_disk)
    (small_disk / "full").write_bytes(bytes(3_000_000))
    reason = t.wait_until("train", reason=lambda reason: "disk_free" in str(reason))["reason"]
    assert "free, 2 MB wanted" in reason
    (small_disk / "full").unlink()
    t.wait("train")
    (small_disk / "full").write_bytes(bytes(3_000_000))
    low = t.wait_until("train", health="unhealthy")
    assert (low["status"], low["state"]) == ("DISK_LOW", "running")
    (small_disk / "full").unlink()
    t.wait_until("train", health="healthy")


@pytest.mark.linux
@pytest.mark.root
def test_a_bound_folder_is_a_mount(tree: MakeTree, small_disk: Path) -> None:
    source = small_disk.parent / "source"
    source.mkdir()
    t = tree(
        f"""
        [workers.train]
        command = "sleep 1000"
        require = {{ mount = "{small_disk}", every = "0.1s" }}
        """
    )
    t.wait_until("train", state="held")
    subprocess.run(["mount", "--bind", source, small_disk], check=True)
    t.wait("train")


def test_passes_in_a_row_and_a_program_that_is_stopped_while_it_is_asked(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        command = "sleep 1000"
        require = { command = "echo x >>asked", shell = true, every = "50ms", successes = 3 }
        [workers.b]
        command = "sleep 1000"
        require = { command = "echo $$$$ >asking; exec sleep 1000", shell = true, timeout = "1000s" }
        """
    )
    t.wait("a")
    assert (t.dir / "asked").read_text() == "x\n" * 3
    asking = int(eventually(lambda: (t.dir / "asking").exists() and (t.dir / "asking").read_text()) or 0)
    assert t.child("b")["state"] == "starting"
    t.ctl("stop", "b")
    assert t.child("b")["state"] == "stopped"
    wait_gone(asking)
