"""A worker that lives and does nothing is found, explained and replaced: each kind of hang in a real tree."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually
from tests.system.hangs.suspects import cgroup, uncached

Line = dict[str, Any]
LIMIT = "2s"

WORKERS = """
    import asyncio, ctypes, itertools, mmap, os, re, threading, time
    from pathlib import Path
    from supervisor_tree.workers import Worker, beat, stopping

    def go():
        "Once only: what was replaced stays well, so that a test sees one hang."
        try:
            Path("hung").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    class Beating(Worker):
        async def run(self):
            self.beat("at work", posts=3)
            self.activity("POST")
            await asyncio.sleep(0.2)
            if go():
                await self.hang()
            await self.stopping.wait()

    class Sleeps(Beating):
        async def hang(self):
            print("about to sleep")
            time.sleep(1000)  # here

    class Locks(Beating):
        async def hang(self):
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()  # here

    class Spins(Beating):
        async def hang(self):
            while True: pass  # here

    class Explodes(Beating):
        async def hang(self):
            re.match(r"(a+)+$", "a" * 60 + "b")  # here

    class Keeps(Beating):
        async def hang(self):
            sum(itertools.repeat(0))  # here

    class Waits(Beating):
        async def hang(self):
            libc = ctypes.PyDLL(None)
            mutex = ctypes.create_string_buffer(64)
            libc.pthread_mutex_lock(mutex)
            libc.pthread_mutex_lock(mutex)  # here

    class Thrashes(Beating):
        async def hang(self):
            Path(os.environ["GROUP"], "cgroup.procs").write_text(str(os.getpid()))
            with open("data", "r+b") as file, mmap.mmap(file.fileno(), 0) as pages:
                pages.madvise(mmap.MADV_RANDOM)
                while True:
                    sum(pages[::4096])

    class Entangled(Beating):
        beats_by_itself = False

        async def hang(self):
            a, b = asyncio.Lock(), asyncio.Lock()
            await asyncio.gather(self.both(a, b), self.both(b, a))

        async def both(self, one, other):
            async with one:
                await asyncio.sleep(0)
                await other.acquire()  # here

    class Unwell(Worker):
        async def run(self):
            await asyncio.sleep(0.2)
            self.sick = go()
            await self.stopping.wait()

        async def check(self):
            return "the queue is 5000 long" if getattr(self, "sick", False) else None

    class Well(Worker):
        pass

    class Begins(Worker):
        async def setup(self):
            if go():
                time.sleep(1000)  # here

    class Lingers(Worker):
        async def run(self):
            await asyncio.sleep(0.2)
            if not go():
                await self.stopping.wait()

        async def teardown(self):
            if not self.stopping.is_set():
                time.sleep(1000)  # here

    def forgets_to_beat():
        beat("begun")
        if go():
            time.sleep(1000)  # here
        while not stopping(0.1):
            beat()
"""


class Hang(NamedTuple):
    """What the tree told of one."""

    line: Line
    """The journal's."""
    reason: str
    """``last_exit.reason``."""
    text: str
    """The incident file."""
    tree: Tree


def written(tree: MakeTree, target: str, more: str = "") -> Tree:
    one = tree(
        f"""
        [workers.w]
        run = "app:{target}"
        health = {{ heartbeat = "{LIMIT}" }}
        shutdown = "300ms"
        {more}
        """,
        start=False,
    )
    (one.dir / "app.py").write_text(textwrap.dedent(WORKERS))
    return one


def lines(tree: Tree, *kinds: str) -> list[Line]:
    found: list[Line] = tree.ask("events", type=list(kinds))["events"]
    return found


def replaced(one: Tree, before: int | None = None) -> Hang:
    """Wait until `w` has hung once and runs again."""
    child = one.wait_until("w", restarts=1, state="running", timeout=20)
    [line] = lines(one, "hung")
    assert line["name"] == "w"
    assert child["incarnation"] == 2
    assert child["last_exit"]["reason"].startswith("hung: no beat for ")
    assert line["explanation"] in child["last_exit"]["reason"]
    text = Path(line["incident"]).read_text()
    assert line["explanation"] in text.splitlines()[0]
    return Hang(line, child["last_exit"]["reason"], text, one)


def hung(one: Tree) -> Hang:
    one.start()
    return replaced(one)


