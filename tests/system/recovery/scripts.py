"""What the recovery tests run: checks that end as they are told, a daemon with a lock, and the guardian's rule."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.tree import Tree
from tests.support.waiting import eventually

CHECK = """
import os, sys
status, *lines = sys.argv[1:]
print("Simulating state", status)
for line in lines:
    print(line)
sys.stdout.flush()
with open("runs", "a") as file:
    file.write(status + "\\n")
if status.startswith("SIG"):
    import signal
    os.kill(os.getpid(), getattr(signal, status))
sys.exit(int(status))
"""

# The script of S1's document, word for word.
TEST_UNHEALTHY = """#!/usr/bin/env python3
import sys
print("Simulating unhealthy state")
sys.exit(2)
"""

DAEMON = """
import fcntl, os, sys, threading, time
os.makedirs("state", exist_ok=True)
file = open("state/uw_flow_daemon.lock", "a+")
try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("Another instance is already running", flush=True)
    sys.exit(0)
file.truncate(0)
file.write(f"pid={os.getpid()} ts={time.time()}\\n")
file.flush()
print("has its lock", flush=True)
threading.Event().wait()
"""

GUARDIAN = """
[recover.guardian]
when = ["degraded", "unhealthy"]
ignore_case = true
match = { uw = ["connection_error", "timeout", "UW.*fail", "socket.*fail"], sip = ["SIP.*delay", "sip_feed.*error"] }
steps = [
  { clear_locks = "state/*.lock" },
  { restart = "uw-daemon", if = "uw" },
  { alert = "critical", if = "sip", file = "logs/alpaca_sip_alert_${run.time}.txt" },
  { restart = "trading-bot", if = "sip" },
  { wait = "50ms" },
  { rerun = true },
]
log = { file = "logs/guardian.log", tail = 50 }
"""

OUTCOMES = 'outcome = { 0 = "healthy", 1 = "degraded", 2 = "unhealthy", other = "unexpected" }'

DAEMONS = """
[workers.uw-daemon]
command = "${tree.python} -u daemon.py"
ready = { output = "has its lock" }
[workers.trading-bot]
command = "sleep 1000"
"""


def put(folder: Path) -> None:
    """The scripts, the folders, and a lock that nobody holds."""
    for name, text in (("check.py", CHECK), ("test_unhealthy.py", TEST_UNHEALTHY), ("daemon.py", DAEMON)):
        (folder / name).write_text(text)
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state" / "dead.lock").write_text("pid=999999999 ts=1\n")


def log(t: Tree) -> str:
    """The guardian's log so far. A running tree writes it by a thread: see `logged`."""
    file = t.dir / "logs" / "guardian.log"
    return file.read_text() if file.exists() else ""


def logged(t: Tree, last: str) -> str:
    """The guardian's log, once a running tree has written these words, which are the last that are looked for."""
    eventually(lambda: last in log(t), lambda: f"{last!r} is in the log: {log(t)}")
    return log(t)


def guard(t: Tree, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """`supervisor-tree guard ARGUMENTS` in the tree's folder, as cron would run it."""
    return subprocess.run(
        [sys.executable, "-m", "supervisor_tree", "guard", *arguments],
        cwd=t.dir,
        env=t.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def alerts(t: Tree) -> list[str]:
    return [name for name in os.listdir(t.dir / "logs") if name.startswith("alpaca_sip_alert_")]
