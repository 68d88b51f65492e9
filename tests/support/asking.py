"""The control socket, asked directly: a second client beside the one of the command line, and quicker to start."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import zmq


class Refused(AssertionError):
    """The root answered with an error. `code` and `mend` as on the wire."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error.get('code')}: {error.get('message')} ({error.get('mend')})")
        self.code = error.get("code")
        self.mend = error.get("mend")


def ask(run_dir: Path, command: str, patience: float = 10.0, request: str | None = None, **args: Any) -> Any:
    """The answer's data to one request; items that came before the end, if any, as a list in their place.

    Sent again each second with the same id, as every client does: the root joins them. Raises `Refused`, or
    AssertionError when nothing was answered within ``patience`` seconds."""
    request = request or uuid.uuid4().hex
    frame = json.dumps({"v": 1, "id": request, "command": command, "args": args, "by": "tests"}).encode()
    items: list[Any] = []
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(f"ipc://{run_dir}/control/control")
        end = time.monotonic() + patience
        send_next = 0.0
        while (now := time.monotonic()) < end:
            if now >= send_next:
                socket.send(frame)
                send_next = now + 1.0
            if not socket.poll(max(1, int((min(send_next, end) - now) * 1000))):
                continue
            reply = json.loads(socket.recv())
            if reply.get("id") != request:
                continue
            if reply["kind"] == "item":
                items.append(reply["data"])
            elif reply["kind"] == "error":
                raise Refused(reply)
            elif reply["kind"] == "end":
                return items or reply["data"]
    raise AssertionError(f"{command}: no answer within {patience:g} s")
