"""Workers that speak: ready opens gates, silence is found, and whatever befalls root or machine raises no false alarm.

The workers are commands that speak by way of libzmq (`tests/support/speaking.py`), as any language's client may.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from supervisor_tree.ipc import zmtp
from tests.conftest import MakeTree
from tests.support.asking import Refused
from tests.support.processes import lives
from tests.support.tree import REPOSITORY, Tree
from tests.support.waiting import eventually

pytestmark = pytest.mark.same

PROGRAM = Path(__file__).resolve().parents[2] / "support" / "speaking.py"


def speaks(words: str) -> str:
    """The command of a worker that does what these words say."""
    return f"{sys.executable} {PROGRAM} {words}"


def tell(t: Tree, name: str, *words: str) -> None:
    """Have a worker do something now."""
    with open(t.dir / f"{name}.ears", "w") as ears:
        ears.write("".join(f"{word}\n" for word in words))


def heard(t: Tree, name: str, kind: str) -> list[dict[str, Any]]:
    """What a worker was told over its socket so far."""
    messages = [json.loads(line) for line in t.log(name).splitlines() if line.startswith("{")]
    return [message for message in messages if message["type"] == kind]


def started(tree: MakeTree, text: str, *ears: str) -> Tree:
    """A tree whose workers ``ears`` do what `tell` says."""
    t = tree(text, start=False)
    for name in ears:
        os.mkfifo(t.dir / f"{name}.ears")
    return t.start()


def beats(t: Tree) -> int:
    """How often `a` has beaten, as its present root knows."""
    return int(t.ask("describe", names=["a"])[0]["said"]["fields"].get("seq", 0))


def one(words: str, more: str = "", limit: str = "1s") -> str:
    return f"""
    [workers.a]
    command = "{speaks(words)}"
    ready = {{ heartbeat = true }}
    health = {{ heartbeat = "{limit}" }}
    backoff = "0s"
    {more}
    """


def test_ready_opens_the_gate_of_those_who_need_it(tree: MakeTree) -> None:
    t = started(tree, one("", '[workers.b]\n    command = "sleep 1000"\n    needs = { a = "ready" }'), "a")
    eventually(lambda: heard(t, "a", "welcome"), "it was made welcome")
    assert t.child("a")["state"] == "starting"
    assert t.child("a")["health"] is None  # asked only after ready
    assert t.child("b")["state"] == "waiting"
    tell(t, "a", "ready", "every=0.2", "beat=all is well")
    t.wait("a", "b")
    assert t.wait_until("a", status="all is well", restarts=0)["ready"] is True
    assert t.child("a")["health"] == "healthy"
    assert t.child("b")["health"] is None  # nothing is asked of it
    (described,) = t.ask("describe", names=["a"])
    said = described["said"]
    assert said["connected"] is True
    assert said["beat_age"] < 5
    assert said["silence"]["heartbeat"]["limit"] == 1.0
    assert "token" not in json.dumps(described).lower()


@pytest.mark.parametrize("strategy", ["rest_for_one", "one_for_all"])
def test_ready_opens_the_gate_of_the_next_sibling(tree: MakeTree, strategy: str) -> None:
    text = f"""
    [supervisors.group]
    strategy = "{strategy}"
    children = ["a", "b"]
    {one("every=0.2")}
    [workers.b]
    command = "sleep 1000"
    """
    t = started(tree, text, "a")
    eventually(lambda: heard(t, "a", "welcome"), "it was made welcome")
    assert t.child("b")["state"] == "waiting"
    tell(t, "a", "ready")
    t.wait("a", "b")
    before = t.pids()
    t.kill(before["a"])
    t.wait_until("a", state="starting", restarts=1)
    eventually(lambda: not lives(before["b"]), "the round stops the next one")
    tell(t, "a", "ready")
    t.wait("a", "b")
    assert t.pids()["b"] != before["b"]


def test_not_ready_in_time_is_a_crash(tree: MakeTree) -> None:
    t = started(tree, one("every=0.2", 'start_timeout = "0.7s"'))
    a = t.wait_until("a", restarts=lambda restarts: restarts >= 1)
    assert "not ready within 0.7 s" in a["last_exit"]["reason"]


def test_an_end_before_it_was_ready_is_a_crash_whatever_its_status(tree: MakeTree) -> None:
    t = started(tree, one("exit=0", 'restart = "temporary"'))
    t.wait("a", state="failed")
    assert "before it was ready" in t.child("a")["last_exit"]["reason"]


def test_who_says_ready_and_is_done_at_once_has_completed(tree: MakeTree) -> None:
    """However soon its end is known: its last words are waited for."""
    workers = "".join(
        f"""
    [workers.a{n}]
    command = "{speaks("ready exit=0")}"
    ready = {{ heartbeat = true }}
    restart = "temporary"
    """
        for n in range(6)
    )
    t = tree(workers)
    for n in range(6):
        t.wait(f"a{n}", state="completed")


def test_silence_is_a_hang(tree: MakeTree) -> None:
    t = started(tree, one("ready every=0.2"), "a")
    t.wait("a")
    before = t.pids()["a"]
    tell(t, "a", "every=0")
    a = t.wait_until("a", state="running", restarts=1)
    assert a["pid"] != before
    assert a["last_exit"]["reason"].startswith("hung: no beat for ")


def test_a_stop_is_said_over_the_socket_too(tree: MakeTree) -> None:
    t = started(tree, one("ready every=0.2", 'shutdown = "7s"'))
    t.wait("a")
    t.ask("stop", names=["a"])
    assert t.child("a")["state"] == "stopped"
    # Both are on their way at once, and the signal may be quicker; a worker that ignores it gets to hear it.
    t.write(one("ready every=0.2", 'shutdown = "2s"\n    stop_signal = "WINCH"'))
    t.ask("reload")
    t.ask("start", names=["a"])
    t.wait("a")
    t.ask("stop", names=["a"])
    stop = {"type": "stop", "grace": 2.0}
    eventually(lambda: stop in heard(t, "a", "stop"), lambda: f"it has logged the stop: {heard(t, 'a', 'stop')}")


def test_reload_of_one_without_a_signal_is_told_over_the_socket(tree: MakeTree) -> None:
    t = started(tree, one("ready every=0.2", '[workers.b]\n    command = "sleep 1000"'))
    t.wait("a", "b")
    eventually(lambda: t.ask("describe", names=["a"])[0]["said"]["connected"], "it is connected")
    told = t.ask("reload_names", names=["a"])
    assert told["state"] == "done"
    assert told["results"] == [{"name": "a", "ok": True, "reason": None}]
    (command,) = eventually(lambda: heard(t, "a", "command"), "it has logged the command")
    assert command["name"] == "reload"
    with pytest.raises(Refused, match="no reload_signal"):
        t.ask("reload_names", names=["b"])


def test_activities_are_in_the_journal(tree: MakeTree) -> None:
    t = started(tree, one("ready every=0.2"), "a")
    t.wait("a")
    tell(t, "a", "activity=POST_SUCCESS", "activity=LIKE*200")
    eventually(lambda: t.status()["dropped"].get("activities"), "too many of them are counted")
    lines = eventually(lambda: t.events("activity", "a"), "they are in the journal")
    assert (lines[0]["activity"], lines[0]["fields"]) == ("POST_SUCCESS", {"by": "test"})
    assert len(t.events("activity", "a")) < 100
    assert t.ask("describe", names=["a"])[0]["said"]["activity"] == "LIKE"
    # They don't push out of `why` what has led to where it is.
    assert [event["event"] for event in t.ask("why", name="a")["chain"]][-1] == "ready"


def test_goodbye_without_an_end_is_a_hang(tree: MakeTree) -> None:
    t = started(tree, one("ready every=0.2", 'shutdown = "1s"'), "a")
    t.wait("a")
    tell(t, "a", "every=0", "goodbye=work is done")
    a = t.wait_until("a", state="running", restarts=1)
    assert a["last_exit"]["reason"].startswith("hung: it said goodbye")
    assert t.events("goodbye", "a")[0]["reason"] == "work is done"


def test_a_forged_token_and_garbage_harm_nobody(tree: MakeTree) -> None:
    text = (
        one("ready every=0.2 beat=honest")
        + f"""
    [workers.forger]
    command = "{speaks("raw=garbage token=00000000000000000000000000000000 ready raw=more")}"
    [workers.flood]
    command = "yes"
    autostart = false
    """
    )
    t = started(tree, text)
    t.wait("a", "forger")
    assert eventually(lambda: heard(t, "forger", "refused"), "it was refused")[0]["reason"] == "wrong token"
    refused = eventually(lambda: t.events("hello_refused"), "that is in the journal")
    assert refused[0]["name"] == "forger"
    dropped = t.status()["dropped"]
    assert dropped["hellos"] == 1
    assert dropped["heartbeats"] >= 1
    endpoint = f"ipc://{t.run_dir}/u-{os.getuid()}/heartbeat"
    with zmq.Context() as context, context.socket(zmq.DEALER) as flood:
        flood.linger = 0
        flood.connect(endpoint)
        for count in range(100_000):
            flood.send(b"garbage %d" % count)
        # Meanwhile somebody has hung up: everything is as it was for everybody else.
        tell_a = t.wait_until("a", status="honest", restarts=0)
        assert tell_a["state"] == "running"
    eventually(lambda: t.status()["dropped"]["heartbeats"] > 1000, "it is counted")
    assert t.child("a")["restarts"] == 0
    assert not t.events("internal_error")


@pytest.mark.parametrize("how", ["killed", "stopped", "upgrade"])
def test_a_new_root_hears_how_things_stand_and_raises_no_false_alarm(tree: MakeTree, how: str) -> None:
    t = started(tree, one("ready every=0.2 beat=busy"), "a")
    t.wait_until("a", state="running", status="busy")
    # A root that is stopped or killed right now may not have sent it yet.
    eventually(lambda: heard(t, "a", "welcome"), "it was made welcome")
    pids, root = t.pids(), t.root_pid()
    if how == "upgrade":
        t.ask("upgrade")
    else:
        os.kill(root, signal.SIGKILL if how == "killed" else signal.SIGSTOP)
    t.wait_new_root(root)
    t.wait_until("a", status="busy", ready=True, restarts=0)
    # The worker is heard before it has read, and logged, its welcome.
    eventually(lambda: len(heard(t, "a", "welcome")) >= 2, "the new root made it welcome")
    # For longer than the limit: it is watched, and not suspected.
    first = beats(t)
    eventually(lambda: beats(t) > first + 10, "it beats on")
    assert t.pids() == pids
    assert not t.events("hung")
    tell(t, "a", "every=0")
    t.wait_until("a", state="running", restarts=1)


def test_ready_said_while_there_is_no_root_is_not_lost(tree: MakeTree) -> None:
    t = started(tree, one("every=0.2", '[workers.b]\n    command = "sleep 1000"\n    needs = { a = "ready" }'), "a")
    eventually(lambda: heard(t, "a", "welcome"), "it was made welcome")
    root = t.root_pid()
    os.kill(root, signal.SIGSTOP)
    tell(t, "a", "ready")
    t.wait_new_root(root)
    t.wait("a", "b")
    assert t.child("a")["restarts"] == 0


@pytest.mark.slow
def test_the_whole_tree_stopped_and_continued_raises_no_false_alarm(tree: MakeTree) -> None:
    """As a suspend does where the clock goes on, or a shell's ^Z on everything."""
    t = started(tree, one("ready every=0.2", limit="1500ms"))
    t.wait_until("a", state="running")
    pids, processes = t.pids(), t.processes()
    # The keeper first: it would replace a root that is stopped, and who would do so must not.
    keeper = t.keeper.pid if t.keeper is not None else 0
    ordered = sorted(processes, key=lambda process: process.pid != keeper)
    for process in ordered:
        process.suspend()
    with pytest.raises(psutil.TimeoutExpired):
        ordered[0].wait(4)
    for process in ordered:
        process.resume()
    t.ask("status", names=[])
    first = beats(t)
    eventually(lambda: beats(t) > first + 10, "it beats on")
    assert t.pids() == pids
    assert t.child("a")["restarts"] == 0
    assert not t.events("hung")


