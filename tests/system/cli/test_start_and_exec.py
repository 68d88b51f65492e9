"""`start` (names, --logs, broken files, two of them) and `exec`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.support.waiting import eventually

TREE = """
    [workers.a]
    command = ["sh", "-c", "echo a says hello; exec sleep 1000"]
    env = { GREETING = "hello" }
    cwd = "/"
    umask = "027"
    [workers.b]
    command = "sleep 1000"
    needs = { a = "started" }
    [workers.c]
    command = "sleep 1000"
"""


def run(tree: Any, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supervisor_tree", *argv],
        cwd=tree.dir,
        env=tree.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_names_start_only_these_and_what_they_need(tree: MakeTree) -> None:
    t = tree(TREE, start=False)
    t.start("b")
    t.wait("b")
    assert set(t.pids()) == {"a", "b"}


def test_a_second_start_is_refused_with_the_firsts_pid(tree: MakeTree) -> None:
    t = tree(TREE)
    second = run(t, "start")
    assert second.returncode == 1
    assert f"is already running (keeper pid {t.run_json()['keeper']})" in second.stderr


def test_a_broken_file_is_refused_with_every_error(tree: MakeTree) -> None:
    t = tree("[workers.a]\ncomand = 1\n[workers.b]\ncommand = 1\n", start=False)
    refused = run(t, "start")
    assert refused.returncode == 2
    assert "tree.toml:2: workers.a.comand: " in refused.stderr
    assert "tree.toml:4: workers.b.command: " in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (t.state_dir / "lock").exists()


def test_a_file_that_is_not_there(tree: MakeTree) -> None:
    t = tree(TREE, start=False)
    refused = run(t, "start", "-c", "missing.toml")
    assert refused.returncode == 2
    assert "missing.toml" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_name_that_is_not_there(tree: MakeTree) -> None:
    t = tree(TREE, start=False)
    refused = run(t, "start", "nobody")
    assert refused.returncode in (2, 4)
    assert "nobody" in refused.stderr


def test_modules_of_the_users_folder_are_not_the_roots(tree: MakeTree) -> None:
    t = tree(TREE, start=False)
    for name in ("json", "msgspec", "zmq", "config", "asyncio"):
        (t.dir / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    t.keeper = subprocess.Popen(
        [sys.executable, "-P", "-m", "supervisor_tree", "start"],
        cwd=t.dir,
        env={**t.environ, "SUPERVISOR_TREE_TEST": t.mark},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    t._spawned.append(t.keeper)
    t.wait_up()
    t.wait("a", "b", "c")
    assert t.stop() == 0


def test_logs_shows_what_workers_write_until_the_end(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        command = ["sh", "-c", "trap 'echo a says goodbye; exit' TERM; echo a says hello; while :; do sleep 0.05; done"]
        """,
        start=False,
    )
    t.start("--logs")
    eventually(lambda: "a says hello" in t.output(), "it is shown")
    assert t.stop() == 0
    assert "a says goodbye" in t.output()


def test_exec_has_the_workers_environment_folder_and_mask(tree: MakeTree) -> None:
    t = tree(TREE)
    done = run(t, "exec", "a", "--", "sh", "-c", "echo $GREETING; pwd; umask; env")
    assert (done.returncode, done.stderr) == (0, "")
    greeting, folder, mask, *environment = done.stdout.splitlines()
    assert (greeting, folder, mask) == ("hello", "/", "0027")
    names = {line.partition("=")[0] for line in environment}
    assert "PATH" in names
    assert not {"SUPERVISOR_TREE_ID", "SUPERVISOR_TREE_TOKEN"} & names


@pytest.mark.parametrize("status", [0, 3, 125])
def test_exec_ends_with_the_programs_own_status(tree: MakeTree, status: int) -> None:
    t = tree(TREE)
    assert run(t, "exec", "a", "--", "sh", "-c", f"exit {status}").returncode == status


def test_exec_without_a_command_runs_the_workers_own(tree: MakeTree) -> None:
    t = tree('[workers.once]\ncommand = ["sh", "-c", "echo here; exit 7"]\nautostart = false\n')
    done = run(t, "exec", "once")
    assert (done.returncode, done.stdout) == (7, "here\n")


def test_our_own_failures_of_exec_are_125(tree: MakeTree) -> None:
    t = tree(TREE)
    missing = run(t, "exec", "a", "--", "/no/such/program")
    assert (missing.returncode, missing.stderr) == (
        125,
        "supervisor-tree: /no/such/program: No such file or directory\n",
    )
    sought = run(t, "exec", "a", "--", "no-such-program")
    assert (sought.returncode, sought.stderr) == (125, "supervisor-tree: no-such-program: No such file or directory\n")
    nobody = run(t, "exec", "nobody", "--", "true")
    assert nobody.returncode == 125
    assert run(t, "exec").returncode == 125
    assert run(t, "exec", "a", "-t", "nothing", "--", "true").returncode == 125
    assert "nobody" in nobody.stderr


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs to be root")
def test_exec_is_the_workers_user(tree: MakeTree, tmp_path: Path) -> None:
    t = tree('[workers.a]\ncommand = "sleep 1000"\nuser = "nobody"\ncwd = "/"\n')
    done = run(t, "exec", "a", "--", "sh", "-c", "id -un; echo $HOME $USER")
    assert done.stdout.splitlines()[0] == "nobody"
    assert done.stdout.splitlines()[1].endswith(" nobody")
