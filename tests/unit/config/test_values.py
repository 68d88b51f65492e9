"""Durations, sizes, words, variables: how values are read (rules 1 and 5)."""

# ruff: noqa: E501 - golden texts stand on one line, as users see them

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_tree.config.kinds import parse_duration, parse_size
from tests.unit.config.conftest import Bad, Good


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("250ms", 0.25),
        ("1.5h", 5400),
        (" 2 d ", 172800),
        (".5m", 30),
        ("1w", 604800),
        ("10", None),
        ("", None),
        ("s", None),
        ("1M", None),
        ("-1s", None),
        ("1m30s", None),
        ("1e3s", None),
        ("٣s", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1kB", 1000),
        ("50MB", 50_000_000),
        ("1.5GiB", 3 * 2**29),
        ("2KiB", 2048),
        ("7B", 7),
        ("1KB", None),
        ("1mb", None),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"50mb"', '"50mb" is no size: write "50MB"'),
        ('"50"', '"50" is no size: it has no unit; write 50 without quotes, or a unit (B kB MB GB TB KiB MiB GiB TiB)'),
        ("-1", '-1 is no size: write a number and a unit (B kB MB GB TB KiB MiB GiB TiB), as in "50MB"'),
        ("true", 'true is no size: write a number and a unit (B kB MB GB TB KiB MiB GiB TiB), as in "50MB"'),
    ],
)
def test_a_size_that_is_none(bad: Bad, value: str, said: str) -> None:
    assert bad(f"[logs]\nmax_size = {value}\n") == [f"tree.toml:2: logs.max_size: {said}"]


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "-0.5", "1e300", "true", "[]", "2026-01-01", "'10 s s'"])
def test_a_duration_that_is_none(bad: Bad, value: str) -> None:
    assert "is no duration" in bad(f"[tree]\nperiod = {value}\n")[0]


def command(good: Good, text: str, **environ: str) -> tuple[str, ...] | None:
    return good(f"[workers.a]\ncommand = {text}\n", **environ).workers["a"].command


def test_a_string_command_is_split_as_a_shell_would_without_expansion(good: Good) -> None:
    text = r"""prog a 'b c' "d\"e" f\ g $X *.txt # h"""
    assert command(good, f"'''{text}'''") == ("prog", "a", "b c", 'd"e', "f g", "$X", "*.txt", "#", "h")


def test_a_value_stays_one_argument(good: Good) -> None:
    assert command(good, '"prog ${A} x${B:-d e}y"', A="one two") == ("prog", "one two", "xd ey")
    assert command(good, '["prog", "${A}"]', A="one two") == ("prog", "one two")


def test_shell_gets_the_text(good: Good) -> None:
    plan = good("[workers.a]\nshell = true\ncommand = 'a $X ${V} && b $$'\n", V="v")
    assert plan.workers["a"].command == ("/bin/sh", "-c", "a $X v && b $")


def test_shell_signs_without_a_shell_are_warned_of(good: Good) -> None:
    plan = good("[workers.a]\n\ncommand = 'a && b'\n")
    assert [str(one).partition("tree.toml:")[2] for one in plan.warnings] == [
        '3: workers.a.command: "&&" is handed to the program as an argument: write shell = true to have a shell read it'
    ]


def test_variables(good: Good) -> None:
    plan = good(
        """
        [workers.a]
        command = "true"
        env = { A = "${SET}", B = "${UNSET:-default}", C = "${EMPTY:-default}", D = "$$SET $SET ${", E = "${UNSET:-}" }
        """,
        SET="set",
        EMPTY="",
    )
    assert plan.workers["a"].env == {"A": "set", "B": "default", "C": "default", "D": "$SET $SET ${", "E": ""}


def test_a_value_is_expanded_once(good: Good) -> None:
    assert good("[workers.a]\ncommand = 'true'\nenv.A = '${V}'\n", V="${W} $$").workers["a"].env["A"] == "${W} $$"


def test_dotted_names(good: Good, tmp_path: Path) -> None:
    plan = good(
        """
        [tree]
        name = "t"
        [workers.w]
        instances = ["x"]
        command = "${self.name} ${self.instance} ${tree.name} ${tree.dir} ${tree.python}"
        """
    )
    argv = plan.workers["w@x"].command
    assert argv is not None
    assert argv[:4] == ("w@x", "x", "t", str(tmp_path))
    assert Path(argv[4]).is_file()


def test_names_that_are_none(bad: Bad) -> None:
    assert bad(
        """
        [workers.a]
        command = "x ${self.instance}"
        cwd = "${run.time}"
        nice = "${tree.nme}"
        """
    ) == [
        "tree.toml:3: workers.a.command: ${self.instance} has no value here: give the table `instances = […]`",
        "tree.toml:4: workers.a.cwd: ${run.time} is known only while a job runs: it can stand in jobs, recover and alerts",
        (
            "tree.toml:5: workers.a.nice: ${tree.nme} is no name of the tree; here are known: self.name, tree.dir, tree.name,"
            " tree.python (`$$` writes a plain $)"
        ),
    ]