def test_a_changed_limit_is_applied_live(tree: MakeTree) -> None:
    t = started(tree, one("ready every=0.2", limit="1m"), "a")
    t.wait("a")
    pid = t.pids()["a"]
    t.write(one("ready every=0.2", limit="1s"))
    t.ask("reload")
    assert eventually(lambda: heard(t, "a", "welcome")[1:], "it is told")[0]["limit"] == 1.0
    assert t.pids()["a"] == pid
    tell(t, "a", "every=0")
    t.wait_until("a", state="running", restarts=1)


def test_instances_of_a_template_are_watched(tree: MakeTree) -> None:
    t = started(
        tree,
        f"""
    [supervisors.group]
    strategy = "simple_one_for_one"
    children = ["a"]
    {one("ready every=0.2 beat=here", limit="1s")}
    """,
        "a@x",
    )
    t.ask("add", supervisor="group", instance="x")
    t.wait_until("a@x", state="running", status="here")
    tell(t, "a@x", "every=0")
    t.wait_until("a@x", state="running", restarts=1)


@pytest.mark.slow
def test_removed_sockets_are_bound_anew_and_found(tree: MakeTree) -> None:
    t = started(tree, one("ready every=0.2", limit="20s"))
    t.wait("a")
    (t.run_dir / f"u-{os.getuid()}" / "heartbeat").unlink()
    eventually(lambda: t.events("sockets_bound_anew"), "bound anew")
    eventually(lambda: len(heard(t, "a", "welcome")) == 2, "it is made welcome again")
    assert t.child("a")["restarts"] == 0


