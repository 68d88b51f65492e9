"""`supervisor-tree beat` from scripts that run in a worker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from tests.support.reading import environment
from tests.support.tree import Tree, clean_environment
from tests.support.waiting import eventually

TREE = """
    [workers.a]
    command = "env > said.new; mv said.new said; exec sleep 1000"
    shell = true
    ready = { heartbeat = true }
    health = { heartbeat = "60s" }
"""


def beat(*words: str, environ: dict[str, str]) -> tuple[int, str, float]:
    """Exit status, what it said, seconds."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "supervisor_tree", "beat", *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, time.monotonic() - begin


def surroundings(t: Tree) -> dict[str, str]:
    """The environment of the tree's worker."""
    found = environment(t.dir / "said").items()
    return clean_environment({key: value for key, value in found if key.startswith("SUPERVISOR_TREE_")})


def heard(*words: str, environ: dict[str, str]) -> int:
    """Say it until the root has answered: a loaded machine's may not do so within the second for which it waits.
    How often it was said."""
    times = 1
    while (done := beat(*words, environ=environ))[:2] != (0, ""):
        assert "did not answer within 1 s" in done[1], done
        times += 1
    return times


def test_ready_status_activity(tree: MakeTree) -> None:
    t = tree(TREE)
    environ = surroundings(t)
    heard("--status", "warming up", environ=environ)
    t.wait_until("a", status="warming up", ready=False)
    heard("--ready", environ=environ)
    t.wait("a")
    assert t.child("a")["status"] == "warming up"
    words = ("--activity", "POST", "id=12", "text=12 things", 'more={"a":[1]}')
    times = heard(*words, environ=environ)
    line, *more = eventually(lambda: t.events("activity", "a"), "what it did is told")
    assert len(more) < times
    assert line["activity"] == "POST"
    assert line["fields"] == {"id": 12, "text": "12 things", "more": {"a": [1]}}
    said = t.ask("describe", names=["a"])[0]["said"]
    assert said["fields"] == line["fields"]
    assert said["connected"] is False
    heard("--status", "", environ=environ)
    t.wait_until("a", status=None)


def test_beats_from_a_script_keep_it_alive(tree: MakeTree) -> None:
    """And their end is found."""
    t = tree(f"""
        [workers.a]
        command = '''
            until {sys.executable} -m supervisor_tree beat --ready; do :; done
            while [ ! -e silent ]; do {sys.executable} -m supervisor_tree beat && echo beat; sleep 0.3; done
            exec sleep 1000
        '''
        shell = true
        ready = {{ heartbeat = true }}
        health = {{ heartbeat = "3s" }}
    """)
    t.wait("a")
    eventually(lambda: t.log("a").count("beat\n") > 12, "it has beaten for longer than its limit", 60)
    assert t.child("a")["restarts"] == 0
    with t.follow("ctl", "events", "-f", "--json") as events:
        (t.dir / "silent").touch()
        assert events.event("child_exited", "a", 60)["exit"].startswith("hung: no beat for ")


def test_what_it_says_has_left_when_it_ends(tree: MakeTree) -> None:
    """20 large messages of 20 processes: none is lost, though each ends at once."""
    t = tree(TREE)
    environ = surroundings(t)
    text = "x" * 50_000
    for number in range(20):
        assert beat("--activity", f"N{number}", f"text={text}", environ=environ)[0] == 0
    eventually(
        lambda: [line["activity"] for line in t.events("activity", "a")] == [f"N{number}" for number in range(20)],
        lambda: str([line["activity"] for line in t.events("activity", "a")]),
    )


def test_another_root_knows_what_was_said(tree: MakeTree) -> None:
    """Nobody says it again: it is handed on, for as long as that incarnation lives."""
    t = tree(TREE)
    environ = surroundings(t)
    heard("--ready", "--status", "page 3", "page=3", environ=environ)
    t.wait_until("a", status="page 3")
    for _ in range(2):
        root = t.root_pid()
        t.kill(root)
        t.wait_new_root(root)
        assert t.child("a")["status"] == "page 3"
        assert t.ask("describe", names=["a"])[0]["said"]["fields"] == {"page": 3}
    heard("left=2", environ=environ)
    eventually(lambda: t.ask("describe", names=["a"])[0]["said"]["fields"] == {"left": 2}, "that was heard")
    t.kill(t.pids()["a"])
    t.wait_until("a", incarnation=2)
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    assert t.child("a")["incarnation"] == 2
    assert t.child("a")["status"] is None