def test_unset_holds_a_worker_and_is_an_error_elsewhere(good: Good, bad: Bad) -> None:
    plan = good(
        """
        [workers.a]
        command = "x ${FOO} ${FOO}"
        env = { X = "${BAR}" }
        shutdown = "${BAZ}s"
        [workers.b]
        command = "true"
        [workers.c]
        command = "true"
        ready = { http = "${FOO}" }
        [jobs.j]
        command = "y ${FOO}"
        """
    )
    assert plan.held == {
        "a": "env BAR is not set; env BAZ is not set; env FOO is not set",
        "c": "env FOO is not set",
        "j": "env FOO is not set",
    }
    assert bad("[tree]\nperiod = '${FOO}s'\n[defaults]\ncwd = '${BAR}'\n") == [
        "tree.toml:2: tree.period: env FOO is not set: set it, or write ${NAME:-default}",
        "tree.toml:4: defaults.cwd: env BAR is not set: set it, or write ${NAME:-default}",
    ]


def test_env_files_of_the_tree_come_before_the_environment(good: Good, tmp_path: Path) -> None:
    (tmp_path / "one.env").write_text("A=one\nB=one\n")
    (tmp_path / "two.env").write_text("B=two\n")
    plan = good(
        """
        [tree]
        env_file = ["one.env", "two.env", "?three.env"]
        [workers.a]
        command = "x ${A} ${B} ${C}"
        env = { B = "own" }
        """,
        A="start",
        B="start",
        C="start",
    )
    assert plan.workers["a"].command == ("x", "one", "two", "start")


def test_an_env_file_that_is_missing(bad: Bad, tmp_path: Path) -> None:
    assert bad('[tree]\nenv_file = [\n"?a.env",\n"b.env"]\n') == [
        "tree.toml:4: tree.env_file[1]: can't read b.env: No such file or directory"
        ': write "?b.env" if it may be missing'.replace("b.env: No", "b.env: No")
    ]


def test_numbers_and_words_from_variables(good: Good) -> None:
    plan = good(
        """
        [tree]
        max_runs = "${N}"
        period = "${P}"
        [workers.a]
        command = "true"
        restart = "${R}"
        significant = "${S}"
        nice = "${M:-5}"
        shutdown = "${D}m"
        instances = "${N}"
        """,
        N="3", P="90", R="transient", S="false", D="2",
    )  # fmt: skip
    assert (plan.tree.max_runs, plan.tree.period) == (3, 90)
    worker = plan.workers["a@3"]
    assert (worker.restart, worker.significant, worker.nice, worker.shutdown) == ("transient", False, 5, 120)


def test_nothing_is_expanded_in_patterns(good: Good) -> None:
    plan = good("[workers.a]\ncommand='true'\nhealth = { output = '^a$|${X}' }\n")
    assert plan.workers["a"].health[0].output == "^a$|${X}"


def test_a_pattern_that_is_none(bad: Bad) -> None:
    assert bad("[workers.a]\ncommand='true'\nhealth = { output = '(' }\n") == [
        'tree.toml:3: workers.a.health.output: "(" is no regular expression: missing ), unterminated subpattern at position 0'
    ]


def test_paths(good: Good, tmp_path: Path) -> None:
    plan = good(
        """
        [tree]
        state_dir = "~/state"
        make_dirs = [".", "./a", "/b", "c/../d"]
        [workers.a]
        command = "./run arg/x"
        cwd = "work"
        log = { file = "~/logs/a.log" }
        """
    )
    assert plan.state_dir == "/home/me/state"
    assert plan.make_dirs == (str(tmp_path), f"{tmp_path}/a", "/b", f"{tmp_path}/c/../d")
    worker = plan.workers["a"]
    assert worker.cwd == f"{tmp_path}/work"
    assert worker.command == ("./run", "arg/x")
    assert worker.log is not None
    assert worker.log.file == "/home/me/logs/a.log"


