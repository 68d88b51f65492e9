"""The client's side of the control socket: one request, its answers.

Plain pyzmq and json, nothing else: `ctl status` counts every import. Requests carry a random 128-bit id and
are sent again each second for as long as the answer is awaited; the root joins a repeated id to the request it
knows. So a request survives a root that is replaced, and one that nobody acknowledges for `PATIENCE` has failed.
"""

from __future__ import annotations

import json
import os
import time

import zmq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VERSION = 1
RESEND = 1.0
"""Seconds of silence after which a request is sent again."""
PATIENCE = 5.0
"""Seconds of silence after which the root is said not to answer."""


class ControlError(Exception):
    """The root refused (``code`` is its word), or did not answer (``no_answer``)."""

    def __init__(self, code: str, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.mend = mend


class ControlTimeout(Exception):
    """The caller's own deadline passed while the root was still working on the request."""


class Control:
    """A connection to the root of the tree whose run directory is ``run_dir``."""

    def __init__(self, run_dir: str, by: str = "") -> None:
        self.by = by
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 20)
        self._socket.connect(f"ipc://{run_dir}/control/control")

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()

    def request(
        self,
        command: str,
        args: dict[str, Any],
        *,
        timeout: float | None = None,
        idle: Callable[[], None] | None = None,
    ) -> Any:
        """Ask and wait for the answer's data.

        ``timeout`` in seconds bounds the whole (None: for as long as the root works on it). ``idle`` is called
        after each second without an answer, and may ask other things meanwhile.

        Raises:
            ControlError: the root refused, or said nothing at all for `PATIENCE` seconds.
            ControlTimeout: ``timeout`` passed first.
        """
        id_ = os.urandom(16).hex()
        message = json.dumps({"v": VERSION, "id": id_, "command": command, "args": args, "by": self.by}).encode()
        now = time.monotonic()
        deadline = None if timeout is None else now + timeout
        silence = 0.0
        while True:
            self._send(message)
            since = now
            answer = self._answer(id_, now + RESEND if deadline is None else min(now + RESEND, deadline))
            now = time.monotonic()
            while answer is not None:
                silence, since = 0.0, now
                if answer["kind"] == "end":
                    return answer.get("data")
                if answer["kind"] == "error":
                    raise ControlError(
                        str(answer.get("code") or "failed"),
                        str(answer.get("message") or "the root refused"),
                        str(answer.get("mend") or ""),
                    )
                answer = self._answer(id_, now + RESEND if deadline is None else min(now + RESEND, deadline))
                now = time.monotonic()
            if deadline is not None and now >= deadline:
                raise ControlTimeout
            # More than that has passed only where we were stopped ourselves (^Z, suspend), and could not have heard.
            silence += min(now - since, RESEND)
            if silence >= PATIENCE:
                raise ControlError("no_answer", "the root does not answer")
            if idle is not None:
                idle()
                now = time.monotonic()

    def _send(self, message: bytes) -> None:
        try:
            self._socket.send(message, zmq.DONTWAIT)
        except zmq.Again:
            return  # nobody has been there for a thousand messages; silence is what the caller hears

    def _answer(self, id_: str, until: float) -> dict[str, Any] | None:
        """The next answer to request ``id_``, None at ``until``; answers to earlier requests are dropped."""
        while True:
            left = until - time.monotonic()
            if not self._socket.poll(max(0, int(left * 1000) + 1) if left > 0 else 0):
                return None
            try:
                answer = json.loads(self._socket.recv())
            except ValueError:
                continue
            if isinstance(answer, dict) and answer.get("id") == id_ and "kind" in answer:
                return answer


class Stream:
    """What the tree publishes under one topic prefix, live.

    Publishing is live only: what happens before the subscription has reached the root, or while a root is
    replaced, is not repeated. `next` therefore says when a connection was made, and who follows then asks for
    what it missed.
    """

    CONNECTED = ""
    """The topic of `next` that says: a connection (the first, or another one) has just been made."""
    ENDED = "ended"
    """The topic of `next` that says: the descriptor to watch has become readable."""

    def __init__(self, run_dir: str, topic: str, watch: int | None = None) -> None:
        """Subscribe to what begins with ``topic``; ``watch`` is a descriptor that ends the stream."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 20)
        self._socket.setsockopt_string(zmq.SUBSCRIBE, topic)
        self._connections = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._socket.connect(f"ipc://{run_dir}/control/stream")
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._connections, zmq.POLLIN)
        self._watch = watch
        if watch is not None:
            self._poller.register(watch, zmq.POLLIN)

    def close(self) -> None:
        self._socket.disable_monitor()
        self._connections.close(0)
        self._socket.close(0)
        self._context.term()

    def next(self, timeout: float | None) -> tuple[str, Any] | None:
        """The next topic and its data, or `CONNECTED`, or (when nothing is left) `ENDED`; None after ``timeout`` s."""
        ready = dict(self._poller.poll(None if timeout is None else max(0, int(timeout * 1000))))
        if self._connections in ready:
            self._connections.recv_multipart()
            return self.CONNECTED, None
        if self._socket in ready:
            topic, _, data = self._socket.recv().partition(b" ")
            return topic.decode(), json.loads(data)
        return (self.ENDED, None) if self._watch in ready else None