def marked(one: Tree, function: str) -> str:
    """``app.py:12 in run`` of the line marked `# here` in a function or, in a class, a method of it."""
    text = (one.dir / "app.py").read_text()
    at = text.index("# here", text.index(function))
    return f"app.py:{text.count(chr(10), 0, at) + 1} in "


BLOCKED: Sequence[tuple[str, str, str]] = [
    ("Sleeps", "waiting", "its event loop is blocked: "),
    ("Locks", "waiting", "its event loop is blocked: "),
    ("Spins", "busy", "its event loop is blocked: "),
    ("Explodes", "busy", "its event loop is blocked: "),
    ("Keeps", "busy", "it does not come back from C code that was called at "),
    ("Waits", "waiting", "it does not come back from C code that was called at "),
]


@pytest.mark.parametrize(("target", "state", "begins"), BLOCKED, ids=[each[0] for each in BLOCKED])
def test_a_blocked_worker_is_explained_by_its_line(tree: MakeTree, target: str, state: str, begins: str) -> None:
    one = written(tree, target)
    found = hung(one)
    place = marked(one, f"class {target}(")
    assert found.line["state"] == state
    assert found.line["explanation"].startswith(begins)
    assert f"{place}hang (`" in found.line["explanation"]
    assert any(f"{place}hang" in frame for frame in found.line["stack"])
    number = place.removeprefix("app.py:").removesuffix(" in ")
    assert f'File "{one.dir}/app.py", line {number} in hang' in found.text


def test_the_incident_file_holds_what_was_known(tree: MakeTree) -> None:
    one = written(tree, "Sleeps", 'env = { PASSWORD = "hunter2" }')
    found = hung(one)
    for told in ("status      at work", "posts = 3", "activity    POST", "about to sleep", '"MainThread"', 'Task "w"'):
        assert told in found.text, told
    assert "w was started" in found.text
    assert 'env = ["PASSWORD"]' in found.text
    assert "hunter2" not in found.text
    assert Path(found.line["incident"]).parent == one.state_dir / "incidents"
    assert f"more in incidents/{Path(found.line['incident']).name}" in found.reason


def test_why_tells_the_story_once(tree: MakeTree) -> None:
    found = hung(written(tree, "Sleeps"))
    told = found.tree.ctl("why", "w")
    assert told.count("time.sleep(1000)") == 1
    assert found.line["incident"] in told
    assert "w ended: hung (killed by SIGKILL after its shutdown time had passed)" in told


def test_the_journal_has_the_line_before_the_kill_and_it_counts_as_a_crash(tree: MakeTree) -> None:
    found = hung(written(tree, "Sleeps"))
    kinds = [line["event"] for line in lines(found.tree, "hung", "kill_requested", "child_exited", "restart_scheduled")]
    assert kinds == ["hung", "kill_requested", "child_exited", "restart_scheduled"]
    assert found.line["limit"] == 2.0
    assert 2.0 <= found.line["silent_for"] < 20.0
    assert found.line["kind"] == "heartbeat"


def test_tasks_that_wait_for_one_another(tree: MakeTree) -> None:
    one = written(tree, "Entangled")
    found = hung(one)
    assert found.line["state"] == "idle"
    assert "2 tasks wait for locks or queues, perhaps for one another" in found.line["explanation"]
    assert found.line["explanation"].count(f"{marked(one, 'async def both')}both") == 2


def test_a_check_that_says_no_is_told_in_its_words(tree: MakeTree) -> None:
    found = hung(written(tree, "Unwell"))
    assert "the queue is 5000 long" in found.line["explanation"]


@pytest.mark.linux
@pytest.mark.root
def test_a_worker_that_has_too_little_memory(tree: MakeTree) -> None:
    with cgroup("memory", "memory.limit_in_bytes") as group:
        (group / "memory.limit_in_bytes").write_text(str(24_000_000))
        one = written(tree, "Thrashes", f'env = {{ GROUP = "{group}" }}')
        uncached(one.dir / "data", 72_000_000)
        found = hung(one)
        assert found.line["state"] == "swapping"
        assert "waited" in found.line["explanation"]


def test_a_plain_function_that_forgets_to_beat(tree: MakeTree) -> None:
    one = written(tree, "forgets_to_beat")
    found = hung(one)
    assert f"{marked(one, 'def forgets')}forgets_to_beat (`" in found.line["explanation"]


