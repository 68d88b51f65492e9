"""The golden conversations (tests/golden/heartbeat), with libzmq at one end and one of ours at the other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from supervisor_tree.ipc import heartbeat as wire
from tests.conftest import MakeTree
from tests.support.reading import environment
from tests.support.tree import REPOSITORY, Tree, clean_environment
from tests.support.waiting import PATIENCE

HERE = Path(__file__).parent
GOLDEN = sorted((REPOSITORY / "tests" / "golden" / "heartbeat").glob("*.jsonl"))
CLIENT = REPOSITORY / "supervisor_tree" / "ipc" / "clients" / "heartbeat.mjs"

Step = dict[str, Any]


def golden(side: str) -> list[Any]:
    """The conversations that are for this side."""
    return [pytest.param(file, id=file.stem) for file in GOLDEN if side in _with(file)]


def _with(file: Path) -> list[str]:
    about = json.loads(file.read_text().splitlines()[0])
    sides: list[str] = about.get("with", ["root", "clients"])
    return sides


def steps(file: Path, side: str) -> list[Step]:
    """One conversation, as it is for this side."""
    found = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    return [step for step in found if step.get("only", side) == side]


def fits(wanted: Any, said: Any, known: dict[str, Any]) -> bool:
    """Whether what was said is what is wanted: every field that is wanted; others may be there."""
    if isinstance(wanted, str) and wanted.startswith("$"):
        if wanted in known:
            return bool(said == known[wanted])
        return {
            "$number": isinstance(said, int | float) and not isinstance(said, bool),
            "$text": isinstance(said, str) and said != "",
            "$any": True,
        }[wanted]
    if isinstance(wanted, dict):
        return isinstance(said, dict) and all(
            key in said and fits(value, said[key], known) for key, value in wanted.items()
        )
    return bool(wanted == said)


def filled(message: Any, known: dict[str, Any]) -> Any:
    if isinstance(message, dict):
        return {key: filled(value, known) for key, value in message.items()}
    return {**known, "$number": 1, "$text": "words", "$any": None}.get(message, message) if _word(message) else message


def _word(message: Any) -> bool:
    return isinstance(message, str) and message.startswith("$")


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_every_message_is_one_of_the_channels(file: Path) -> None:
    """As the root's own structs have them, fields and all."""
    known = {"$NAME": "a", "$INCARNATION": 1, "$TOKEN": "t"}
    for line in file.read_text().splitlines()[1:]:
        step = json.loads(line)
        for side, union in (("up", wire.Up), ("down", wire.Down)):
            message = filled(step.get(side), known)
            if message is None or message["type"] == "weather":
                continue
            decoded = msgspec.json.decode(json.dumps(message), type=union)
            fields = {field.encode_name for field in msgspec.structs.fields(decoded)} | {"type", "weather"}
            assert set(message) <= fields


