"""A worker that speaks on the heartbeat socket by way of libzmq, as a client of any language may.

Run by a tree: `python tests/support/speaking.py WORD…`. It does what the words say, then what comes line by line
through the FIFO `NAME.ears` in its folder, where there is one; what it is told it prints. Words:

    ready                   say that it is ready (also in each hello from then on)
    every=SECONDS           beat by itself from now on; `every=0`: no more
    beat=STATUS             one beat
    activity=NAME*TIMES     so many activities
    goodbye=REASON          say goodbye
    raw=TEXT                this, as it is
    token=TEXT              another token from now on, said in another hello
    mute                    don't answer `who` any more
    sleep=SECONDS           block
    exit=STATUS             end
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import zmq


class Speaker:
    def __init__(self) -> None:
        self.name = os.environ["SUPERVISOR_TREE_NAME"]
        self.token = os.environ["SUPERVISOR_TREE_TOKEN"]
        self.ready = False
        self.mute = False
        self.status: str | None = None
        self.every = 0.0
        self.seq = 0
        self.next = 0.0
        self.left = b""
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.set(zmq.LINGER, 10_000)
        self.socket.set(zmq.RECONNECT_IVL, 10)
        self.socket.connect(os.environ["SUPERVISOR_TREE_ENDPOINT"])
        try:
            # For writing, too: else it ends whenever nobody has it open.
            self.ears = os.open(f"{self.name}.ears", os.O_RDWR | os.O_NONBLOCK)
        except FileNotFoundError:
            self.ears = -1
        self.hello()

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message).encode())

    def hello(self) -> None:
        self.say(
            type="hello",
            protocol=1,
            name=self.name,
            incarnation=int(os.environ["SUPERVISOR_TREE_INCARNATION"]),
            token=self.token,
            pid=os.getpid(),
            interval=self.every or None,
            ready=self.ready,
            status=self.status,
            dump=None,
        )

    def beat(self) -> None:
        self.seq += 1
        self.say(type="beat", seq=self.seq, age=0.0, status=self.status, detail=None, fields={"seq": self.seq})

    def do(self, word: str) -> None:
        what, _, value = word.strip().partition("=")
        match what:
            case "ready":
                self.ready = True
                self.say(type="ready")
            case "every":
                self.every = float(value)
                self.next = time.monotonic()
            case "beat":
                self.status = value
                self.beat()
            case "activity":
                name, _, times = value.partition("*")
                for _ in range(int(times or 1)):
                    self.say(type="activity", seq=1, age=0.0, name=name, fields={"by": "test"})
            case "goodbye":
                self.say(type="goodbye", reason=value)
            case "raw":
                self.socket.send(value.encode())
            case "token":
                self.token = value
                self.hello()
            case "mute":
                self.mute = True
            case "sleep":
                time.sleep(float(value))  # noqa: TID251, to be blocked is what is asked for
            case "exit":
                self.socket.close()
                self.context.term()  # waits until what was said has left
                sys.exit(int(value))

    def hear(self) -> None:
        message = json.loads(self.socket.recv())
        print(json.dumps(message), flush=True)
        if message["type"] == "who" and not self.mute:
            self.hello()
        elif message["type"] == "ping":
            self.beat()
        elif message["type"] == "command":
            self.say(type="reply", id=message["id"], ok=True, result="done", error=None)

    def live(self) -> None:
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        if self.ears >= 0:
            poller.register(self.ears, zmq.POLLIN)
        while True:
            wait = max(0.0, self.next - time.monotonic()) if self.every else None
            found = dict(poller.poll(None if wait is None else int(wait * 1000) + 1))
            if self.socket in found:
                self.hear()
            if self.ears in found:
                *lines, self.left = (self.left + os.read(self.ears, 65536)).split(b"\n")
                for line in lines:
                    self.do(line.decode())
            if self.every and time.monotonic() >= self.next:
                self.next = time.monotonic() + self.every
                self.beat()


if __name__ == "__main__":
    speaker = Speaker()
    for each in sys.argv[1:]:
        speaker.do(each)
    speaker.live()