def test_a_stopped_worker_says_so_and_goes_at_once(tree: MakeTree) -> None:
    """Its TERM comes with a CONT: it does not stay until the KILL."""
    one = written(tree, "Well").start()
    one.write((one.dir / "tree.toml").read_text().replace("300ms", "60s"))
    one.ctl("reload")
    one.wait("w")
    os.kill(one.pids()["w"], signal.SIGSTOP)
    found = replaced(one)
    assert found.line["state"] == "stopped"
    assert "SIGSTOP" in found.line["explanation"]
    assert "KILL" not in found.reason


def test_a_command_that_never_beats_is_explained_from_outside(tree: MakeTree) -> None:
    one = tree(
        f"""
        [workers.w]
        command = "sh -c 'echo begun; sleep 1000; true'"
        health = {{ heartbeat = "{LIMIT}" }}
        backoff = "60s"
        """
    )
    child = one.wait_until("w", state="backoff")
    [line] = lines(one, "hung")
    assert child["last_exit"]["reason"].startswith("hung: ")
    assert "`sleep 1000`" in line["explanation"] or os.environ.get("SUPERVISOR_TREE_PORTABLE") == "1"
    assert "it has not beaten once since its start (a program that can not is for" in line["explanation"]
    assert line["stack"] is None
    assert "begun" in Path(line["incident"]).read_text()


def test_of_one_that_another_root_started_nobody_says_that_it_never_beat(tree: MakeTree) -> None:
    """It may have, to that one."""
    one = tree(
        f"""
        [workers.w]
        command = "sleep 1000"
        ready = {{ file = "go", every = "100ms" }}
        health = {{ heartbeat = "{LIMIT}" }}
        backoff = "60s"
        """
    )
    one.wait_until("w", pid=lambda pid: pid is not None)
    root = one.root_pid()
    one.kill(root)
    one.wait_new_root(root)
    (one.dir / "go").touch()
    one.wait_until("w", state="backoff")
    [line] = lines(one, "hung")
    assert "not beaten once" not in line["explanation"]


def test_a_full_disk_costs_the_file_and_nothing_else(tree: MakeTree) -> None:
    one = written(tree, "Sleeps")
    one.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    (one.state_dir / "incidents").write_text("in the way")
    one.start()
    child = one.wait_until("w", restarts=1, state="running", timeout=20)
    [line] = lines(one, "hung")
    assert line["incident"] is None
    assert "time.sleep(1000)" in line["explanation"]
    assert "more in" not in child["last_exit"]["reason"]
    assert lines(one, "incident_not_written")[0]["name"] == "w"


def test_a_held_worker_is_left_alone(tree: MakeTree) -> None:
    one = written(tree, "Well").start()
    one.wait("w")
    one.ctl("hold", "w")
    pid = one.pids()["w"]
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: lines(one, "left_alone"), "it is left alone")
    assert one.pids()["w"] == pid
    assert not lines(one, "hung")


def test_what_a_dump_left_is_gone_with_the_worker(tree: MakeTree) -> None:
    found = hung(written(tree, "Sleeps"))
    one = found.tree
    folder = one.run_dir / f"u-{os.geteuid()}"
    eventually(lambda: [each.name for each in folder.glob("dump-*")] == ["dump-w-2"], "only the present one's")
    one.kill(one.pids()["w"])
    one.wait_until("w", restarts=2, state="running", timeout=20)
    eventually(lambda: [each.name for each in folder.glob("dump-*")] == ["dump-w-3"], "only the present one's")


def test_a_give_up_is_reported_with_the_last_words(tree: MakeTree) -> None:
    one = tree(
        """
        [tree]
        intensity = 1
        [workers.w]
        command = "sh -c 'echo last words; exit 3'"
        backoff = "0s"
        """
    )
    [line] = eventually(lambda: lines(one, "incident_written"), "the report is written")
    assert (line["name"], line["kind"]) == ("w", "gave_up")
    text = Path(line["incident"]).read_text()
    assert "gave up: more than 1 restarts in" in text.splitlines()[0]
    assert "last words" in text
    assert "exit status 3" in text
    assert line["incident"] in one.ctl("why", "w")


