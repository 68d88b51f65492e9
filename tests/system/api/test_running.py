"""`Supervisor.run`: a tree in the foreground of a program."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE, eventually, wait_gone
from tests.system.api.conftest import MakeProgram

PLAIN = """
    import os, sys
    from supervisor_tree import Child, Supervisor

    tree = Supervisor(
        [
            Child("a", command="sleep 1000"),
            Supervisor([Child("b", command=["sleep", "1000"], needs={"a": "ready"})], name="s"),
        ],
        name=f"plain-{os.getppid()}",
    )
    status = tree.run()
    print("status", status, flush=True)
    sys.exit(status)
"""


def test_every_command_knows_the_tree(program: MakeProgram) -> None:
    tree = program(PLAIN)
    tree.wait("a", "b")
    assert sorted(tree.children()) == ["a", "b", "s"]
    name = f"plain-{os.getpid()}"
    said = json.loads(tree.ctl("status", "--json", "-t", name))
    assert (said["tree"], said["file"]) == (name, str(tree.state_dir / "tree.json"))
    assert "b" in tree.ctl("status", "-c", str(tree.state_dir / "tree.json"))
    tree.ctl("restart", "-t", name, "a")
    assert "restart" in tree.ctl("why", "-t", name, "a")
    tree.cli("exec", "-t", name, "a", "--", "true")
    assert tree.stop() == 0
    assert "status 0" in tree.output()
    # What it was is still known
    assert "a" in tree.cli("check")
    tree.cli("logs", "a")
    assert (tree.state_dir / "tree.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_program_stops_the_tree(program: MakeProgram, number: signal.Signals) -> None:
    tree = program(PLAIN)
    tree.wait("a", "b")
    assert tree.stop(number) == 0
    assert [tree.journal("stopped", name)[0]["exit"] for name in "ab"] == ["killed by SIGTERM"] * 2


def test_the_programs_death_is_the_trees_end(program: MakeProgram) -> None:
    tree = program(PLAIN)
    tree.wait("a", "b")
    keeper = tree.keeper_process()
    assert tree.keeper is not None
    tree.kill(tree.keeper.pid)
    wait_gone(keeper.pid)
    tree.assert_nothing_left()
    # Stopped, not killed
    assert [tree.journal("stopped", name)[0]["exit"] for name in "ab"] == ["killed by SIGTERM"] * 2


def test_the_keepers_death_ends_the_program(program: MakeProgram) -> None:
    tree = program(PLAIN)
    tree.wait("a", "b")
    tree.kill(tree.keeper_process().pid)
    assert tree.wait_end() == 128 + signal.SIGKILL
    tree.assert_nothing_left()


def test_a_second_run_is_refused_and_leaves_the_first_alone(program: MakeProgram) -> None:
    tree = program(PLAIN)
    tree.wait("a", "b")
    before = (tree.state_dir / "tree.json").read_bytes()
    keeper = tree.keeper_process().pid
    tree.script.write_text(tree.script.read_text().replace('"sleep 1000"', '"sleep 2000"'))
    second = tree.spawn("start")
    assert second.wait(PATIENCE) == 1
    assert str(keeper) in tree.output().rpartition("---")[2]
    assert (tree.state_dir / "tree.json").read_bytes() == before
    assert tree.child("a")["restarts"] == 0


def test_a_changed_program_is_run_again_not_reloaded(program: MakeProgram) -> None:
    tree = program(PLAIN)
    said = json.loads(tree.ctl("reload", "--json", status=1))["error"]
    assert said["message"] == f"this tree is described by a program, {tree.script}"
    assert said["mend"] == "change the program, then `supervisor-tree ctl shutdown` and run it again"
    keeper = tree.keeper_process().pid
    before = len(tree.events("reload_refused"))
    os.kill(keeper, signal.SIGHUP)
    eventually(lambda: len(tree.events("reload_refused")) > before, "the reload is refused in the journal")
    # What is added at run time is, and stays
    (tree.dir / "more.toml").write_text('[workers.c]\ncommand = "sleep 1000"\n')
    tree.ctl("add", str(tree.dir / "more.toml"), "--to", "s")
    tree.wait("c")
    tree.ctl("shutdown")
    assert tree.wait_end() == 0
    tree.script.write_text(tree.script.read_text().replace('Child("a"', 'Child("first"').replace('{"a"', '{"first"'))
    tree.start()
    tree.wait("first", "b", "c")


def test_a_first_start_that_fails_fails_the_tree(program: MakeProgram) -> None:
    tree = program(
        """
        import sys
        from supervisor_tree import Child, Supervisor
        sys.exit(Supervisor([Child("a", command="sleep 1000"), Child("b", command="no-such-program")]).run())
        """,
        start=False,
    )
    tree.start(wait=False)
    assert tree.wait_end() == 1
    assert "supervisor-tree: program ended with status 1: b failed to start: no-such-program: " in tree.output()
    tree.assert_nothing_left()


def test_two_crashes_in_a_row_end_the_tree_as_in_otp(program: MakeProgram) -> None:
    tree = program(
        """
        import os, sys
        from supervisor_tree import Child, Supervisor

        def crash():
            print("crash", flush=True)
            sys.exit(3)

        sys.exit(Supervisor([Child("a", command="sleep 1000"), Child("b", run=crash)]).run())
        """,
        start=False,
    )
    tree.start(wait=False)
    assert tree.wait_end() == 1
    assert tree.log("b") == "crash\n" * 2
    assert "ended with status 1: more than 1 restarts in 5 s, the last because of b (exit status 3)\n" in tree.output()
    tree.assert_nothing_left()


def test_the_status_of_a_significant_worker_is_returned(program: MakeProgram) -> None:
    tree = program(
        """
        import sys
        from supervisor_tree import Child, Supervisor
        app = Child("app", run=lambda: 7, restart="temporary", significant=True)
        sys.exit(Supervisor([Child("a", command="sleep 1000"), app], auto_shutdown="any_significant").run())
        """,
        start=False,
    )
    tree.start(wait=False)
    assert tree.wait_end() == 7


def test_in_another_thread_and_with_the_logs(program: MakeProgram) -> None:
    tree = program(
        """
        import os, threading, time
        from supervisor_tree import Child, Supervisor

        def work():
            while True:
                print("from the worker", flush=True)
                time.sleep(0.1)

        tree = Supervisor([Child("w", run=work)], name=f"threaded-{os.getppid()}", state_dir="elsewhere")
        thread = threading.Thread(target=lambda: print("status", tree.run(logs=True), flush=True))
        thread.start()
        thread.join()
        """,
        start=False,
    )
    tree.state_dir = tree.dir / "elsewhere"
    tree.start()
    eventually(lambda: "from the worker" in tree.output(), "what the worker writes is shown")
    tree.ctl("shutdown", "-t", f"threaded-{os.getpid()}")
    assert tree.wait_end() == 0
    assert "status 0" in tree.output()


def test_a_mistake_is_told_before_anything_is_started(program: MakeProgram) -> None:
    tree = program(
        """
        from supervisor_tree import Child, ConfigError, Supervisor
        try:
            Supervisor([Child("a", command="x", shutdown="long")]).run()
        except ConfigError as error:
            print(error)
        """,
        start=False,
    )
    tree.start(wait=False)
    assert tree.wait_end() == 0
    assert "Child 'a': shutdown: must be " in tree.output()
    assert not tree.state_dir.exists()


def test_importing_the_package_costs_nothing(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys; before = set(sys.modules); import supervisor_tree; "
        "print(sorted(set(sys.modules) - before)); print(supervisor_tree.Child.__name__, dir(supervisor_tree))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "."}
    ).stdout
    assert said.splitlines()[0] == "['supervisor_tree']"
    assert "'Supervisor'" in said
