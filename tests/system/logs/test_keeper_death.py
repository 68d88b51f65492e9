"""The keeper's death, proved or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE, wait_gone
from tests.system.logs.playing import Keeper

_KEEPER = """
import os, signal, subprocess, sys
from pathlib import Path
from tests.system.logs.playing import Keeper

keeper = Keeper(Path(sys.argv[1]), sys.argv[2])
keeper.hear("able")
if sys.argv[3] == "stopped":
    keeper.process.send_signal(signal.SIGSTOP)
out = keeper.stream("web")
worker = subprocess.Popen(
    ["sh", "-c", "echo last words; echo written >&2; trap '' TERM; sleep 100"],
    stdout=out.writer, stderr=subprocess.PIPE, start_new_session=True,
    env={**os.environ, "SUPERVISOR_TREE_ID": sys.argv[2]},
)
out.close()
worker.stderr.readline()
print(worker.pid, keeper.process.pid, flush=True)
signal.pause()
"""


@pytest.mark.parametrize("logger", ["well", "stopped"])
def test_keeper_killed(tmp_path: Path, logger: str) -> None:
    tree_id = os.urandom(16).hex()
    keeper = subprocess.Popen([sys.executable, "-c", _KEEPER, tmp_path, tree_id, logger], stdout=subprocess.PIPE)
    assert keeper.stdout is not None
    with keeper.stdout:
        worker, process = map(int, keeper.stdout.readline().split())
    keeper.kill()
    keeper.wait()
    if logger == "stopped":
        # It learns of the death when it goes on, from the same proof.
        os.kill(process, signal.SIGCONT)
    # How fast is the business of tests/system/tree/test_deaths.py.
    wait_gone(worker)
    wait_gone(process)
    assert (tmp_path / "logs" / "web.log").read_bytes() == b"last words\n"


def test_end_of_link_harms_nobody(keeper: Keeper) -> None:
    keeper.hear("able")
    pipe = keeper.stream()
    worker = subprocess.Popen(["sleep", "100"], env={**os.environ, "SUPERVISOR_TREE_ID": keeper.tree_id})
    try:
        assert keeper.process is not None
        assert keeper.link is not None
        keeper.link.close()
        pipe.write(b"for the next logger\n")
        assert keeper.process.wait(PATIENCE) == 0
        assert worker.poll() is None
        keeper.start()
        keeper.done(pipe)
        assert keeper.log("web").read_bytes() == b"for the next logger\n"
    finally:
        worker.kill()
        worker.wait()


def test_signals_of_a_service_manager_do_not_end_it(keeper: Keeper) -> None:
    keeper.hear("able")
    assert keeper.process is not None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        keeper.process.send_signal(number)
    pipe = keeper.stream()
    pipe.write(b"still here\n")
    keeper.drain()
    assert keeper.log("web").read_bytes() == b"still here\n"


def test_table_is_appended_and_replaced(keeper: Keeper) -> None:
    keeper.send({"t": "table", "line": "one"})
    keeper.send({"t": "table", "line": "two"})
    keeper.drain()
    table = keeper.folder / "keeper.log"
    assert table.read_text() == "one\ntwo\n"
    keeper.send({"t": "table_new", "lines": ["two"]})
    keeper.send({"t": "table", "line": "three"})
    keeper.drain()
    assert table.read_text() == "two\nthree\n"


def test_wrong_call_says_who_starts_it() -> None:
    command = [sys.executable, "-m", "supervisor_tree.logs", "--link", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "supervisor-tree logs" in done.stderr