def test_a_give_up_that_ends_the_tree_is_reported_too(tree: MakeTree) -> None:
    one = tree(
        """
        [tree]
        intensity = 1
        on_give_up = "exit"
        [workers.w]
        command = "sh -c 'echo last words; exit 3'"
        backoff = "0s"
        """,
        start=False,
    )
    one.start(wait=False)
    assert one.wait_end() == 1
    [file] = (one.state_dir / "incidents").iterdir()
    assert file.name.endswith("-w-gave_up.txt")
    assert "last words" in file.read_text()


def test_a_worker_that_failed_for_good_is_reported(tree: MakeTree) -> None:
    one = tree(
        """
        [workers.w]
        command = "sh -c 'echo last words >&2; exit 3'"
        restart = "temporary"
        """
    )
    [line] = eventually(lambda: lines(one, "incident_written"), "the report is written")
    assert line["kind"] == "failed"
    assert "last words" in Path(line["incident"]).read_text()


def test_events_tell_a_hang_to_people_and_to_programs(tree: MakeTree) -> None:
    found = hung(written(tree, "Sleeps"))
    shown = found.tree.ctl("events", "--type", "hung")
    assert re.search(r"w hung: no beat for [\d.]+ s \(limit 2 s\): its event loop is blocked", shown)
    data = json.loads(found.tree.ctl("events", "--type", "hung", "--json"))
    assert data["incident"] == found.line["incident"]


def shim(tree: MakeTree, command: str, watch: str) -> Tree:
    return tree(
        f"""
        [workers.w]
        use = "shim"
        health = {{ heartbeat = "{LIMIT}" }}
        shutdown = "5s"
        [workers.w.args]
        command = ["sh", "-c", '''{command}''']
        watch = {watch}
        """
    )


def test_of_a_shim_the_program_that_it_runs_is_told(tree: MakeTree) -> None:
    one = shim(
        tree,
        "echo cycle; test -e again || { touch again; sleep 1000; }; while :; do echo cycle; sleep 0.1; done",
        '{ output = "cycle", fresh = "1s" }',
    )
    found = replaced(one)
    assert found.line["state"] == "unwell"
    assert re.search(r"its own check says: .*cycle", found.line["explanation"])
    if os.environ.get("SUPERVISOR_TREE_PORTABLE") != "1":
        assert re.search(r"its process `sleep 1000` \(pid \d+\) lives and sleeps", found.line["explanation"])
    assert "sleep 1000" in found.text


def test_a_stopped_shim_says_so(tree: MakeTree) -> None:
    one = shim(tree, "while :; do echo cycle; sleep 0.1; done", "[]")
    one.wait("w")
    os.kill(one.pids()["w"], signal.SIGSTOP)
    found = replaced(one)
    assert found.line["explanation"].startswith("it is stopped by a signal")


def test_a_program_of_a_shim_that_is_stopped_says_so(tree: MakeTree) -> None:
    one = shim(tree, "while :; do echo cycle; sleep 0.1; done", '{ output = "cycle", fresh = "1s" }')
    one.wait("w")
    [program] = eventually(psutil.Process(one.pids()["w"]).children, "it runs its program")
    os.kill(program.pid, signal.SIGSTOP)
    found = replaced(one)
    assert re.search(rf"its process `sh -c .*` \(pid {program.pid}\) is stopped by a signal", found.line["explanation"])


NOTIFIER = """
    import os, socket, subprocess, sys, time
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.connect(os.environ["NOTIFY_SOCKET"])
        child = subprocess.Popen(["sleep", "1000"])
        text = sys.argv[1] if not os.path.exists("hung") else "READY=1"
        there.send(text.replace("CHILD", str(child.pid)).encode())
    beats = not os.path.exists("hung")
    open("hung", "w").close()
    while True:
        time.sleep(0.1)
        if not beats:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
                there.sendto(b"WATCHDOG=1", os.environ["NOTIFY_SOCKET"])
"""


def notifier(tree: MakeTree, text: str) -> Tree:
    one = tree(
        f"""
        [workers.w]
        command = ["{sys.executable}", "notifier.py", '''{text}''']
        ready = {{ notify = true }}
        health = {{ notify = "{LIMIT}" }}
        """,
        start=False,
    )
    (one.dir / "notifier.py").write_text(textwrap.dedent(NOTIFIER))
    return one.start()


