"""The root killed, stopped, blocked or replaced: no worker touched, nothing lost, nothing done twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
import uuid
from datetime import datetime
from typing import Any

import psutil
import pytest

from tests.conftest import MakeTree
from tests.support.asking import ask
from tests.support.processes import commands
from tests.support.tree import Tree
from tests.support.waiting import PATIENCE, eventually

PAIR = """
    [workers.a]
    command = "sleep 1000"
    [workers.b]
    command = "sleep 1000"
"""


def block(pid: int) -> subprocess.Popen[bytes]:
    """Have the main thread of ``pid`` sleep in the kernel: alive, not stopped, answering nothing."""
    debugger = shutil.which("gdb")
    if debugger is None:
        pytest.skip("no gdb here: nothing else makes a root block from outside")
    sleep = ("-ex", "handle all nostop noprint pass", "-ex", "call (int) usleep(40000000)")
    return subprocess.Popen(
        [debugger, "-nx", "-batch", "-p", str(pid), *sleep],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("how", ["killed", "stopped", "upgrade"])
def test_no_worker_is_touched(tree: MakeTree, how: str) -> None:
    t = tree(PAIR)
    t.wait("a", "b")
    pids, root, logger = t.pids(), t.root_pid(), t.logger_pid()
    if how == "upgrade":
        assert t.ask("upgrade")["state"] == "done"
    else:
        os.kill(root, signal.SIGKILL if how == "killed" else signal.SIGSTOP)
    t.wait_new_root(root)
    assert t.pids() == pids
    assert t.logger_pid() == logger
    assert {child["restarts"] for child in t.children().values()} == {0}
    assert how in t.ask("why", name="a")["chain"][-1]["text"]


@pytest.mark.slow
def test_a_blocked_root_is_replaced(tree: MakeTree) -> None:
    """Nobody acknowledges that a worker has died: after 5 s the root is not believed any more."""
    t = tree(PAIR)
    t.wait("a", "b")
    pids, root = t.pids(), t.root_pid()
    debugger = block(root)
    try:
        eventually(lambda: _sleeps(root), "the root blocks")
        os.kill(pids["a"], signal.SIGTERM)
        t.wait_new_root(root)
    finally:
        debugger.kill()
        debugger.wait()
    a = t.wait_until("a", state="running", restarts=1)
    assert a["last_exit"]["signal"] == signal.SIGTERM
    assert t.pids()["b"] == pids["b"]
    lost = eventually(lambda: t.events("root_lost"), "the loss is in the journal")
    assert lost[0]["reason"] == "blocked"
    assert "most recent call first" in lost[0]["stack"]


def _sleeps(pid: int) -> bool:
    """In nanosleep or clock_nanosleep (of x86-64 and of arm64)."""
    with open(f"/proc/{pid}/syscall") as file:
        return file.read().split()[0] in ("35", "230", "101", "115")


def test_a_stopped_root_that_goes_on_at_once_stays(tree: MakeTree) -> None:
    t = tree(PAIR)
    t.wait("a", "b")
    root = t.root_pid()
    os.kill(root, signal.SIGSTOP)
    os.kill(root, signal.SIGCONT)
    assert t.root_pid() == root


def test_an_exit_while_the_root_is_stopped_is_not_lost(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        command = "sh -c 'read x < go; exit 7'"
        restart = "temporary"
        [workers.b]
        command = "sleep 1000"
        """,
        start=False,
    )
    os.mkfifo(t.dir / "go")
    t.start()
    t.wait("a", "b")
    root, pids = t.root_pid(), t.pids()
    os.kill(root, signal.SIGSTOP)
    (t.dir / "go").write_text("now\n")
    os.kill(pids["b"], signal.SIGTERM)
    t.wait_new_root(root)
    t.wait("a", state="failed")
    assert t.child("a")["last_exit"]["code"] == 7
    b = t.wait_until("b", state="running", restarts=1)
    assert b["last_exit"]["signal"] == signal.SIGTERM
    assert b["pid"] != pids["b"]