def test_the_document_shows_messages_that_are_some() -> None:
    text = (REPOSITORY / "docs" / "heartbeat-protocol.md").read_text()
    shown = [line for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    types = set()
    for line in shown:
        message = msgspec.json.decode(line)
        types.add(message["type"])
        decoded = msgspec.json.decode(line, type=wire.Up if message["type"] in _tags(wire.Up) else wire.Down)
        assert set(message) == {"type"} | {
            field.encode_name for field in msgspec.structs.fields(decoded) if field.encode_name != "passing"
        }
    assert types == _tags(wire.Up) | _tags(wire.Down)


def _tags(union: Any) -> set[str]:
    return {each.__struct_config__.tag for each in typing.get_args(union)}


# --- against the root

TREE = """
    [workers.a]
    command = "env > said.new; mv said.new said; exec sleep 1000"
    shell = true
    ready = { heartbeat = true }
    health = { heartbeat = "60s" }
"""


class Worker:
    """libzmq's DEALER in the place of a worker."""

    def __init__(self, t: Tree, context: zmq.Context[Any]) -> None:
        said = environment(t.dir / "said")
        self.known = {
            "$NAME": said["SUPERVISOR_TREE_NAME"],
            "$INCARNATION": int(said["SUPERVISOR_TREE_INCARNATION"]),
            "$TOKEN": said["SUPERVISOR_TREE_TOKEN"],
        }
        self._tree = t
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(said["SUPERVISOR_TREE_ENDPOINT"])

    def up(self, message: Step) -> None:
        self.socket.send(json.dumps(filled(message, self.known)).encode())

    def down(self, message: Step) -> None:
        assert self.socket.poll(int(PATIENCE * 1000)), f"the root did not say {message}"
        said = json.loads(self.socket.recv())
        assert fits(message, said, self.known), f"it said {said}, not {message}"
        assert message.keys() == said.keys()

    def do(self, step: Step) -> None:
        if step["do"] == "who":
            # Another root does not know us. libzmq finds it by itself, and does not say so.
            root = self._tree.root_pid()
            self._tree.kill(root)
            self._tree.wait_new_root(root)
            self.up({"type": "beat", "seq": 1, "age": 0.0})
        elif step["do"] in ("reload", "stop"):
            self._tree.spawn("ctl", step["do"], "a")


@pytest.mark.parametrize("file", golden("root"))
def test_against_the_root(tree: MakeTree, file: Path) -> None:
    conversation = steps(file, "root")
    t = tree(TREE)
    with zmq.Context() as context:
        worker = Worker(t, context)
        for step in conversation:
            if "up" in step:
                worker.up(step["up"])
            elif "down" in step:
                worker.down(step["down"])
            elif "do" in step:
                worker.do(step)
            else:
                t.wait_until("a", **step["seen"])
        worker.socket.close()


# --- against the clients


class Client:
    """One of our clients, and libzmq's ROUTER in the place of its root."""

    def __init__(self, folder: Path, argv: list[str], context: zmq.Context[Any]) -> None:
        self.known: dict[str, Any] = {"$NAME": "a", "$INCARNATION": 3, "$TOKEN": "0123456789abcdef" * 2}
        path = folder / "heartbeat"
        endpoint = f"ipc://{path}"
        assert len(str(path)) < 100
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(endpoint)
        self.route = b""
        environment = {
            "SUPERVISOR_TREE_ENDPOINT": endpoint,
            "SUPERVISOR_TREE_NAME": "a",
            "SUPERVISOR_TREE_INCARNATION": "3",
            "SUPERVISOR_TREE_TOKEN": self.known["$TOKEN"],
        }
        self.process = subprocess.Popen(
            argv, cwd=HERE, env=clean_environment(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.socket.close()

    def up(self, message: Step) -> None:
        """Beats that its loop makes by itself may come before."""
        end = time.monotonic() + PATIENCE
        said: list[Any] = []
        while self.socket.poll(max(1, int((end - time.monotonic()) * 1000))) and time.monotonic() < end:
            self.route, data = self.socket.recv_multipart()
            said.append(json.loads(data))
            wire.decode(data)
            if fits(message, said[-1], self.known):
                return
            if said[-1]["type"] != "beat":
                break
        raise AssertionError(f"it said {said}, not {message}")

    def down(self, message: Step) -> None:
        self.socket.send_multipart([self.route, json.dumps(filled(message, self.known)).encode()])

    def do(self, step: Step) -> None:
        if step["do"] in ("who", "stop", "reload"):
            return  # the root's turn
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(step).encode() + b"\n")
        self.process.stdin.flush()


def _argv(kind: str) -> list[str]:
    if kind == "node":
        node = shutil.which("node")
        if node is None:
            pytest.skip("node is not here: on Debian, apt-get install nodejs")
        return [node, str(HERE / "speaker.mjs"), str(CLIENT)]
    return [sys.executable, "-m", "supervisor_tree.workers", "speaker:Speaker"]


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    with zmq.Context() as made:
        yield made


@pytest.mark.parametrize("kind", ["node", "python"])
@pytest.mark.parametrize("file", golden("clients"))
def test_against_a_client(tmp_path: Path, context: zmq.Context[Any], file: Path, kind: str) -> None:
    conversation = steps(file, "clients")
    client = Client(tmp_path, _argv(kind), context)
    try:
        for step in conversation:
            if "up" in step:
                client.up(step["up"])
            elif "down" in step:
                client.down(step["down"])
            elif "do" in step:
                client.do(step)
    finally:
        client.close()


def test_against_the_command_line(tmp_path: Path, context: zmq.Context[Any]) -> None:
    words = ["--ready", "--status", "page 3", "--activity", "POST_SUCCESS", "done=3"]
    client = Client(tmp_path, [sys.executable, "-m", "supervisor_tree", "beat", *words], context)
    try:
        for step in steps(next(file for file in GOLDEN if file.stem == "passing"), "command line"):
            if "up" in step:
                client.up(step["up"])
            elif "down" in step:
                client.down(step["down"])
        assert client.process.wait(PATIENCE) == 0
    finally:
        client.close()


def test_nothing_is_left_out() -> None:
    """Every type of message is in one of the conversations."""
    seen = set()
    for file in GOLDEN:
        for line in file.read_text().splitlines():
            step = json.loads(line)
            seen |= {step[side]["type"] for side in ("up", "down") if side in step}
    assert _tags(wire.Up) | _tags(wire.Down) <= seen
