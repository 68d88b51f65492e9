"""Speaks for many workers at once: a connection of ZMTP for each, hello with its own token, one beat a second.

``python -m benchmarks.beating PIDS SECONDS``: PIDS is a file that names the processes whose environment says who they
are. Prints a line of JSON when all are known to the root (``{"connected": …}``), and one at the end (``{"sent": …}``).
It writes what a worker's harness writes, and never waits with a beat: of a root that is too slow, some are held back.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import sys
import time
from pathlib import Path

_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
_COMMAND = 4
_LONG = 2
_WELCOME = b'"welcome"'
_PATIENCE = 60.0
_STEP = 0.01
"""Seconds between two turns: in each a hundredth of all beat."""


class Speaker:
    """One worker."""

    def __init__(self, pid: int) -> None:
        """Connect and say hello. Raises OSError when nobody takes connections."""
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        told = dict(entry.split(b"=", 1) for entry in entries if entry.startswith(b"SUPERVISOR_TREE_"))
        hello = {
            "type": "hello",
            "protocol": 1,
            "name": told[b"SUPERVISOR_TREE_NAME"].decode(),
            "incarnation": int(told[b"SUPERVISOR_TREE_INCARNATION"]),
            "token": told[b"SUPERVISOR_TREE_TOKEN"].decode(),
            "pid": pid,
            "interval": 1.0,
            "ready": True,
            "status": "simulated",
            "dump": None,
        }
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(_PATIENCE)  # a queue of connections that is full is waited for
        self.socket.connect(told[b"SUPERVISOR_TREE_ENDPOINT"].decode().removeprefix("ipc://"))
        ready = bytes((_COMMAND, len(_READY))) + _READY
        self.socket.sendall(_GREETING + ready)
        heard = b""
        while b"READY" not in heard:  # a message before the other side's would be against the protocol
            heard += self.socket.recv(4096)
        self.socket.sendall(_frame(json.dumps(hello).encode()))
        self.socket.setblocking(False)
        self.heard = b""
        self.seq = 0

    def beat(self, age: float) -> bool:
        """False: the kernel holds so much that the root has not read that no more goes in."""
        self.seq += 1
        body = b'{"type":"beat","seq":%d,"age":%.6f,"status":null,"detail":null,"fields":{"n":%d}}'
        try:
            self.socket.send(_frame(body % (self.seq, age, self.seq)))
        except BlockingIOError:
            self.seq -= 1
            return False
        return True


def _frame(body: bytes) -> bytes:
    if len(body) < 256:
        return bytes((0, len(body))) + body
    return bytes((_LONG,)) + len(body).to_bytes(8, "big") + body


def main() -> int:
    pids, seconds = json.loads(Path(sys.argv[1]).read_text()), float(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    begin = time.monotonic()
    speakers = [Speaker(pid) for pid in pids]
    _wait_for_welcomes(speakers)
    print(json.dumps({"connected": len(speakers), "seconds": time.monotonic() - begin}), flush=True)
    held_back, late = _beat(speakers, seconds)
    sent = sum(speaker.seq for speaker in speakers)
    usage = os.times()
    cpu = usage.user + usage.system
    print(json.dumps({"sent": sent, "held_back": held_back, "late": late, "cpu": cpu}), flush=True)
    sys.stdin.read()  # connections stay until whoever measures has looked
    return 0


def _wait_for_welcomes(speakers: list[Speaker]) -> None:
    poll = select.epoll()
    by_descriptor = {speaker.socket.fileno(): speaker for speaker in speakers}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    deadline = time.monotonic() + _PATIENCE
    while by_descriptor:
        for descriptor, _ in poll.poll(1.0):
            speaker = by_descriptor[descriptor]
            speaker.heard += speaker.socket.recv(4096)
            if _WELCOME in speaker.heard:
                del by_descriptor[descriptor]
                poll.unregister(descriptor)
        if time.monotonic() > deadline:
            some = next(iter(by_descriptor.values()))
            sys.exit(f"{len(by_descriptor)} workers were not welcomed; one heard {some.heard!r}")
    poll.close()


def _beat(speakers: list[Speaker], seconds: float) -> tuple[int, float]:
    """Beats that could not be sent, and the longest time by which this process itself was late."""
    turns = round(1 / _STEP)
    groups = [speakers[number::turns] for number in range(turns)]
    held_back, late = 0, 0.0
    begin = time.monotonic()
    for turn in range(round(seconds / _STEP)):
        due = begin + turn * _STEP
        left = due - time.monotonic()
        if left > 0:
            time.sleep(left)  # noqa: TID251 - the pace is the point
        late = max(late, -left)
        held_back += sum(not speaker.beat(max(0.0, -left)) for speaker in groups[turn % turns])
    return held_back, late


if __name__ == "__main__":
    sys.exit(main())