def test_another_root_hears_it_too(tree: MakeTree) -> None:
    t = tree(TREE)
    environ = surroundings(t)
    root = t.root_pid()
    t.kill(root)
    status, said, seconds = beat("--ready", environ=environ)  # while there is none: it waits a moment
    assert seconds < 5
    t.wait_new_root(root)
    if status != 0:  # a loaded machine
        assert said.startswith("supervisor-tree: not told: the tree's root did not answer within 1 s")
        heard("--ready", environ=environ)
    t.wait("a")


def test_who_is_not_a_worker_is_told(tree: MakeTree) -> None:
    status, said, _ = beat(environ=clean_environment({}))
    assert status == 1
    assert said.startswith("supervisor-tree: this does not run in a worker of a tree: SUPERVISOR_TREE_ENDPOINT is not")
    assert said.count("\n") == 1
    t = tree(TREE)
    environ = surroundings(t)
    status, said, _ = beat("--ready", environ={**environ, "SUPERVISOR_TREE_TOKEN": "0" * 32})
    assert (status, said) == (1, "supervisor-tree: refused by the tree: wrong token\n")
    assert t.child("a")["ready"] is False
    t.spawn("ctl", "restart", "a")
    t.wait_until("a", incarnation=2)
    status, said, _ = beat("--ready", environ=environ)
    assert (status, said) == (1, "supervisor-tree: refused by the tree: incarnation 1 of a has ended\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing",), "nothing is no KEY=VALUE"),
        (("=1",), "=1 is no KEY=VALUE"),
        (("--statuss", "x"), "unknown option --statuss — did you mean --status?"),
        (("--status",), "expected one argument"),
        (("--status", "x" * 70_000), "too much to say: "),
    ],
)
def test_mistakes_are_one_line_and_status_1(words: tuple[str, ...], said: str) -> None:
    environ = {
        "SUPERVISOR_TREE_ENDPOINT": "ipc:///nowhere",
        "SUPERVISOR_TREE_NAME": "a",
        "SUPERVISOR_TREE_INCARNATION": "1",
        "SUPERVISOR_TREE_TOKEN": "t",
    }
    status, output, seconds = beat(*words, environ=clean_environment(environ))
    assert status == 1
    assert said in output
    assert output.count("\n") == 1
    assert seconds < 10  # it does not wait; its interpreter's start is in it


@pytest.mark.parametrize("how", ["missing", "silent", "mad", "no endpoint", "no number"])
def test_it_never_holds_up_the_script(tmp_path: Path, how: str) -> None:
    path = tmp_path / "heartbeat"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(100)
        if how == "missing":
            os.unlink(path)
        environ = {
            "SUPERVISOR_TREE_ENDPOINT": "tcp://127.0.0.1:1" if how == "no endpoint" else f"ipc://{path}",
            "SUPERVISOR_TREE_NAME": "a",
            "SUPERVISOR_TREE_INCARNATION": "one" if how == "no number" else "1",
            "SUPERVISOR_TREE_TOKEN": "t",
        }
        if how == "mad":
            import threading

            def answer() -> None:
                while True:
                    try:
                        client, _ = server.accept()
                    except OSError:
                        return
                    client.sendall(b"HTTP/1.1 400 no\r\n" * 10)
                    client.close()

            threading.Thread(target=answer, daemon=True).start()
        status, said, seconds = beat("--status", "x", environ=clean_environment(environ))
        server.shutdown(socket.SHUT_RDWR)
    assert status == 1
    assert said.startswith("supervisor-tree: ")
    assert said.count("\n") == 1
    assert seconds < 5  # one second is promised; its interpreter's start is in it


def test_it_is_quick_because_it_imports_little() -> None:
    """A loop of a shell script calls it: 25 ms where this was written, of which Python's own start is 10."""
    code = (
        "import sys; from supervisor_tree.cli.main import main; main(['beat']);"
        "import json; print(json.dumps([each for each in sys.modules if '.' not in each]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment({}), capture_output=True, text=True, timeout=30, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"asyncio", "zmq", "msgspec", "psutil", "typing", "subprocess", "threading", "logging"}
