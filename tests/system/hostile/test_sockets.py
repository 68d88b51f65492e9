"""Garbage, truncated, oversize and forged messages to the control and stream sockets of a running tree."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psutil
import pytest
import zmq

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import PATIENCE, eventually

TWO = """
    [workers.a]
    command = "sleep 1000"
    backoff = "0s"
    [workers.b]
    command = "sh -c 'while :; do echo tick; sleep 0.1; done'"
"""
GREETING = bytes([0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1]) + b"NULL".ljust(20, b"\0") + bytes(32)
"""Of ZMTP 3.1: signature, version, mechanism, as server, filler."""
MOST_GROWN = 24 * 1024 * 1024
"""Bytes by which the root's memory may have grown after an attack."""


@pytest.fixture
def besieged(tree: MakeTree, request: pytest.FixtureRequest) -> Iterator[Tree]:
    """A tree that must be as it was after the test: same root, same workers, quick answers, little more memory (bytes:
    the parameter, where one is given)."""
    t = tree(TWO)
    t.wait("a", "b")
    root, pids = t.root_pid(), t.pids()
    process = psutil.Process(root)
    before = process.memory_info().rss
    yield t
    assert t.root_pid() == root
    assert t.pids() == pids
    assert process.memory_info().rss - before < getattr(request, "param", MOST_GROWN)
    eventually(lambda: answer_takes(t) < 0.2, "answers are quick")
    t.kill(pids["a"])
    t.wait_until("a", state="running", restarts=1)
    assert not t.events("internal_error")


def answer_takes(t: Tree) -> float:
    """Seconds."""
    began = time.monotonic()
    t.status()
    return time.monotonic() - began


def sockets(t: Tree) -> list[str]:
    """Control, stream and heartbeat."""
    return [str(t.run_dir / name) for name in ("control/control", "control/stream", f"u-{os.getuid()}/heartbeat")]


def raw(path: str, timeout: float = 5.0) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)  # blocking: with a timeout a full backlog would be an error
    connection.settimeout(timeout)
    return connection


def push(path: str, data: bytes, greeted_as: bytes | None = None) -> None:
    """Bytes down a raw connection, after a handshake where ``greeted_as`` says so; it may hang up on us any time."""
    with greeted(path, greeted_as) if greeted_as else raw(path) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except OSError:
            pass


def greeted(path: str, kind: bytes, timeout: float = 5.0) -> socket.socket:
    """A connection whose handshake is over: what follows are messages."""
    connection = raw(path, timeout)
    connection.sendall(GREETING + ready(kind))
    got = b""
    while b"Socket-Type" not in got:
        got += connection.recv(4096)
    return connection


def frame(body: bytes, flags: int = 0) -> bytes:
    """One ZMTP frame (flags: 1 more, 2 long, 4 command)."""
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | 2]) + struct.pack(">Q", len(body)) + body


def ready(kind: bytes = b"DEALER") -> bytes:
    return frame(b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind, 4)


