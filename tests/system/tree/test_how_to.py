"""The programs in docs/how-to that speak for themselves, and those that are watched, do what is said of them."""

from __future__ import annotations

import re
import shutil
import sys

import pytest

from tests.conftest import MakeTree
from tests.support.ports import free_port
from tests.support.tree import REPOSITORY
from tests.support.waiting import eventually

pytestmark = pytest.mark.same

HOW_TO = REPOSITORY / "docs" / "how-to"


def block(page: str, language: str, number: int = 0) -> str:
    text = (HOW_TO / page).read_text()
    return str(re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[number])


SPEAKS = """
    [workers.speaker]
    command = "{command}"
    ready = {{ heartbeat = true }}
    health = {{ heartbeat = "90s" }}
"""


def test_a_shell_script_says_how_it_is(tree: MakeTree) -> None:
    first, rest = block("signs-of-life.md", "sh").split("\n", 1)
    around = 'PATH=$PWD:$PATH\nload_everything() { :; }\nhandle() { echo "$1"; }\nexec <lines\n'
    t = tree(SPEAKS.format(command="./speaker"), start=False)
    (t.dir / "lines").write_text("one\ntwo\n")
    (t.dir / "speaker").write_text(f"{first}\n{around}{rest}exec sleep 1000\n")
    (t.dir / "supervisor-tree").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m supervisor_tree "$@"\n')
    for name in ("speaker", "supervisor-tree"):
        (t.dir / name).chmod(0o755)
    t.start()
    t.wait_until("speaker", ready=True, status="line 2")
    eventually(lambda: len(t.journal("activity", "speaker")) == 2, "both are in the journal")
    done = t.journal("activity", "speaker")
    assert [(line["activity"], line["fields"]) for line in done] == [("LINE_DONE", {"lines": n}) for n in (1, 2)]
    eventually(lambda: t.log("speaker") == "one\ntwo\n", lambda: f"both lines are in its log: {t.log('speaker')!r}")


def test_a_program_in_node_says_how_it_is(tree: MakeTree) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not here: on Debian, apt-get install nodejs")
    around = """
        import http from "node:http";
        const app = http.createServer();
        async function* posts() { yield { id: 1 }; yield { id: 2 }; }
        const publish = async (post) => post;
        const reload = (args) => "reloaded";
    """
    program = block("signs-of-life.md", "js").replace("8080", "0")
    t = tree(SPEAKS.format(command="node speaker.mjs"), start=False)
    shutil.copy(REPOSITORY / "supervisor_tree" / "ipc" / "clients" / "heartbeat.mjs", t.dir)
    (t.dir / "speaker.mjs").write_text(around + program)
    t.start()
    t.wait_until("speaker", ready=True, status="2 published")
    assert "speaker: told to reload" in t.ctl("reload", "speaker")
    t.ctl("stop", "speaker")
    assert t.child("speaker")["last_exit"]["code"] == 0  # it was told, and ended by itself


def test_a_program_that_says_nothing_is_watched(tree: MakeTree) -> None:
    port = free_port()
    t = tree(block("watch-a-program.md", "toml").replace(":8081", f":{port}"), start=False)
    (t.dir / "venv" / "bin").mkdir(parents=True)
    (t.dir / "venv" / "bin" / "python").symlink_to(sys.executable)
    (t.dir / "state").mkdir()
    (t.dir / "main.py").write_text(f"""
import http.server, json, pathlib

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

pathlib.Path("state/bot.json").write_text(json.dumps({{"iter_count": 1}}))
http.server.HTTPServer(("127.0.0.1", {port}), Health).serve_forever()
""")
    t.start()
    t.wait_until("trading-bot", ready=True)


def test_a_class_that_watches(tree: MakeTree) -> None:
    t = tree(f'[workers.bot]\nrun = "bots:Bot"\nargs = {{ port = {free_port()} }}\n', start=False)
    (t.dir / "bots.py").write_text(block("watch-a-program.md", "python") + "\n\ndef quota_left():\n    return True\n")
    (t.dir / "bin").mkdir()
    (t.dir / "bin" / "bot").write_text('#!/bin/sh\nexec python3 -m http.server --bind 127.0.0.1 "${1#--port=}"\n')
    (t.dir / "bin" / "bot").chmod(0o755)
    t.start()
    t.wait_until("bot", ready=True)