def test_dir_is_the_base(good: Good, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    plan = good("[tree]\ndir = 'sub'\n[workers.a]\ncommand = 'x'\ncwd = 'y'\n")
    assert (plan.dir, plan.name, plan.state_dir) == (f"{tmp_path}/sub", "sub", f"{tmp_path}/sub/.supervisor-tree")
    assert plan.workers["a"].cwd == f"{tmp_path}/sub/y"


def test_a_dir_that_is_missing_must_be_made(good: Good, bad: Bad, tmp_path: Path) -> None:
    assert bad("[tree]\ndir = 'sub'\n") == [
        'tree.toml:2: tree.dir: there is no folder sub: make it, or write make_dirs = ["."]'
    ]
    assert good("[tree]\ndir = 'sub'\nmake_dirs = '.'\n").make_dirs == (f"{tmp_path}/sub",)


def test_nul_characters_are_refused(bad: Bad) -> None:
    said = "holds a NUL character, which no program argument, variable or file name may"
    assert bad('[workers.a]\ncommand = ["a", "b\\u0000"]\ncwd = "\\u0000{run.time}"\n') == [
        f"tree.toml:2: workers.a.command[1]: {said}",
        f"tree.toml:3: workers.a.cwd: {said}",
    ]
    assert bad('[workers.a]\ncommand = "a \\u0000"\n') == [
        "tree.toml:2: workers.a.command: holds a NUL character, which no program argument may"
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("umask = '9'", 'umask: must be octal digits in quotes, as in "022", not "9"'),
        ("stop_signal = 'TREM'", 'stop_signal: "TREM" is no signal here (did you mean "TERM"?)'),
        ("stop_signal = 15", 'stop_signal: must be a signal, as in "TERM", not 15'),
        ("success = [256]", 'success[0]: must be an exit status from 0 to 255 or a signal, as in "TERM", not 256'),
        ("limits = { nofle = 1 }", 'limits.nofle: is no limit of this system (did you mean "nofile"?)'),
        ("limits = { nofile = [2, 1] }", "limits.nofile: the soft limit, which comes first, must not be above the hard one"),
        ("outcome = { 300 = 'x' }", ("outcome.300: names no outcome: write a status from 0 to 255, SIGTERM and the like,"
         " timeout or other")),
        ("user = 'nobodyy'", 'user: there is no user "nobodyy" on this machine (did you mean "nobody"?)'),
        ("group = 'no-such-group'", 'group: there is no group "no-such-group" on this machine'),
        ("run = 'x:y'", "has `command` and `run`: write exactly one of command, run, use"),
        ("needs = { b = 'ready' }", 'needs.b: there is no worker or supervisor "b"'),
        ("recover = 'r'", "recover: there is no [recover.r]"),
        ("cpu_max = 0", "cpu_max: must be a number, more than 0, at most 10000, not 0"),
        ("log = 'x.log'", ('log: must be a table: { file, stderr, max_size, keep, max_age, on_full }, not "x.log":'
         ' write { file = "x.log" }')),
        ("log = { max_sise = 1 }", 'log.max_sise: unknown key (did you mean "max_size"?)'),
        ("backoff = { frist = 1 }", 'backoff.frist: unknown key (did you mean "first"?)'),
        ("preload = 'x'", "preload: goes with `run` and `use`, not with `command`"),
        ("env = 3", "env: must be a table: NAME = string | integer | { file = path } | { command = program } | false, not 3"),
        ("env = { A = { fil = 'x' } }", 'env.A.fil: unknown key (did you mean "file"?)'),
        ("env = { A = {} }", "env.A: must have exactly one of `file` and `command`"),
        ("env = { 'A=' = 'x' }", 'env."A=": is no name of a variable'),
        ("enabled = 'x'", 'enabled: must be true or false, not "x"'),
        ("ready = { heartbeat = '9s' }", "ready.heartbeat: must be true in `ready`"),
        ("health = { notify = true }", 'health.notify: must be a duration in `health`, the longest silence, as in "90s"'),
        ("require = { output = 'x' }", ("require.output: nothing has run before `require` is asked: use it in `ready`,"
         " `health` or `verify`")),
        ("ready = { file = 'x', then = 'hold' }", "ready.then: goes with `health` only"),
        ("ready = { file = 'x', body = 'y' }", "ready.body: goes with `http`, not with `file`"),
        ("ready = { file = 'x', changes = '1s' }", "ready.changes: needs `key`, the value that must change"),
        ("ready = 'x'", 'ready: must be a table, { key = value, … }, not "x"'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(bad: Bad, line: str, said: str) -> None:
    at = "workers.a: " if said.startswith("has") else "workers.a."
    number = 1 if said.startswith("has") else 3
    assert bad(f"[workers.a]\ncommand = 'true'\n{line}\n") == [f"tree.toml:{number}: {at}{said}"]


def test_a_retention_that_would_remove_everything_is_refused(bad: Bad, good: Good) -> None:
    said = "would remove every file that matches: write `max_age`, or how many to `keep`"
    for more in ("", "keep = 0\n"):
        assert bad(f'[retention.models]\nfiles = "*.bin"\n{more}') == [f"tree.toml:1: retention.models: {said}"]
    for more in ('max_age = "7d"', "keep = 3"):
        assert good(f'[retention.models]\nfiles = "*.bin"\n{more}\n').retention["models"].files


def test_urls_of_alerts_need_the_library(bad: Bad, good: Good, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[alerts]\nurls = ['json://127.0.0.1/x']\n"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert bad(text) == [
        "tree.toml:2: alerts.urls: needs the library apprise: python -m pip install 'supervisor-tree[notify]'"
    ]
    assert good("[alerts]\ncommand = 'true'\n").alerts.command == ("true",)
