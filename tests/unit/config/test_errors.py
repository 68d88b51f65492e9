"""Rule 2: all errors of all files at once, each where it is, each saying how to mend it."""

# ruff: noqa: E501 - golden texts stand on one line, as users see them

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor_tree import config
from tests.unit.config.conftest import Bad, Good

EVERYTHING = """\
[tree]
strategy = "one_for_won"
inclde = "x"
period = "1 minute"
on_give_up = "holt"

[defaults]
shutdwon = "10s"
command = "x"

[suprevisors.a]
children = []

[supervisors.s]
children = ["a", "b", "nobody"]

[workers.a]
comand = "true"
shutdown = "10x"
env = { N = 1.5, SUPERVISOR_TREE_ID = "x", OK = "y" }
needs = { b = "redy" }

[workers.b]
command = "true"
run = "a:b"
restart = "permament"
ready = [{ http = "http://x" }, { file = "x", tcp = "y:1" }, { evry = "1s" }]
health = { file = "x", failures = 0 }

[workers.c]
command = "echo 'open"
instances = [1, 1]

[workers.root]
command = "true"

[workers."a b"]
command = "true"

[workers.A]
command = "true"

[jobs.j]
schedule = "61 * * * *"
every = "5m"
command = "true"
"""


def test_all_errors_come_at_once_in_order(bad: Bad) -> None:
    assert bad(EVERYTHING) == [
        (
            'tree.toml:2: tree.strategy: must be "one_for_one" | "one_for_all" | "rest_for_one" | "simple_one_for_one",'
            ' not "one_for_won" (did you mean "one_for_one"?)'
        ),
        'tree.toml:3: tree.inclde: unknown key (did you mean "include"?)',
        'tree.toml:4: tree.period: "1 minute" is no duration: write a number and a unit (ms s m h d w), as in "10s"',
        (
            'tree.toml:5: tree.on_give_up: must be "hold" | "exit" | a duration, as in "10s" (ms s m h d w), not "holt"'
            ' (did you mean "hold"?)'
        ),
        'tree.toml:8: defaults.shutdwon: unknown key (did you mean "shutdown"?)',
        "tree.toml:9: defaults.command: belongs to one worker or job: it can't be a default",
        'tree.toml:11: suprevisors: unknown table (did you mean "supervisors"?)',
        'tree.toml:15: supervisors.s.children[2]: there is no worker or supervisor "nobody"',
        "tree.toml:17: workers.a: names no program: write exactly one of command, run, use",
        'tree.toml:18: workers.a.comand: unknown key (did you mean "command"?)',
        'tree.toml:19: workers.a.shutdown: "10x" is no duration: write a number and a unit (ms s m h d w), as in "10s"',
        (
            "tree.toml:20: workers.a.env.N: must be a string, an integer, { file = … }, { command = … } or false, not 1.5:"
            ' write "1.5"'
        ),
        "tree.toml:20: workers.a.env.SUPERVISOR_TREE_ID: is set by the tree itself",
        (
            'tree.toml:21: workers.a.needs.b: must be "started" | "ready" | "healthy" | "completed", not "redy"'
            ' (did you mean "ready"?)'
        ),
        "tree.toml:23: workers.b: has `command` and `run`: write exactly one of command, run, use",
        (
            'tree.toml:26: workers.b.restart: must be "permanent" | "transient" | "temporary", not "permament"'
            ' (did you mean "permanent"?)'
        ),
        (
            "tree.toml:27: workers.b.ready[1]: has `tcp` and `file`: write exactly one of command, http, tcp, unix, file,"
            " output, heartbeat, notify, env, mount, disk_free"
        ),
        (
            "tree.toml:27: workers.b.ready[2]: asks nothing: write exactly one of command, http, tcp, unix, file,"
            " output, heartbeat, notify, env, mount, disk_free"
        ),
        'tree.toml:27: workers.b.ready[2].evry: unknown key (did you mean "every"?)',
        "tree.toml:28: workers.b.health.failures: must be a whole number, 1 or more, not 0",
        "tree.toml:31: workers.c.command: can't be split into words: a quote is not closed",
        'tree.toml:32: workers.c.instances[1]: "1" is there twice',
        'tree.toml:34: workers.root: the name "root" is reserved (root, all, keeper, logger, zygote)',
        (
            'tree.toml:37: workers."a b": "a b" is no name: letters, digits, `_`, `.` and `-`, at most 64, the first a'
            " letter or digit"
        ),
        (
            "tree.toml:40: workers.A: but for case it is the name of [workers.a] already: workers, supervisors and jobs"
            " share one set of names"
        ),
        "tree.toml:43: jobs.j: has `schedule` and `every`: write at most one of schedule, every, at",
        'tree.toml:44: jobs.j.schedule: "61" is no minute (0 to 59)',
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[tree]\nname = ", 2),
        ("[tree\n", 1),
        ("[workers.a]\ncommand = 'x'\n[workers.a]\ncommand = 'y'\n", 3),
        ("a = 1\na = 2\n", 2),
        ('x = """\n\n', 2),
        ("[tree]\n\nd = 2026-13-45\n", 3),
    ],
)
def test_a_syntax_error_is_reported_alone(bad: Bad, text: str, line: int) -> None:
    errors = bad(text)
    assert len(errors) == 1
    assert errors[0].startswith(f"tree.toml:{line}: no valid TOML: ")


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_bytes(b"[tree]\nname = '\xff'\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load([str(file)], {})
    assert str(caught.value) == f"{file}:2: no valid TOML: the text is not UTF-8"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=r"can't read .*No such file"):
        config.load([str(tmp_path / "none.toml")], {})


