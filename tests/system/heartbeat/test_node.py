"""Workers in Node with `ipc/clients/heartbeat.mjs`: in a real tree, alone, and with a root that is mad."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from tests.support.tree import REPOSITORY, Tree, clean_environment
from tests.support.waiting import PATIENCE, eventually

CLIENT = REPOSITORY / "supervisor_tree" / "ipc" / "clients" / "heartbeat.mjs"
WORKER = """
    import fs from "node:fs";
    import { connect } from "CLIENT";

    const tree = connect();
    let done = 0;
    tree.onCommand("reload", () => ({ done }));
    setInterval(() => {
      if (fs.existsSync("go")) tree.ready();
      if (fs.existsSync("work")) {
        fs.unlinkSync("work");
        done += 1;
        tree.beat(`${done} done`, { done });
        tree.activity("WORK", { done });
      }
      if (fs.existsSync("block")) {
        fs.unlinkSync("block");
        for (;;);
      }
    }, 20);
"""


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not here: on Debian, apt-get install nodejs")
    return found


def start(tree: MakeTree, node: str, limit: str = "10s") -> Tree:
    t = tree(
        f"""
        [workers.a]
        command = ["{node}", "worker.mjs"]
        ready = {{ heartbeat = true }}
        health = {{ heartbeat = "{limit}" }}
        [workers.b]
        command = "sleep 1000"
        needs = {{ a = "ready" }}
        """,
        start=False,
    )
    (t.dir / "worker.mjs").write_text(WORKER.replace("CLIENT", str(CLIENT)))
    return t.start()


def test_ready_opens_the_gate_and_what_it_says_is_shown(tree: MakeTree, node: str) -> None:
    t = start(tree, node)
    t.wait("b", state="waiting")
    (t.dir / "go").touch()
    t.wait("a", "b")
    (t.dir / "work").touch()
    t.wait_until("a", status="1 done")
    (activity,) = eventually(lambda: t.events("activity", "a"), "what it did is told")
    assert (activity["activity"], activity["fields"]) == ("WORK", {"done": 1})
    said = t.ask("describe", names=["a"])[0]["said"]
    assert (said["connected"], said["fields"]) == (True, {"done": 1})
    t.ctl("reload", "a")  # over the socket: it has no reload_signal
    assert t.stop() == 0


def test_a_new_root_is_told_all_of_it_again(tree: MakeTree, node: str) -> None:
    t = start(tree, node)
    (t.dir / "go").touch()
    (t.dir / "work").touch()
    t.wait("a", "b")
    t.wait_until("a", status="1 done")
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    t.wait_until("a", status="1 done", state="running", restarts=0)
    eventually(lambda: t.ask("describe", names=["a"])[0]["said"]["connected"], "it has come back")


def test_a_blocked_event_loop_is_found_and_ended(tree: MakeTree, node: str) -> None:
    """Its own beats kept it for longer than its limit before."""
    t = start(tree, node, "2s")
    (t.dir / "go").touch()
    t.wait("a")
    pid = t.pids()["a"]
    seen: set[object] = set()

    def beats() -> bool:
        seen.add(t.ask("describe", names=["a"])[0]["said"]["last_beat"])
        return len(seen) > 5

    eventually(beats, "it has beaten five times")
    assert t.pids()["a"] == pid
    with t.follow("ctl", "events", "-f", "--json") as events:
        (t.dir / "block").touch()
        assert events.event("child_exited", "a")["exit"].startswith("hung: no beat for ")
    t.wait_until("a", restarts=1, state="running", pid=lambda now: now != pid)


def run(node: str, script: str, folder: Path, environ: dict[str, str], timeout: float = PATIENCE) -> str:
    """What a script prints that ends by itself: nothing of ours may keep it."""
    text = f'import {{ connect }} from "{CLIENT}";\nconst tree = connect();\n{script}'
    (folder / "script.mjs").write_text(text)
    done = subprocess.run(
        [node, "script.mjs"],
        cwd=folder,
        env=clean_environment(environ),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


_EVERYTHING = """
    const circle = {};
    circle.circle = circle;
    tree.beat("x", circle);
    tree.beat("x", { n: 10n });
    tree.beat("x", { text: "y".repeat(1000000) });
    tree.ready();
    tree.ready();
    tree.activity("z");
    tree.onCommand("reload", () => 1);
    tree.onStop(() => {});
    for (let i = 0; i < 10000; i += 1) tree.beat(String(i));
    console.log(tree.connected);
"""


@pytest.mark.parametrize("end", ["", "tree.goodbye('done'); tree.close(); tree.beat(); tree.close();"])
@pytest.mark.parametrize("environ", [{}, {"SUPERVISOR_TREE_ENDPOINT": "ipc:///nowhere/heartbeat"}])
def test_alone_it_does_nothing_and_keeps_nobody(node: str, tmp_path: Path, environ: dict[str, str], end: str) -> None:
    identity = {"SUPERVISOR_TREE_NAME": "a", "SUPERVISOR_TREE_INCARNATION": "1", "SUPERVISOR_TREE_TOKEN": "t"}
    assert run(node, _EVERYTHING + end, tmp_path, {**identity, **environ}) == "false\n"


_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(48)
_READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff" * 100,
        _GREETING + b"\x07\x00",
        _GREETING + b"\x02" + b"\xff" * 8,
        _GREETING + b"\x00\x05hello",
        _GREETING + b"\x04\x06\x05ERROR",
        _GREETING + _READY + b"\x02\x00\x00\x00\x00\x00\x01\x00\x01" + bytes(70000),
        _GREETING + _READY + b"\x00\x03{}}\x00\x04null\x00\x0212\x01\x01a\x00\x01b\x04\x00",
        _GREETING + _READY + b'\x00\x10{"type":"stop"}\n' * 100,
    ],
    ids=range(9),
)
def test_a_mad_root_does_no_harm(node: str, tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "heartbeat"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(PATIENCE)
        environ = {
            "SUPERVISOR_TREE_ENDPOINT": f"ipc://{path}",
            "SUPERVISOR_TREE_NAME": "a",
            "SUPERVISOR_TREE_INCARNATION": "1",
            "SUPERVISOR_TREE_TOKEN": "t",
        }
        # 300 ms of its own work, in which it may come again and again.
        script = "for (let i = 0; i < 30; i += 1) { tree.beat(); await new Promise((go) => setTimeout(go, 10)); }"
        text = f'import {{ connect }} from "{CLIENT}";\nconst tree = connect();\n{script}'
        (tmp_path / "script.mjs").write_text(text)
        process = subprocess.Popen([node, "script.mjs"], cwd=tmp_path, env=clean_environment(environ))
        server.setblocking(False)
        open_: list[socket.socket] = []
        try:

            def serve() -> bool:
                try:
                    open_.append(server.accept()[0])
                    open_[-1].send(answer)
                except OSError:
                    pass
                return process.poll() is not None

            eventually(serve, "the worker ends by itself")
            assert process.returncode == 0
            assert 1 <= len(open_) < 30
        finally:
            process.kill()
            process.wait()
            for each in open_:
                each.close()