def test_backoff_goes_on_where_it_was(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        command = "false"
        backoff = { first = "5s", initial = "1m", max = "1m", jitter = 0 }
        """
    )
    # It lasts longer than `wait_new_root` has patience.
    before = t.wait_until("a", state="backoff", restarts=1)
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    after = t.child("a")
    assert (after["state"], after["restarts"], after["incarnation"]) == ("backoff", 1, before["incarnation"])
    assert abs(_seconds(after["next_attempt"]) - _seconds(before["next_attempt"])) < 0.5
    child = t.wait_until("a", restarts=2)
    assert 50 < _seconds(child["next_attempt"]) - time.time() <= 61  # the ladder is climbed, not begun anew


def test_the_window_of_restarts_is_not_forgotten(tree: MakeTree) -> None:
    t = tree(
        """
        [supervisors.s]
        children = ["a"]
        intensity = 3
        period = "1h"
        backoff = "1h"
        [workers.a]
        command = "sleep 1000"
        backoff = "0s"
        """
    )
    for restarts in range(1, 4):
        t.wait_until("a", state="running", restarts=restarts - 1)
        t.kill(t.pids()["a"])
        t.wait_until("a", state="running", restarts=restarts)
        if restarts != 2:
            root = t.root_pid()
            t.kill(root)
            t.wait_new_root(root)
    t.kill(t.pids()["a"])
    t.wait_until("s", state=lambda state: state not in ("running", "stopping"))
    gave_up = eventually(lambda: t.events("gave_up", "s"), "the supervisor gives up")
    assert len(gave_up) == 1


def test_wishes_and_holds_are_kept(tree: MakeTree) -> None:
    t = tree(PAIR)
    t.wait("a", "b")
    t.ctl("stop", "a", "--reason", "disk")
    t.ctl("hold", "b", "--reason", "debugging")
    b = t.pids()["b"]
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    assert t.child("a")["state"] == "stopped"
    assert t.child("a")["hold"]["reason"] == "disk"
    t.kill(b)
    assert t.wait_until("b", state="held")["hold"]["reason"] == "debugging"


def test_a_half_done_stop_goes_on_with_its_deadline(tree: MakeTree) -> None:
    """TERM is ignored; the KILL comes when it would have come from the root that asked for the stop."""
    t = tree(
        """
        [workers.a]
        command = "sh -c 'trap : TERM; echo up; while :; do sleep 0.05; done'"
        shutdown = "4s"
        """
    )
    t.wait("a")
    eventually(lambda: "up" in t.log("a"), "the trap is set")

    def kill_root() -> float:
        root, killed = t.root_pid(), time.time()
        t.kill(root)
        t.wait_new_root(root)
        return killed

    with t.follow("ctl", "stop", "a", "--json") as asked:
        t.wait("a", state="stopping")
        (began,) = t.events("asked_for")
        kill_root()
        eventually(lambda: time.time() - _seconds(began["time"]) > 2, "half of its time has passed")
        killed = kill_root()
        assert asked.process.wait(PATIENCE) == 0
        answer = json.loads(asked.line())
    (over,) = t.events("stopped", "a")
    assert _seconds(over["time"]) - _seconds(began["time"]) > 3.9
    assert _seconds(over["time"]) - killed < 4.0  # else the last root would have begun the time anew
    assert answer["state"] == "done"
    a = t.child("a")
    assert (a["state"], a["last_exit"]["signal"]) == ("stopped", signal.SIGKILL)


def test_a_reload_cut_off_by_the_roots_death_is_done_or_told(tree: MakeTree) -> None:
    t = tree(PAIR + '    [workers.c]\n    command = "sleep 1000"\n')
    t.wait("a", "b", "c")
    t.write(PAIR)
    os.rename(t.file, t.dir / "real.toml")
    os.mkfifo(t.file)  # the first root to read it blocks in its thread
    request = uuid.uuid4().hex
    root = t.root_pid()
    answers: list[Any] = []
    run_dir = t.run_dir
    asking = threading.Thread(target=lambda: answers.append(ask(run_dir, "reload", PATIENCE, request)))
    asking.start()
    eventually(lambda: [op for op in t.ask("ops") if op["operation"] == request], "the reload is under way")
    os.unlink(t.file)
    os.rename(t.dir / "real.toml", t.file)
    t.kill(root)
    asking.join()
    assert answers, "the client got an answer"
    assert answers[0]["state"] == "done", answers
    assert set(t.children()) == {"a", "b"}


def test_the_same_request_again_is_not_done_again(tree: MakeTree) -> None:
    t = tree(PAIR)
    t.wait("a", "b")
    request = uuid.uuid4().hex
    run_dir = t.run_dir
    answers = [ask(run_dir, "restart", PATIENCE, request, names=["a"])]
    incarnation = t.child("a")["incarnation"]
    root = t.root_pid()
    t.kill(root)
    answers += [ask(run_dir, "restart", PATIENCE, request, names=["a"]) for _ in range(2)]
    assert [answer["state"] for answer in answers] == ["done"] * 3
    assert t.child("a")["incarnation"] == incarnation == 2
    t.ask("upgrade")
    ask(run_dir, "restart", PATIENCE, request, names=["a"])
    assert t.child("a")["incarnation"] == incarnation


def test_an_upgrade_that_cannot_start_is_refused(tree: MakeTree) -> None:
    """The package is made unimportable for the new root: as after a botched installation."""
    t = tree(PAIR, start=False)
    broken = t.dir / "broken"
    (broken / "msgspec").mkdir(parents=True)
    (broken / "msgspec" / "__init__.py").write_text(
        f"import os, importlib.util, sys\n"
        f"if os.path.exists({str(t.dir / 'botched')!r}): raise SystemExit(9)\n"
        f"sys.path.remove({str(broken)!r}); del sys.modules['msgspec']; import msgspec\n"
    )
    t.environ["PYTHONPATH"] = f"{broken}:{t.environ['PYTHONPATH']}"
    t.start()
    t.wait("a", "b")
    (t.dir / "botched").touch()
    root, pids = t.root_pid(), t.pids()
    answer = t.ask("upgrade")
    assert answer["state"] == "failed"
    assert "9" in answer["results"][0]["reason"]
    assert (t.root_pid(), t.pids()) == (root, pids)
    (t.dir / "botched").unlink()
    assert t.ask("upgrade")["state"] == "done"
    assert t.pids() == pids
    assert t.root_pid() != root


def test_readiness_and_those_who_wait_for_it(tree: MakeTree) -> None:
    """Ready once is ready; and who still waits goes on waiting, and starts when READY=1 comes."""
    notify = (
        "import os, socket, sys\\n"
        "open('go-' + os.environ['SUPERVISOR_TREE_NAME']).read()\\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\\n"
        "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\\n"
        "open('never').read()\\n"
    )
    t = tree(
        f"""
        [supervisors.s]
        strategy = "rest_for_one"
        children = ["a", "b", "c"]
        [workers.a]
        command = ["${{tree.python}}", "-S", "-c", "{notify}"]
        ready = {{ notify = true }}
        [workers.b]
        command = ["${{tree.python}}", "-S", "-c", "{notify}"]
        ready = {{ notify = true }}
        [workers.c]
        command = "sleep 1000"
        """,
        start=False,
    )
    for name in ("go-a", "go-b", "never"):
        os.mkfifo(t.dir / name)
    t.start()
    (t.dir / "go-a").write_text("now")
    t.wait("a")
    t.wait_until("b", state="starting", pid=lambda pid: pid is not None)
    pids, root = t.pids(), t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    children = t.children()
    assert (children["a"]["state"], children["a"]["ready"]) == ("running", True)
    assert (children["b"]["state"], children["b"]["ready"]) == ("starting", False)
    assert children["c"]["state"] == "waiting"
    root = t.root_pid()
    os.kill(root, signal.SIGSTOP)
    (t.dir / "go-b").write_text("now")  # told while no root listens
    t.wait_new_root(root)
    t.wait("a", "b", "c")
    assert {name: t.pids()[name] for name in ("a", "b")} == pids


def test_a_keeper_that_was_asleep_blames_nobody(tree: MakeTree) -> None:
    """^Z and suspend: what did not happen while the keeper slept is nobody's fault."""
    t = tree(PAIR)
    t.wait("a", "b")
    pids, root, logger = t.pids(), t.root_pid(), t.logger_pid()
    assert t.keeper is not None
    os.kill(t.keeper.pid, signal.SIGSTOP)
    os.kill(pids["a"], signal.SIGKILL)
    threading.Event().wait(1.5)  # more than the second from which on a keeper knows that it was asleep
    os.kill(t.keeper.pid, signal.SIGCONT)
    t.wait_until("a", state="running", restarts=1)
    assert (t.root_pid(), t.logger_pid(), t.pids()["b"]) == (root, logger, pids["b"])


def test_a_root_that_dies_while_it_starts_workers(tree: MakeTree) -> None:
    """Killed within the first moments, again and again: each worker is started, none twice."""
    workers = "".join(f'    [workers.w{n}]\n    command = "sleep 1000"\n' for n in range(60))
    t = tree(workers, start=False)
    t.start(wait=False)
    assert t.keeper is not None
    keeper = psutil.Process(t.keeper.pid)
    killed: set[int] = set()

    def first_commit() -> bool:
        return bool(commands(keeper.children(), "sleep"))

    eventually(first_commit, "the first worker is there")
    for pause in (0.0, 0.05, 0.15):
        threading.Event().wait(pause)
        for child in keeper.children():
            with contextlib.suppress(psutil.Error):
                if "supervisor_tree.root" in child.cmdline() and child.pid not in killed:
                    killed.add(child.pid)
                    child.kill()
    t.wait_up()
    t.wait(*(f"w{n}" for n in range(60)))
    assert killed
    assert {child["incarnation"] for child in t.children().values()} == {1}
    assert len(commands(t.processes(), "sleep")) == 60


LOADED = """
    [defaults]
    backoff = "0s"
    [logs]
    max_size = 0
    [workers.one]
    command = ["${tree.python}", "-S", "write.py"]
    restart = "temporary"
    [workers.two]
    command = ["${tree.python}", "-S", "write.py"]
    restart = "temporary"
    [workers.crashes]
    command = "sh -c 'sleep 0.03; exit $((SUPERVISOR_TREE_INCARNATION % 70 + 1))'"
    [workers.asked]
    command = "sh -c 'echo $SUPERVISOR_TREE_INCARNATION; exec sleep 1000'"
    [workers.quiet]
    command = "sleep 1000"
"""

WRITER = """
import os, sys, time
end = "{end}"
out = sys.stdout
n = 0
while not os.path.exists(end):
    for _ in range(1000):
        out.write(f"{{n:09}} some text to make it a line of usual length, more or less\\n")
        n += 1
    out.flush()
    time.sleep(0.01)
out.write(f"end {{n}}\\n")
"""


def _lose(t: Tree, how: str, root: int) -> None:
    if how == "killed":
        os.kill(root, signal.SIGKILL)
    elif how == "stopped":
        os.kill(root, signal.SIGSTOP)
    else:
        assert t.ask("upgrade", 20)["state"] == "done"


@pytest.mark.slow
def test_at_random_moments_under_load(tree: MakeTree) -> None:
    """Two writers, one that crashes 20 times a second, one that is asked to restart again and again."""
    t = tree(LOADED, start=False)
    (t.dir / "write.py").write_text(WRITER.format(end=t.dir / "end"))
    t.start()
    t.wait("one", "two", "asked", "quiet")
    quiet = {name: t.pids()[name] for name in ("one", "two", "quiet")}
    run_dir = t.run_dir
    over = threading.Event()
    asked: list[str] = []

    def keep_asking() -> None:
        while not over.is_set():
            asked.append(ask(run_dir, "restart", 30, names=["asked"])["state"])

    client = threading.Thread(target=keep_asking)
    client.start()
    moments = random.Random(7)
    try:
        for how in ("killed", "stopped", "upgrade", "killed", "killed", "upgrade", "killed"):
            root = t.root_pid()
            over.wait(moments.random() * 0.25)
            _lose(t, how, root)
            t.wait_new_root(root)
    finally:
        over.set()
        client.join()
    assert {name: t.pids()[name] for name in quiet} == quiet
    (t.dir / "end").touch()
    t.wait("one", "two", state="completed")
    # No request lost, none done twice.
    assert set(asked) == {"done"}
    started = t.child("asked")["incarnation"]
    assert started == 1 + len(asked)
    # No byte lost, none twice.
    for name in ("one", "two"):
        eventually(lambda name=name: "end" in t.log(name)[-40:], f"the whole output of {name}")  # type: ignore[misc]
        lines = t.log(name).splitlines()
        assert lines[-1] == f"end {len(lines) - 1}"
        assert all(int(line[:9]) == n for n, line in enumerate(lines[:-1]))
    t.wait_until("crashes", incarnation=lambda inc: inc > 25)  # a slow machine has not seen so many yet
    t.ask("stop", names=["crashes"])
    assert t.stop() == 0
    assert [line["incarnation"] for line in t.journal("child_started", "asked")] == list(range(1, started + 1))
    # No exit status lost, none told twice.
    told = [(line["incarnation"], line["exit"]) for line in t.journal("child_exited", "crashes")]
    assert len(told) > 20
    assert told == [(n, f"exit status {n % 70 + 1}") for n in range(1, len(told) + 1)]
    numbers = [line["seq"] for line in t.journal()]
    assert numbers == list(range(1, len(numbers) + 1)), "each journal line once"
    assert not t.journal("internal_error")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