@pytest.mark.slow
def test_nobody_is_hung_who_can_not_reach_a_removed_socket(tree: MakeTree) -> None:
    """Of a worker whose beats come each by a connection of its own, in a tree that is too busy to be pinged."""
    t = tree(
        f"""
        [workers.a]
        command = "{sys.executable} beating.py"
        ready = {{ heartbeat = true }}
        health = {{ heartbeat = "4s" }}
        [workers.busy]
        command = "sleep 0.3"
        backoff = "100ms"
        [tree]
        intensity = 1000
        """,
        start=False,
        environ={"PYTHONPATH": str(REPOSITORY)},
    )
    (t.dir / "beating.py").write_text(BEATS_AGAIN_AND_AGAIN)
    t.start()
    t.wait("a")
    shutil.rmtree(t.run_dir)
    eventually(lambda: t.journal("sockets_bound_anew"), "bound anew")
    began = t.child("busy")["restarts"]
    t.wait_until("busy", restarts=lambda count: count > began + 12, timeout=40)
    assert not t.events("hung")
    assert t.child("a")["restarts"] == 0
    assert t.stop() == 0


BEATS_AGAIN_AND_AGAIN = """
import subprocess, sys, time
while True:
    subprocess.run([sys.executable, "-m", "supervisor_tree", "beat", "--ready"])
    time.sleep(0.5)
"""