def test_bytes_that_are_no_zmtp(besieged: Tree) -> None:
    dice = random.Random(1)
    for path in sockets(besieged):
        push(path, b"")
        push(path, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        for size in (1, 9, 10, 11, 63, 64, 65, 1000, 100_000):
            push(path, dice.randbytes(size))
            push(path, b"\xff" * size)


def test_handshakes_that_go_wrong(besieged: Tree) -> None:
    dice = random.Random(2)
    for path in sockets(besieged):
        push(path, GREETING[:20])
        push(path, GREETING)
        push(path, GREETING.replace(b"NULL", b"CURV"))
        push(path, GREETING[:10] + b"\x09" + GREETING[11:])
        push(path, GREETING + frame(b"\x05READY" + b"\xff" * 40, 4))
        push(path, GREETING + frame(b"\x05READY\x0bSocket-Type\xff\xff\xff\xff", 4))
        push(path, GREETING + ready(b"NOTHING"))
        push(path, GREETING + ready(b"PUB"))
        push(path, GREETING + ready() + frame(b"too early"))
        for _ in range(20):
            whole = bytearray(GREETING + ready() + frame(dice.randbytes(300)))
            whole[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
            push(path, bytes(whole[: dice.randrange(len(whole))]))
            push(path, bytes(whole))


def test_oversize_and_split_messages(besieged: Tree) -> None:
    for path, kind in zip(sockets(besieged), (b"DEALER", b"SUB", b"DEALER"), strict=True):
        push(path, frame(b"x" * 10_000_000), kind)
        push(path, bytes([2]) + struct.pack(">Q", 2**63 + 5), kind)
        push(path, bytes([2]) + struct.pack(">Q", 2**40) + b"x" * 100_000, kind)
        push(path, bytes([0xFF, 10]) + b"x" * 10, kind)
        push(path, b"".join(frame(b"part", 1) for _ in range(20_000)), kind)
        push(path, frame(b'{"v":1,"id"', 1), kind)
        push(path, frame(b"x" * 500_000)[:-1], kind)
        push(path, frame(b"\x04PING" + b"\xff" * 60_000, 4), kind)
        push(path, frame(b"\x09SUBSCRIBE" + b"\xff" * 60_000, 4), kind)


REQUEST: dict[str, Any] = {"v": 1, "id": "0" * 32, "command": "status", "args": {}, "by": "x"}
NO_REQUESTS: list[bytes] = [
    b"",
    b"\0",
    b"null",
    b"[]",
    b"{}",
    b"1e999",
    b'"' + b"\xff" * 10 + b'"',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    json.dumps({**REQUEST, "v": 2}).encode(),
    json.dumps({**REQUEST, "v": "1"}).encode(),
    json.dumps({**REQUEST, "id": "short"}).encode(),
    json.dumps({**REQUEST, "id": "G" * 32}).encode(),
    json.dumps({**REQUEST, "id": "0" * 32 + "\n"}).encode(),
    json.dumps({**REQUEST, "id": 7}).encode(),
    json.dumps({**REQUEST, "args": []}).encode(),
    json.dumps({**REQUEST, "command": None}).encode(),
    json.dumps({**REQUEST, "by": {"who": "x"}}).encode(),
    json.dumps(REQUEST).encode()[:-5],
    json.dumps(REQUEST).encode() * 2,
]


def test_what_is_no_request_is_dropped_and_counted(besieged: Tree) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.connect(f"ipc://{sockets(besieged)[0]}")
        for data in NO_REQUESTS:
            client.send(data)
            client.send_multipart([b"", data])
            client.send_multipart([data, b"x", data])
        eventually(
            lambda: besieged.status()["dropped"].get("requests", 0) == 3 * len(NO_REQUESTS),
            lambda: f"all are counted: {besieged.status()['dropped']}",
        )
        assert not client.poll(300)


def ask_raw(client: zmq.Socket[bytes], command: Any, args: Any, **more: Any) -> dict[str, Any]:
    """The answer to one request as it is on the wire; items and acks are passed over."""
    request = uuid.uuid4().hex
    client.send(json.dumps({"v": 1, "id": request, "command": command, "args": args, "by": "x", **more}).encode())
    while True:
        assert client.poll(int(PATIENCE * 1000)), f"no answer to {command} {args}"
        reply: dict[str, Any] = json.loads(client.recv())
        if reply["id"] == request and reply["kind"] in ("end", "error"):
            return reply


WRONG_ARGS: list[dict[str, Any]] = [
    {"names": 7},
    {"names": [7]},
    {"names": {"a": 1}},
    {"names": ["no-such-worker"]},
    {"names": ["../../etc/passwd", "\0", "a" * 100_000]},
    {"names": []},
    {"signal": 7, "names": ["a"]},
    {"signal": "NOPE", "names": ["a"]},
    {"timeout": "soon", "for": "running"},
    {"timeout": -1, "for": "running", "names": ["a"]},
    {"timeout": 1e308, "for": "nonsense"},
    {"for": ["running"]},
    {"since": "yesterday"},
    {"since": -1e308, "n": -5},
    {"n": 1e300},
    {"after_seq": {}},
    {"type": 3},
    {"toml": 5},
    {"toml": "[workers.x]\ncommand = 'x'\n" * 2},
    {"toml": "[" * 10_000},
    {"supervisor": "a", "instance": "b"},
    {"supervisor": 3},
    {"operation": ""},
    {"operation": "zz"},
    {"reason": ["x"], "names": ["b"]},
]
COMMANDS = (
    *("tree", "why", "describe", "signal", "reload_names", "events", "wait", "add", "remove", "cancel"),
    *("logs_info", "exec_info", "nonsense", "__class__", "status"),
)


def test_wrong_arguments_get_an_error_each(besieged: Tree) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.connect(f"ipc://{sockets(besieged)[0]}")
        for command in COMMANDS:
            for args in WRONG_ARGS:
                reply = ask_raw(client, command, args)
                if reply["kind"] == "error":
                    assert reply["code"] != "internal", (command, args, reply)
                    assert reply["message"]
        for command in ("start", "stop", "restart", "hold", "release"):
            for args in WRONG_ARGS[:6]:
                reply = ask_raw(client, command, args)
                assert reply["kind"] == "error", (command, args, reply)
                assert reply["code"] in ("usage", "no_such_name"), reply
    assert besieged.pids()


def test_a_flood_of_garbage_delays_nobody(besieged: Tree) -> None:
    with zmq.Context() as context, ExitStack() as stack:
        clients = [stack.enter_context(context.socket(zmq.DEALER)) for _ in range(4)]
        for client in clients:
            client.linger = 0
            client.sndhwm = 0
            client.connect(f"ipc://{sockets(besieged)[0]}")
        for _ in range(5000):
            for client in clients:
                client.send(b"x" * 200)
        assert answer_takes(besieged) < 5
        eventually(lambda: besieged.status()["dropped"].get("requests", 0) == 20_000, "all of it is counted")


def test_clients_that_ask_and_never_read(besieged: Tree) -> None:
    """Raw, so that no library reads for them: the answers have nowhere to go."""
    path = sockets(besieged)[0]
    with ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(greeted(path, b"DEALER", 1.0))
            for number in range(3000):
                request = {"v": 1, "id": f"{number:032x}", "command": "status", "args": {}, "by": "x"}
                try:
                    connection.sendall(frame(json.dumps(request).encode()))
                except TimeoutError:
                    break
        assert answer_takes(besieged) < 5


# A thousand operations stay, and however many of the requests and answers were there at once: 7 to 23 MB were seen.
@pytest.mark.parametrize("besieged", [2 * MOST_GROWN], indirect=True)
def test_waits_and_operations_without_end(besieged: Tree) -> None:
    """Each is remembered by the root, so there is a most of them; and long reasons are cut."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.sndhwm = 0
        client.connect(f"ipc://{sockets(besieged)[0]}")
        for number in range(1400):
            wait = number < 300
            args = {"names": ["a"], "for": "failed"} if wait else {"names": ["b"], "reason": "x" * 9000}
            request = {"v": 1, "id": f"{number:032x}", "command": "wait" if wait else "hold", "args": args}
            client.send(json.dumps(request).encode())
        besieged.wait_until("b", hold=lambda hold: hold is not None and len(hold["reason"]) == 2000)
        eventually(lambda: len(besieged.ask("ops")) >= 1000, "they were all looked at")
    assert len(besieged.ask("ops")) <= 1001
    assert besieged.ask("release", names=["b"])["state"] == "done"
    besieged.wait("a")


def test_slow_and_silent_connections(besieged: Tree) -> None:
    """A thousand that say nothing, or a byte now and then: each is hung up on, nobody else waits."""
    with ExitStack() as stack:
        connections = [stack.enter_context(raw(path)) for path in sockets(besieged) for _ in range(300)]
        for number, connection in enumerate(connections):
            connection.send(GREETING[: number % 12])
        process = psutil.Process(besieged.root_pid())
        # libzmq gives a handshake 2 s: the answer comes before the last of them is hung up on.
        assert answer_takes(besieged) < 1.5 or process.num_fds() >= 100
        eventually(lambda: process.num_fds() < 100, "they are hung up on")


def test_more_connections_than_there_are_descriptors(tree: MakeTree) -> None:
    """The root runs out of descriptors: that costs the clients, not the tree."""
    import resource

    t = tree(TWO, start=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        t.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    t.wait("a", "b")
    root, pids = t.root_pid(), t.pids()
    limit = psutil.Process(root).rlimit(psutil.RLIMIT_NOFILE)[0]
    with ExitStack() as stack:
        for _ in range(min(limit, 2000) + 50):
            connection = socket.socket(socket.AF_UNIX)
            stack.enter_context(connection)
            connection.setblocking(False)
            try:
                connection.connect(sockets(t)[0])
            except BlockingIOError:
                break  # the backlog is full: the root accepts no more
        t.kill(pids["a"])
        eventually(lambda: len(t.journal("child_started", "a")) == 2, "a is restarted meanwhile")
    t.wait_until("a", state="running", restarts=1)
    assert t.root_pid() == root


def test_forged_subscriptions(besieged: Tree) -> None:
    stream = sockets(besieged)[1]
    with zmq.Context() as context, ExitStack() as stack:
        subscriber = stack.enter_context(context.socket(zmq.SUB))
        subscriber.linger = 0
        subscriber.sndhwm = 0  # else libzmq drops subscriptions beyond a thousand, on our side
        subscriber.connect(f"ipc://{stream}")
        for number in range(5000):
            subscriber.subscribe(b"event." + str(number).encode() * 20)
        push(stream, b"".join(frame(bytes([n % 256]) + b"x" * n) for n in range(200)), b"SUB")
        subscriber.subscribe(b"event.asked_for ")

        def heard() -> bool:
            besieged.ask("signal", signal="CONT", names=["a"])
            return bool(subscriber.poll(100))

        eventually(heard, "subscribers are served")


def test_sockets_deleted_under_it(tree: MakeTree) -> None:
    t = tree(TWO)
    t.wait("a", "b")
    root, pids = t.root_pid(), t.pids()
    for path in sockets(t):
        os.unlink(path)
    eventually(lambda: all(os.path.exists(path) for path in sockets(t)), "bound anew")
    assert t.root_pid() == root
    assert t.pids() == pids


def test_the_run_directory_deleted_under_it(tree: MakeTree) -> None:
    import shutil

    t = tree(TWO)
    t.wait("a", "b")
    root, pids, run_dir = t.root_pid(), t.pids(), t.run_dir
    shutil.rmtree(run_dir)
    eventually((run_dir / "control" / "control").exists, "made anew")
    eventually((run_dir / "run.json").exists, "so is what tells of it")
    assert t.root_pid() == root
    assert t.pids() == pids
    assert (run_dir.stat().st_mode & 0o777, (run_dir / "control").stat().st_mode & 0o777) == (0o700, 0o700)
    assert json.loads((run_dir / "run.json").read_text())["id"] == t.run_json()["id"]
