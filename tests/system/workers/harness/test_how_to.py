"""Every example of docs/how-to/write-a-worker.md, run for real."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.support.tree import REPOSITORY, Tree
from tests.support.waiting import PATIENCE, eventually

DOCUMENT = (REPOSITORY / "docs" / "how-to" / "write-a-worker.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def write_modules(folder: Path) -> None:
    """Each Python block into the file that its first line names."""
    for text in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", text)
        assert name, text
        (folder / name[1]).write_text(text)


@pytest.fixture
def documented(tree: MakeTree) -> Iterator[Tree]:
    """A tree of all workers that the document shows."""
    one: Tree = tree("\n".join(blocks("toml")), start=False, environ={"PYTHONPATH": str(REPOSITORY)})
    write_modules(one.dir)
    one.start()
    yield one
    assert one.stop() == 0


def said(tree: Tree, name: str, what: str) -> Any:
    (described,) = tree.ask("describe", names=[name])
    return described["said"][what]


def test_the_functions_and_the_class(documented: Tree) -> None:
    eventually(lambda: said(documented, "disk-usage", "status"), "it says how full the disk is")
    assert re.fullmatch(r"\d+% of /", said(documented, "disk-usage", "status"))
    documented.wait_until("tidy-up", state="completed")
    eventually(lambda: "TIDIED" in documented.ctl("events", "--json"), "what it has done is in the journal")
    documented.wait("echo")
    assert greeted(documented) == b"hello\n"
    eventually(lambda: said(documented, "echo", "status") == "1 served", "it says how many it has served")
    documented.ctl("reload", "echo")
    eventually(lambda: greeted(documented) == b"hello again\n", "it has heard that")
    assert "".join(documented.log(name) for name in ("disk-usage", "tidy-up", "echo")) == ""


def greeted(tree: Tree) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tree.dir / "echo.sock"))
        return client.recv(100)


def test_the_ticks_and_one_that_fails(documented: Tree) -> None:
    eventually(lambda: said(documented, "evaluate", "fields").get("ticks", 0) > 5, "ticks")
    assert said(documented, "evaluate", "activity") == "tick"
    (documented.dir / "locked").touch()
    eventually(
        lambda: said(documented, "evaluate", "fields").get("error") == "RuntimeError: DB locked", "the error is told"
    )
    (documented.dir / "locked").unlink()
    eventually(lambda: "error" not in said(documented, "evaluate", "fields"), "it goes on")
    assert documented.child("evaluate")["restarts"] == 0
    eventually(lambda: "RuntimeError: DB locked" in documented.log("evaluate"), "its stack is in its log")


@pytest.mark.slow
def test_what_it_shows_is_typed(tmp_path: Path) -> None:
    """As a user's own mypy sees it, at its strictest."""
    write_modules(tmp_path)
    files = [str(path) for path in tmp_path.glob("*.py")]
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",
            "--cache-dir",
            str(tmp_path / "cache"),
            *files,
        ],
        cwd=tmp_path,
        env={"MYPYPATH": str(REPOSITORY), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_test_that_it_shows_passes(tmp_path: Path) -> None:
    write_modules(tmp_path)
    code = "import test_ticking; test_ticking.test_a_tick_evaluates_what_is_not_done()"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY)}, check=True)


@pytest.mark.parametrize("command", [line for text in blocks("sh") for line in text.splitlines()])
def test_each_runs_alone(tmp_path: Path, command: str) -> None:
    write_modules(tmp_path)
    python, *argv = shlex.split(command)
    assert python == "python"
    process = subprocess.Popen(
        [sys.executable, *argv],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if "Evaluate" in command:
            eventually((tmp_path / "tasks.db").exists, "it has begun")
            process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert (out, err, process.returncode) == ("", "", 0)


def test_the_errors_are_said_as_shown(tmp_path: Path) -> None:
    write_modules(tmp_path)
    (shown,) = re.findall(r"^```\n(args\..*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    tried = [("echo:Echo", {}), ("echo:Echo", {"sokcet": "x"}), ("ticking:Evaluate", {"tick_interval": 0.001})]
    said = ""
    for target, args in tried:
        ran = subprocess.run(
            [sys.executable, "-m", "supervisor_tree.workers", target, json.dumps(args)],
            cwd=tmp_path,
            env={"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 2
        said += ran.stderr
    assert said == shown
