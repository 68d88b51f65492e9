"""A ROUTER of libzmq in the root's place, which hears everything and says only what a test has it say."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import zmq

from tests.support.waiting import PATIENCE


class Router:
    """``with Router() as router: … router.until("ready")``. In a folder of its own, with a name short enough."""

    def __init__(self) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="st-"))
        self.endpoint = f"ipc://{self.dir}/heartbeat"
        self.heard: list[dict[str, Any]] = []
        self.route = b""
        """Where the last message came from."""
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None

    def __enter__(self) -> Self:
        self.bind()
        return self

    def __exit__(self, *_: object) -> None:
        self.unbind()
        shutil.rmtree(self.dir)

    def bind(self) -> None:
        """As a new root does."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(self.endpoint)

    def unbind(self) -> None:
        """As a root's death does: once this returns, nobody takes connections here, and those there were are closed."""
        if self._socket is not None and self._context is not None:
            self._socket.close(0)
            # A closed socket still takes connections and what is said over them, until ZeroMQ's thread comes to it.
            self._context.term()
            self._socket = self._context = None

    def receive(self, timeout: float = PATIENCE) -> bytes:
        """The next message's bytes."""
        assert self._socket is not None
        assert self._socket.poll(int(timeout * 1000)), f"nothing came within {timeout:g} s after {self.heard}"
        self.route, data = self._socket.recv_multipart()
        return data

    def hear(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """The next message."""
        message: dict[str, Any] = json.loads(self.receive(timeout))
        self.heard.append(message)
        return message

    def until(self, kind: str, timeout: float = PATIENCE, **values: Any) -> dict[str, Any]:
        """The next message of this type that has these values; those before it are in `heard`."""
        end = time.monotonic() + timeout
        while True:
            message = self.hear(max(0.0, end - time.monotonic()))
            if message["type"] == kind and values.items() <= message.items():
                return message

    def silent_for(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        assert self._socket is not None
        return not self._socket.poll(int(seconds * 1000))

    def say(self, **message: Any) -> None:
        """To whom spoke last."""
        self.send(json.dumps(message).encode())

    def send(self, *frames: bytes) -> None:
        assert self._socket is not None
        self._socket.send_multipart([self.route, *frames])
