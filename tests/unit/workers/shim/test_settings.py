"""The arguments of a shim: the words of the tree file's probes, and every mistake said at once."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_tree.workers.args import ArgsError
from supervisor_tree.workers.shim.settings import Settings


def wrong(**args: Any) -> list[str]:
    with pytest.raises(ArgsError) as caught:
        Settings(args)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("args.") for line in lines)
    return [line.removeprefix("args.") for line in lines]


def test_a_command_alone_is_enough() -> None:
    settings = Settings({"command": "bin/server --name 'two words'"})
    assert settings.command == ("bin/server", "--name", "two words")
    assert settings.watches == []
    assert Settings({"command": ["a", "b c"]}).command == ("a", "b c")
    assert Settings({"command": "a | b", "shell": True}).command == ("/bin/sh", "-c", "a | b")


def test_everything_that_can_be_watched() -> None:
    settings = Settings(
        {
            "command": "bot",
            "watch": [
                {"output": "cycle [0-9]+", "fresh": "2m"},
                {"file": "state/bot.json", "key": "iter_count", "changes": "180s"},
                {"file": "stop", "exists": False, "status": "STOPPED"},
                {"http": "http://127.0.0.1:8081/health", "code": [200, "3xx"], "every": "60s", "timeout": 10},
                {"tcp": "[::1]:80"},
                {"unix": "~/bot.sock"},
            ],
        }
    )
    assert [watch.name for watch in settings.watches] == [
        'output "cycle [0-9]+"',
        "state/bot.json",
        "stop",
        "http://127.0.0.1:8081/health",
        "tcp ::1:80",
        "unix ~/bot.sock",
    ]
    assert [(asked.every, asked.timeout) for asked in settings.asked] == [(60, 10), (10, 5), (10, 5)]
    assert settings.files[1].status == "STOPPED"


def test_one_watch_is_a_list_of_one() -> None:
    assert len(Settings({"command": "x", "watch": {"file": "a"}}).watches) == 1


def test_every_mistake_is_said_at_once() -> None:
    assert wrong(
        comand="x",
        file="state.json",
        watch=[
            {"file": "a", "fresh": "2 minutes", "changes": "1s"},
            {"tcp": "localhost"},
            {"http": "localhost:80", "every": 0},
            {"output": "(", "timeout": "1s"},
            {"fresh": "1m"},
            {"file": "a", "unix": "b"},
            "file",
            {"http": "http://x/", "code": 1000, "key": "a["},
            {"file": "a", "exists": False, "fresh": "1m"},
        ],
    ) == [
        "comand: unknown; there are command, shell and watch",
        "file: goes into `watch`, as in watch = { file = … }",
        'command: is missing: what to run, as in command = "bin/server --port 80"',
        'watch[0].fresh: must be a duration longer than 0, as in "2m" (ms s m h d w)',
        "watch[0].changes: needs `key`, the value that must change",
        "watch[1].tcp: must be an address, HOST:PORT",
        'watch[2].http: "localhost:80" is no URL of HTTP',
        'watch[2].every: must be a duration longer than 0, as in "2m" (ms s m h d w)',
        "watch[3].timeout: does not go with `output`: there are fresh, output, status",
        "watch[3].output: is no regular expression: missing ), unterminated subpattern at position 0",
        "watch[4]: watches nothing: give exactly one of output, file, http, tcp, unix",
        "watch[5]: has `file` and `unix`: give exactly one of output, file, http, tcp, unix",
        'watch[6]: must be a table, as in { file = "state.json", fresh = "2m" }',
        'watch[7].key: "a[" is no JSON path: write names with dots and places in brackets, as in "jobs[0].id"',
        'watch[7].code: must be statuses of HTTP: 200, "2xx", or a list',
        "watch[8].exists: a file that must not be there can't be fresh or have a key",
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"command": ""}, "command: must be a string or a list of strings, not empty"),
        ({"command": []}, "command: must be a string or a list of strings, not empty"),
        ({"command": ["a", 1]}, "command: must be a string or a list of strings, not empty"),
        ({"command": ["a"], "shell": True}, "command: must be one string for `shell = true`"),
        ({"command": "a 'b"}, "command: No closing quotation"),
        ({"command": "a", "shell": "yes"}, "shell: must be true or false"),
    ],
)
def test_a_command_that_is_none(args: dict[str, Any], said: str) -> None:
    assert wrong(**args) == [said]
