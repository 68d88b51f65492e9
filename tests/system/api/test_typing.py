"""Programs of users are checked by mypy: those of the page pass as they stand, and slips are found where they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import REPOSITORY
from tests.system.api.test_how_to import PROGRAMS

pytest.importorskip("mypy")
pytestmark = pytest.mark.same

SLIPS = """\
from supervisor_tree import Child, Job, Supervisor
Supervisor(
    [Child("a", command="x", restart="never")],
    jobs=[
        Job("j", every="1s", overlap="maybe"),
    ],
    recover={
        "rule": {"steps": [{"restrt": "a"}]},
    },
    alerts={"level": "loud"},
).run()
"""


def test_what_mypy_says_of_users_programs(tmp_path: Path) -> None:
    for number, text in enumerate(PROGRAMS):
        (tmp_path / f"page{number}.py").write_text(text)
    (tmp_path / "slips.py").write_text(SLIPS)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "--config-file="]
    done = subprocess.run(
        [*mypy, *sorted(file.name for file in tmp_path.glob("*.py"))],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(\w+\.py):(\d+): error:", done.stdout, re.MULTILINE)
    assert found == [("slips.py", "3"), ("slips.py", "5"), ("slips.py", "8"), ("slips.py", "10")], done
