"""The heartbeat channel, as the root speaks it: messages from workers and to them (`processes.md` 17-19).

One ZeroMQ frame a message: a JSON object, tagged by `type`, at most `LARGEST` bytes. Unknown types and unknown fields
are ignored by both sides, so that either may be newer; what can't be understood without changing both raises
`PROTOCOL`. Docs: `docs/heartbeat-protocol.md`, whose messages the tests replay.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

PROTOCOL = 1
LARGEST = 64 * 1024
"""Bytes of a message."""


class Dump(Struct, frozen=True):
    """How to ask a worker for its stacks: the signal it dumps them at, and the file they go to."""

    signal: int
    file: str


# Up: from a worker.


class Hello(Struct, tag_field="type", tag="hello"):
    """Who it is, after each connect and when asked (`Who`), with its present state."""

    protocol: int
    name: str
    incarnation: int
    token: str
    pid: int = 0
    interval: float | None = None
    """Seconds between the beats that its loop makes by itself; None: it beats only when the program says so."""
    ready: bool = False
    status: str | None = None
    dump: Dump | None = None
    passing: bool = False
    """It says something and goes (`supervisor-tree beat`): its beats count, but it is not who the worker is. It gets
    no commands, and what it leaves unsaid (`status`, `interval`, `dump`) changes nothing."""


class Ready(Struct, tag_field="type", tag="ready"):
    """It can do its work: opens the gate of those who need it."""


class Beat(Struct, tag_field="type", tag="beat", gc=False):
    """Its main loop turns. `seq` counts from 1 in an incarnation; `age`: seconds since the beat was made."""

    seq: int = 0
    age: float = 0.0
    status: str | None = None
    detail: str | None = None
    fields: dict[str, Any] = {}


class Unwell(Struct, tag_field="type", tag="unwell"):
    """In place of a beat: its main loop turns, but the worker's own check says that something is wrong. It is no sign
    of life: when no beat comes within the limit, it is ended, and `detail` is why."""

    seq: int = 0
    age: float = 0.0
    detail: str = ""


class Activity(Struct, tag_field="type", tag="activity"):
    """It has done something useful: one line of the journal."""

    name: str
    seq: int = 0
    age: float = 0.0
    fields: dict[str, Any] = {}


class Reply(Struct, tag_field="type", tag="reply"):
    """The answer to a `Command`."""

    id: int
    ok: bool
    result: Any = None
    error: str | None = None


class Goodbye(Struct, tag_field="type", tag="goodbye"):
    """It is ending by itself: no beat is expected any more, only its end, within its `shutdown`."""

    reason: str = ""


Up = Hello | Ready | Beat | Unwell | Activity | Reply | Goodbye


# Down: to a worker.


class Welcome(Struct, tag_field="type", tag="welcome"):
    """The answer to a good hello; comes again when the limit has changed.

    `limit`: the longest silence allowed, seconds; None: there is no limit."""

    limit: float | None
    protocol: int = PROTOCOL


class Who(Struct, tag_field="type", tag="who"):
    """The root doesn't know this connection: say hello."""


class Refused(Struct, tag_field="type", tag="refused"):
    """The hello was no good; what comes over this connection is ignored."""

    reason: str


class Ping(Struct, tag_field="type", tag="ping"):
    """Beat at once, from the loop."""


class Stop(Struct, tag_field="type", tag="stop"):
    """The same as the stop signal, which comes too. `grace`: seconds until the kill; None: never."""

    grace: float | None


class Command(Struct, tag_field="type", tag="command"):
    """Do what `name` says and `Reply` with the same id."""

    id: int
    name: str
    args: dict[str, Any] = {}


Down = Welcome | Who | Refused | Ping | Stop | Command

decode = msgspec.json.Decoder(Up).decode
"""A message from a worker. Raises `msgspec.DecodeError` (garbage) or its `ValidationError` (an unknown type, too)."""
encode = msgspec.json.Encoder().encode
