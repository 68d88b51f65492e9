"""The tree with jobs that README.md shows, run for real."""

from __future__ import annotations

import re

from tests.conftest import MakeTree
from tests.support.tree import REPOSITORY
from tests.system.jobs.looking import wait_lines, wait_runs

README = (REPOSITORY / "README.md").read_text()

FEED = """
import json, os, threading
with open("starts", "a") as file:
    file.write("start\\n")
for rows in range(1_000_000):
    with open("state/new", "w") as file:
        json.dump({"rows": rows}, file)
    os.replace("state/new", "state/cache.json")
    threading.Event().wait(0.1)
"""
CHECK = """
import os, sys
if os.path.exists("state/broken"):
    os.unlink("state/broken")
    print("feed: connection_error: no data since 14:11")
    sys.exit(2)
"""


def test_jobs_that_heal(tree: MakeTree) -> None:
    (file,) = re.findall(r"^```toml\n(\[workers\.feed\]\n.*?)^```", README, re.MULTILINE | re.DOTALL)
    one = tree(file.replace('wait = "5s"', 'wait = "10ms"').replace("python3", "${tree.python}"), start=False)
    (one.dir / "state").mkdir()
    programs = {"feed": FEED, "check": CHECK, "export": "", "train": "print()", "report": "raise SystemExit(1)"}
    for name, text in programs.items():
        (one.dir / f"{name}.py").write_text(text)
    (one.dir / "state" / "broken").touch()
    (one.dir / "state" / "old.lock").touch()
    one.start()
    one.wait("feed")

    one.ctl("run", "check", "--wait", status=2)
    (found,) = wait_runs(one, "check", 1, cause="manual")
    assert (found["outcome"], found["state"]) == ("unhealthy", "failed")
    (again,) = wait_runs(one, "check", 1, cause="rerun", state="succeeded")
    assert again["outcome"] == "healthy"
    assert not (one.dir / "state" / "old.lock").exists()
    assert wait_lines(one, "starts", 2) == ["start", "start"]

    one.ctl("run", "nightly", "--wait")
    (run,) = wait_runs(one, "nightly", 1, state="succeeded")
    assert {stage["name"]: stage["success"] for stage in run["stages"]} == {
        "export": True,
        "train": True,
        "report": False,
    }
