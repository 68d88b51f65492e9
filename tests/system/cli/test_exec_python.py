"""`exec` of a Python worker: in the foreground, in its own interpreter, beside the one that runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from tests.support.waiting import PATIENCE, eventually

APP = """
import asyncio
import json
import os
import sys

from supervisor_tree import Worker, beat


def show(n: int = 1) -> int:
    beat("shown")
    told = {
        "n": n, "cwd": os.getcwd(), "prefix": sys.prefix, "env": {k: v for k, v in os.environ.items() if "SUPER" in k},
        "mine": os.environ.get("MINE"), "first": sys.path[0], "argv": sys.argv, "psutil": "psutil" in sys.modules,
    }
    print(json.dumps(told), flush=True)
    return n


class Waits(Worker):
    async def run(self) -> None:
        print("running", flush=True)
        await asyncio.sleep(1000)
"""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An interpreter of its own, with nothing installed."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def test_a_function_is_run_and_its_status_is_ours(tree: MakeTree, venv: Path) -> None:
    made = tree(
        f"""
        [workers.here]
        run = "app:show"
        args = {{ n = 7 }}
        env = {{ MINE = "yes" }}
        cwd = "work"
        autostart = false

        [workers.there]
        run = "app:show"
        python = "{venv}/bin/python"
        autostart = false

        [workers.none]
        run = "app:nothing"
        autostart = false
        """,
        start=False,
    )
    (made.dir / "work").mkdir()
    for folder in (made.dir, made.dir / "work"):
        (folder / "app.py").write_text(APP)
    made.start()
    here = json.loads(made.cli("exec", "here", status=7))
    assert here == {
        "n": 7,
        "cwd": str(made.dir / "work"),
        "prefix": sys.prefix,
        # Without a token: the one that runs is not disturbed
        "env": {"SUPERVISOR_TREE_NAME": "here", "SUPERVISOR_TREE_CONFIG": str(made.file)},
        "mine": "yes",
        "first": str(made.dir / "work"),
        "argv": ["app:show"],
        "psutil": False,
    }
    assert json.loads(made.cli("exec", "there", status=1))["prefix"] == str(venv)
    assert made.cli("exec", "here", "--", "sh", "-c", "echo $MINE; exit 5", status=5) == "yes\n"
    assert made.cli("exec", "none", status=2) == ""


def test_the_one_that_runs_does_not_notice(tree: MakeTree) -> None:
    made = tree('[workers.w]\nrun = "app:Waits"\n', start=False)
    (made.dir / "app.py").write_text(APP)
    made.start()
    made.wait("w")
    before = made.child("w")
    with made.follow("exec", "w") as beside:
        assert beside.line() == "running"
        assert beside.process.pid != before["pid"]
        os.kill(beside.process.pid, signal.SIGINT)
        assert beside.process.wait(PATIENCE) == 0
    assert {**made.child("w"), "cpu": 0, "memory": 0} == {**before, "cpu": 0, "memory": 0}
    eventually(lambda: made.log("w") == "running\n", lambda: f"it has run once: {made.log('w')!r}")
