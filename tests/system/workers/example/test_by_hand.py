"""The example tree, a worker of each kind: each is frozen, blocked, leaks, crashes; the journal says what it was."""

from __future__ import annotations

import os
import re
import shutil
import signal
import urllib.request
from pathlib import Path

import psutil
import pytest

from supervisor_tree import config
from tests.conftest import MakeTree
from tests.support.ports import free_port
from tests.support.tree import Tree
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.slow

KINDS = ("host-watcher", "page-builder", "web-server", "recorder", "thresholds")
FROZEN = "is stopped by a signal (SIGSTOP, or ^Z): it does nothing until a SIGCONT"


@pytest.fixture
def example(tree: MakeTree) -> Tree:
    """The example's own tree file, with its state in the test's folder, shorter limits, and faults on demand."""
    text = Path(config.example_file()).read_text()
    port = str(free_port())
    for pattern, instead in (
        (r"(?m)^(state_)?dir = .*$", ""),
        (r'(?m)^(health = \{ heartbeat = )"30s" \}.*$', r'\1"4s" }\nshutdown = "1s"'),
        (r"supervisor_tree\.workers\.example\.\w+:", "faulty:"),
        (r'"-m", "supervisor_tree\.workers\.example\.web_server"', '"faulty.py"'),
        (r'every = "5s"', 'every = "500ms", timeout = "500ms"'),
    ):
        text, times = re.subn(pattern, instead, text)
        assert times
    t = tree(text, start=False, environ={"EXAMPLE_PORT": port, "EXAMPLE_EVERY": "0.2"})
    shutil.copy(Path(__file__).with_name("faulty.py"), t.dir)
    t.start()
    for name in KINDS:
        t.wait(name)
    eventually((t.dir / "web" / "index.html").exists, "the page is there")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as answer:
        assert answer.status == 200
    return t


def do(t: Tree, number: int) -> None:
    """Send every worker this signal (of the shim, its command), and wait until each is another process and ready.

    `thresholds` first and by itself: it is restarted with the recorder, whatever is wrong with it."""
    command = psutil.Process(t.pids()["web-server"]).children()[0].pid
    for names in (("thresholds",), ("host-watcher", "page-builder", "web-server", "recorder")):
        pids = t.pids()
        for name in names:
            os.kill(command if name == "web-server" else pids[name], number)
        for name in names:
            t.wait_until(name, pid=lambda now, before=pids[name]: now not in (None, before), timeout=30)
            t.wait(name, timeout=30)


def told(t: Tree, event: str) -> dict[str, str]:
    """What the journal says of each worker with lines of this kind, as `ctl events` words it."""
    found: dict[str, str] = {}
    for line in t.ctl("events", "--type", event).splitlines():
        print(line)
        for name in KINDS:
            if f" {name} " in line:
                found.setdefault(name, line)
    return found


def test_frozen(example: Tree) -> None:
    do(example, signal.SIGSTOP)
    lines = told(example, "hung")
    assert lines.keys() == set(KINDS)
    for line in lines.values():
        assert FROZEN in line


def test_blocked(example: Tree) -> None:
    do(example, signal.SIGUSR1)
    lines = told(example, "hung")
    assert lines.keys() == set(KINDS)
    for name in ("host-watcher", "page-builder", "recorder"):
        assert "its event loop is blocked: at tree/faulty.py:24 in lock_up" in lines[name]
    assert "its main thread does not go on: at tree/faulty.py:24 in lock_up" in lines["thresholds"]
    assert re.search(r"its own check says: http://127.0.0.1:\d+/ does not answer", lines["web-server"])


def test_leaking(example: Tree) -> None:
    do(example, signal.SIGUSR2)
    lines = told(example, "limit_exceeded")
    assert lines.keys() == set(KINDS)
    for line in lines.values():
        # 400 MB and its own, or less where it was looked at while it took them.
        assert re.search(r"is over its memory_max: [234]\d\d MB, limit 200 MB .* it is to be restarted", line)
    assert "faulty.py --folder web" in lines["web-server"]


def test_crashing(example: Tree) -> None:
    do(example, signal.SIGSEGV)
    lines = told(example, "child_exited")
    assert lines.keys() == set(KINDS)
    for line in lines.values():
        assert "killed by SIGSEGV" in line
