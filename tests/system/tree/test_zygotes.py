"""Python workers in a whole tree: their zygotes die, are stopped, or do not get through their preload."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest

from supervisor_tree.system import means
from tests.conftest import MakeTree
from tests.support.processes import lives
from tests.support.tree import REPOSITORY, Tree
from tests.support.waiting import eventually

APP = """
import os, signal, time

def main(status=0):
    signal.signal(signal.SIGUSR1, lambda number, frame: os._exit(status))
    print("handles USR1")
    while True:
        time.sleep(1000)
"""
LONG = """
import os, time
while not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
    time.sleep(0.05)
"""
TWO = """
[workers.a]
run = "app:main"
args = { status = 7 }
preload = ["json"]
[workers.b]
run = "app:main"
"""


def start(tree: MakeTree, text: str, long: str = "") -> Tree:
    one = tree(text, start=False)
    (one.dir / "app.py").write_text(APP)
    (one.dir / "long.py").write_text(long)
    return one.start()


def zygote(tree: Tree, *preload: str) -> int:
    """pid of the one that is ready now."""
    return int([each for each in tree.events("zygote_ready") if each["preload"] == list(preload)][-1]["pid"])


def test_a_killed_worker_comes_back(tree: MakeTree) -> None:
    t = start(tree, TWO)
    t.wait("a", "b")
    pid = t.pids()["a"]
    eventually(lambda: means.command(pid).startswith("supervisor-tree: a app:main"), "it is named")
    t.kill(pid)
    t.wait_until("a", pid=lambda now: now not in (None, pid), restarts=1)
    assert t.stop() == 0


@pytest.mark.linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_its_zygote_a_worker_lives_on(tree: MakeTree, number: int) -> None:
    t = start(tree, TWO)
    t.wait("a", "b")
    eventually(lambda: "handles USR1" in t.log("a"), "it handles signals")
    before, first = t.pids(), zygote(t, "json")
    os.kill(first, number)
    eventually(lambda: zygote(t, "json") != first, "another one is ready")
    assert t.pids() == before
    if number == signal.SIGKILL:
        assert f"the zygote that imports json (pid {first}) was lost (killed); another" in t.ctl("events")
    else:
        assert f"the zygote that imports json (pid {first}) was killed: stopped" in t.ctl("events")
    os.kill(before["a"], signal.SIGUSR1)
    t.wait_until("a", pid=lambda now: now not in (None, before["a"]), restarts=1)
    assert t.events("child_exited", "a")[-1]["exit"] == "exit status 7"
    assert t.stop() == 0


@pytest.mark.skipif(means.orphans_come_to_us, reason="where orphans come to the keeper nothing is lost")
def test_without_a_subreaper_it_is_restarted_and_said(tree: MakeTree) -> None:
    t = start(tree, TWO)
    t.wait("a", "b")
    before = t.pids()
    os.kill(zygote(t, "json"), signal.SIGKILL)
    t.wait_until("a", pid=lambda now: now not in (None, before["a"]), restarts=1)
    assert "its zygote died" in t.events("child_exited", "a")[-1]["exit"]
    assert not lives(before["a"])
    assert t.pids()["b"] == before["b"]


@pytest.mark.slow
def test_who_waits_for_a_long_preload_is_told(tree: MakeTree) -> None:
    t = start(tree, TWO.replace('"json"', '"json", "long"'), LONG)
    t.wait("b")
    waits = "waits for the preload of long"
    t.wait_until("a", state="starting", reason=waits, timeout=30)
    assert f": {waits}" in t.ctl("why", "a")
    assert "has been busy with long for 10 s" in t.ctl("why", "a")
    (t.dir / "go").touch()
    t.wait_until("a", state="running", reason=None)
    assert t.stop() == 0


def test_a_preload_that_fails_is_said_and_blocks_nothing(tree: MakeTree) -> None:
    t = start(tree, TWO.replace('"json"', '"json", "no_such_module"'))
    t.wait("b")
    reason = "preload of no_such_module failed: ModuleNotFoundError: No module named 'no_such_module'"
    t.wait_until("a", state="backoff")
    assert reason in t.events("start_failed", "a")[-1]["reason"]
    assert reason in t.ctl("why", "a")
    assert f"could not become ready: {reason}" in t.ctl("events")
    assert t.stop() == 0


@pytest.mark.root
def test_a_worker_of_another_user(tree: MakeTree) -> None:
    """Its preload is run as that user, and its beats arrive."""
    if os.getuid() != 0:
        pytest.skip("needs to be root to run programs as others")
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    program = "import os, supervisor_tree.workers.zygote, sys; sys.exit(sys.version_info < (3, 11))"
    here = {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    if python is None or subprocess.run([python, "-c", program], user="nobody", env=here, check=False).returncode:
        pytest.skip("no interpreter here, or no package, that another user may use")
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        modules = Path(folder) / "modules"
        modules.mkdir()
        (modules / "seen.py").write_text("import os\nprint('as', os.getuid(), os.environ['USER'], flush=True)\n")
        (modules / "feed.py").write_text(
            "from supervisor_tree.workers import Worker\n"
            "class Feed(Worker):\n"
            "    async def run(self):\n"
            "        self.beat(f'as {__import__(\"os\").getuid()}')\n"
            "        await self.stopping.wait()\n"
        )
        t = tree(
            f"""
            [tree]
            run_dir = "{folder}/run"
            [workers.feed]
            run = "feed:Feed"
            python = "{python}"
            preload = ["seen"]
            user = "nobody"
            cwd = "{modules}"
            health = {{ heartbeat = "30s" }}
            """,
            environ={"PYTHONPATH": f"{modules}:{REPOSITORY}"},
        )
        uid = pwd.getpwnam("nobody").pw_uid
        t.wait_until("feed", state="running", status=f"as {uid}")
        zygote = psutil.Process(t.child("feed")["pid"]).parent()
        assert zygote is not None
        assert zygote.uids() == (uid, uid, uid)
        logs = t.state_dir / "logs"
        said = [f"as {uid} nobody\n"]
        eventually(lambda: [each.read_text() for each in logs.glob("zygote-*.log")] == said, "its log has it")
        assert t.stop() == 0
