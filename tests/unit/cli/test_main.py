"""Command lines: what is mistyped, what is missing, what is asked for help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from supervisor_tree.cli import ctl
from supervisor_tree.cli.main import COMMANDS

RunCli = Any
LATER = [
    "watchdog",
    "doctor",
    "import",
    "service",
]


def test_nothing_at_all_is_a_usage_error_with_the_commands(cli: RunCli) -> None:
    status, out, err = cli()
    assert (status, out) == (2, "")
    assert all(f"  {name}" in err for name in COMMANDS)


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"]])
def test_help_lists_commands_that_exist_and_no_others(cli: RunCli, argv: list[str]) -> None:
    status, out, err = cli(*argv)
    assert (status, err) == (0, "")
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert listed == list(COMMANDS)
    assert not set(LATER) & set(listed)


def test_ctl_help_lists_the_verbs(cli: RunCli) -> None:
    status, out, _ = cli("ctl", "--help")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")] == list(ctl.VERBS)
    assert not set(LATER) & set(ctl.VERBS)


@pytest.mark.parametrize(
    "command", [[name] for name in COMMANDS if name != "ctl"] + [["ctl", verb] for verb in ctl.VERBS]
)
def test_every_command_explains_itself_with_an_example(cli: RunCli, command: list[str]) -> None:
    status, out, err = cli(*command, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: supervisor-tree {' '.join(command)}")
    assert f"example:\n  supervisor-tree {' '.join(command)}" in out
    assert max(len(line) for line in out.splitlines()) <= 100


@pytest.mark.parametrize(
    ("argv", "word", "mend"),
    [
        (["strat"], "unknown command strat", "did you mean start?"),
        (["ctl", "staus"], "unknown command staus", "did you mean status"),
        (["ctl", "stop", "--tide", "web"], "unknown option --tide", "did you mean --tied?"),
        (["trees", "--jsn"], "unknown option --jsn", "did you mean --json?"),
        (["trees", "what"], "unexpected argument what", "try `supervisor-tree trees --help`"),
        (["trees", "--", "what"], "unexpected argument what", "try `supervisor-tree trees --help`"),
        (["--vresion"], "unknown option --vresion", "did you mean --version?"),
        (["ctl"], "what is to be done?", "status"),
        (["ctl", "stop"], "no name was given", "--all"),
        (["ctl", "stop", "--all", "web"], "--all and names exclude each other", ""),
        (["ctl", "wait", "web", "--for", "runing"], "no such state: runing", "did you mean running"),
        (["ctl", "wait", "web", "--timeout", "soon"], "'soon' is no duration", "30s"),
        (["ctl", "events", "--since", "soon"], "'soon' is no time", "10m"),
        (["ctl", "events", "-n", "few"], "'few' is no number", "-n 20"),
        (["ctl", "add"], "the following arguments are required", "--help"),
        (["ctl", "add", "a", "b", "c"], "unexpected argument c", ""),
        (["ctl", "reload", "--plan", "web"], "--plan is about the tree file", ""),
        (["ctl", "status", "-c", "x.toml", "-t", "bot"], "-c and -t both say which tree", ""),
    ],
)
def test_mistakes_are_told_with_what_was_meant(cli: RunCli, argv: list[str], word: str, mend: str) -> None:
    status, out, err = cli(*argv)
    assert (status, out) == (2, "")
    assert err.startswith("supervisor-tree: ")
    assert word in err
    assert mend in err
    assert "Traceback" not in err


def test_a_mistake_is_json_where_json_is_asked(cli: RunCli) -> None:
    status, out, err = cli("ctl", "stop", "--jsn", "--json", "web")
    assert (status, err) == (2, "")
    assert json.loads(out) == {
        "error": {"code": "usage", "message": "unknown option --jsn", "mend": "did you mean --json?"}
    }


def test_status_and_start_import_nothing_heavy() -> None:
    """What `ctl status` and `start` may cost (benchmarks) is mostly what they import."""
    code = (
        "import sys; from supervisor_tree.cli.main import main; "
        "import supervisor_tree.cli.start, supervisor_tree.cli.target, supervisor_tree.system; "
        "print(*sorted(sys.modules))"
    )
    start = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"zmq", "msgspec", "asyncio", "tomllib", "subprocess", "typing", "shutil", "datetime"} & set(start)
    code = code.replace("supervisor_tree.cli.start", "supervisor_tree.cli.ctl, supervisor_tree.cli.show")
    status = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"msgspec", "asyncio", "tomllib", "subprocess", "shutil", "datetime", "difflib"} & set(status)


def test_a_reader_that_has_gone_is_no_error() -> None:
    """`supervisor-tree --help | head -1`."""
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [sys.executable, "-m", "supervisor_tree", "--help"], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert ran.stderr == b""
    assert ran.returncode == 141