SPEAKS_ALONE = """
import json, os, select
from zmtp import Dealer
env = {key: os.environ["SUPERVISOR_TREE_" + key] for key in ("NAME", "INCARNATION", "TOKEN", "ENDPOINT")}
def hello():
    said = {"type": "hello", "protocol": 1, "name": env["NAME"], "incarnation": int(env["INCARNATION"])}
    return json.dumps({**said, "token": env["TOKEN"], "ready": True, "status": f"uid {os.getuid()}"}).encode()
dealer = Dealer(env["ENDPOINT"], hello, print)
while True:
    dealer.pump()
    select.select([dealer] if dealer.fileno() >= 0 else [], [dealer] if dealer.wants_write else [], [], 0.1)
"""


@pytest.mark.root
def test_workers_of_another_user_have_a_folder_of_their_own(tree: MakeTree) -> None:
    if os.getuid() != 0:
        pytest.skip("needs to be root to run programs as others")
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    if python is None:
        pytest.skip("no interpreter here that another user may run")
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        run, program = Path(folder) / "run", Path(folder) / "speaks.py"
        shutil.copyfile(inspect.getfile(zmtp), Path(folder) / "zmtp.py")
        program.write_text(SPEAKS_ALONE)
        settings = f"""
            command = "{python} -B {program}"
            cwd = "{folder}"
            ready = {{ heartbeat = true }}
        """
        t = tree(
            f"""
            [tree]
            run_dir = "{run}"
            [workers.a]
            user = "nobody"
            {settings}
            [workers.b]
            {settings}
            """
        )
        t.wait_until("a", state="running", status="uid 65534")
        t.wait_until("b", state="running", status="uid 0")
        other = run / "u-65534"
        assert stat.S_IMODE(run.stat().st_mode) == 0o711
        assert (stat.S_IMODE(other.stat().st_mode), other.stat().st_uid) == (0o700, 65534)
        assert stat.S_IMODE((run / "control").stat().st_mode) == 0o700
        assert stat.S_IMODE((run / "u-0").stat().st_mode) == 0o700
        assert t.stop() == 0
        assert not run.exists()