def test_silence_of_sd_notify(tree: MakeTree) -> None:
    one = notifier(tree, "READY=1\nSTATUS=waiting for rain")
    child = one.wait_until("w", restarts=1, state="running", timeout=20)
    [line] = lines(one, "hung")
    assert line["kind"] == "notify"
    assert child["last_exit"]["reason"].startswith("hung: no WATCHDOG=1 for ")
    assert "waiting for rain" in Path(line["incident"]).read_text()


def test_a_program_that_says_itself_that_it_hangs(tree: MakeTree) -> None:
    one = notifier(tree, "READY=1\nWATCHDOG=trigger")
    child = one.wait_until("w", restarts=1, state="running", timeout=20)
    [line] = lines(one, "hung")
    assert line["kind"] == "trigger"
    assert child["last_exit"]["reason"].startswith("hung: it says so itself (WATCHDOG=trigger): ")
    assert "as it says itself" in one.ctl("why", "w")


def test_the_main_process_that_was_named_is_the_one_that_is_told_of(tree: MakeTree) -> None:
    one = notifier(tree, "MAINPID=CHILD\nREADY=1")
    one.wait_until("w", restarts=1, state="running", timeout=20)
    [line] = lines(one, "hung")
    assert re.match(r"its process `sleep 1000` \(pid \d+\) lives and ", line["explanation"])


def test_a_worker_that_said_goodbye_and_does_not_end(tree: MakeTree) -> None:
    one = written(tree, "Lingers")
    one.start()
    child = one.wait_until("w", restarts=1, state="running", timeout=20)
    [line] = lines(one, "hung")
    assert line["kind"] == "goodbye"
    assert child["last_exit"]["reason"].startswith("hung: it said goodbye ")
    assert f"{marked(one, 'class Lingers(')}teardown" in line["explanation"]


def test_a_worker_that_does_not_become_ready_is_explained_too(tree: MakeTree) -> None:
    one = written(tree, "Begins", 'start_timeout = "3s"').start()
    child = one.wait_until("w", restarts=1, state="running", timeout=20)
    [line] = lines(one, "not_ready")
    assert f"{marked(one, 'class Begins(')}setup (`time.sleep(1000)" in line["explanation"]
    assert child["last_exit"]["reason"].startswith("not ready within 3 s: its event loop is blocked: ")
    assert line["incident"].endswith("-w-not_ready.txt")
    assert "w ended: not ready within 3 s (killed by SIGKILL after its shutdown time had passed)" in one.ctl("why", "w")
    assert not lines(one, "hung")


OF_ANOTHER_USER = """
    import os, time  # no more: that user may not be let into the interpreter's folder
    from supervisor_tree.workers import Worker

    class Sleeps(Worker):
        async def run(self):
            if not os.path.exists("hung"):
                open("hung", "w").close()
                time.sleep(1000)  # here
            await self.stopping.wait()
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="other users are for root to start")
def test_a_worker_of_another_user_is_explained_alike(tree: MakeTree, interpreter: str) -> None:
    """Its dump lies in a folder of that user, and is believed only because it is his."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        user = f'user = "nobody"\npython = "{interpreter}"\ncwd = "{folder}"\nenv.PYTHONPATH = "{folder}"'
        one = written(tree, "Sleeps", user)
        for place in (one.dir, Path(folder)):
            (place / "app.py").write_text(textwrap.dedent(OF_ANOTHER_USER))
        found = hung(one)
        assert f"{marked(one, 'class Sleeps(')}run (`time.sleep(1000)" in found.line["explanation"]
        eventually(lambda: [each.name for each in one.run_dir.glob("u-*/dump-*")] == ["dump-w-2"], "only its own")


DROPS = """
    import os
    from supervisor_tree import Worker

    class Drops(Worker):
        async def run(self):
            if not os.path.exists("dropped"):
                open("dropped", "w").close()
                os.setuid(65534)
            await self.stopping.wait()
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its rights")
def test_one_that_gave_up_its_rights_and_lost_its_connection_says_so(tree: MakeTree) -> None:
    one = written(tree, "Drops")
    (one.dir / "app.py").write_text(textwrap.dedent(DROPS))
    one.start()
    one.wait("w")
    eventually((one.dir / "dropped").exists, "it is nobody")
    root = one.root_pid()
    one.kill(root)
    one.wait_new_root(root)
    found = replaced(one)
    assert found.line["state"] == "unheard"
    assert "it has no connection to the tree any more and gets none: has it changed its user" in found.reason