def test_values_nested_too_deeply(bad: Bad) -> None:
    assert bad("x = " + "[" * 5000 + "]" * 5000)[0].startswith("tree.toml:1: no valid TOML: ")


def test_a_number_without_end(bad: Bad) -> None:
    assert bad("\n[x]\na = " + "9" * 5000)[0].startswith("tree.toml:3: no valid TOML: ")


def test_a_file_that_others_may_write(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text("[workers.a]\ncommand = 'true'\n")
    file.chmod(0o666)
    said = f"{file}:1: is writable by everybody: chmod o-w {file}"
    if os.geteuid() == 0:
        with pytest.raises(config.ConfigError) as caught:
            config.load([str(file)], {})
        assert str(caught.value) == said
    else:
        assert [str(one) for one in config.load([str(file)], {}).warnings] == [said]


def test_lines_are_those_of_keys_wherever_they_are_written(bad: Bad) -> None:
    assert bad(
        """
        workers.a.command = 1
        [workers]
        b = { command = [
            "x",
            2,
        ] }
        "c".command = ''
        [workers.d]
        # a comment with [workers.e]
        command = \"\"\"
        [workers.f]
        \"\"\"
        env.X = 1.5
        [workers.'e']
        health = [
            { tcp = "x:1" },   # fine
            { tcp = "y" },
        ]
        """.replace("workers.a.command = 1", "x.a = 1")
    ) == [
        "tree.toml:4: workers.b.command: must be a string, split as a POSIX shell would, or a list of strings, not a list",
        "tree.toml:8: workers.c.command: must name a program, not be empty",
        (
            "tree.toml:14: workers.d.env.X: must be a string, an integer, { file = … }, { command = … } or false, not 1.5:"
            ' write "1.5"'
        ),
        "tree.toml:15: workers.e: names no program: write exactly one of command, run, use",
        'tree.toml:18: workers.e.health[1].tcp: must be an address, HOST:PORT, not "y"',
    ]


@pytest.mark.parametrize(
    "table", ["tree", "workers", "supervisors", "jobs", "defaults", "logs", "alerts", "store", "recover"]
)
def test_a_table_that_is_none(bad: Bad, table: str) -> None:
    errors = bad(f"\n{table} = 3\n")
    assert len(errors) == 1
    assert errors[0].startswith(f"tree.toml:2: {table}: must be a table")


def test_a_child_that_is_no_table(bad: Bad) -> None:
    assert bad("[workers]\na = 'sleep 1'\n") == [
        'tree.toml:2: workers.a: must be a table, [workers.a], not "sleep 1"',
    ]


def test_what_is_the_users_own_is_ignored(good: Good) -> None:
    plan = good("[x]\nanything = { at = ['all'] }\n[x.y.z]\nw = 1\n[workers.a]\ncommand = 'true'\n")
    assert list(plan.workers) == ["a"]
    assert plan.warnings == []


def test_an_error_names_the_file_that_said_it(bad: Bad) -> None:
    assert bad(
        "[workers.a]\ncommand = 'true'\nnice = 3\n",
        "[workers.a]\n\nnice = 'x'\n[workers.b]\n",
    ) == [
        'tree1.toml:3: workers.a.nice: must be a whole number from -20 to 19, not "x"',
        "tree1.toml:4: workers.b: names no program: write exactly one of command, run, use",
    ]


def test_probes_that_can_never_pass(bad: Bad) -> None:
    assert bad(
        """\
        [workers.a]
        command = "x"
        health = [
          { file = "f", key = "a..b", changes = "3m" },
          { file = "f", exists = false, fresh = "3m" },
          { http = "http://h/", key = "x[y]" },
          { http = "http://[::1" },
          { http = "http://h:99999/" },
          { http = "http://h/a b" },
          { tcp = "http://h:80" },
        ]
        """
    ) == [
        'tree.toml:4: workers.a.health[0].key: "a..b" is no JSON path: write names with dots and places in brackets, as in "jobs[0].id"',
        "tree.toml:5: workers.a.health[1].exists: a file that must not be there can't be fresh or have a key",
        'tree.toml:6: workers.a.health[2].key: "x[y]" is no JSON path: write names with dots and places in brackets, as in "jobs[0].id"',
        "tree.toml:7: workers.a.health[3].http: is no URL: Invalid IPv6 URL",
        "tree.toml:8: workers.a.health[4].http: is no URL: Port out of range 0-65535",
        'tree.toml:9: workers.a.health[5].http: must be a URL, http://… or https://…, not "http://h/a b"',
        'tree.toml:10: workers.a.health[6].tcp: must be an address, HOST:PORT, not "http://h:80"',
    ]
