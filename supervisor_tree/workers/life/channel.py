"""A worker's end of the heartbeat channel: what it says to the root, and what it hears.

The root may be replaced at any time; the worker then says `hello` again, with its present state, and goes on. Where
no tree started this process there is no channel, and all that is said goes nowhere.
"""

from __future__ import annotations

import itertools
import json
import os

from supervisor_tree.ipc.zmtp import Dealer
from supervisor_tree.workers.life.messages import PROTOCOL, aged, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    from supervisor_tree.workers.life.carrying import Carrier

    class Ears(Protocol):
        """Who hears what the root says. Called by the carrier's thread."""

        def welcomed(self, limit: float | None) -> None: ...
        def refused(self, reason: str) -> None: ...
        def pinged(self) -> None: ...
        def stop_asked(self, grace: float | None) -> None: ...
        def commanded(self, id_: int, name: str, args: dict[str, Any]) -> None: ...


class Channel:
    """What this incarnation has said so far, and the connection that it says it over.

    The methods that speak may be called from any thread. None of them blocks, waits, or raises.
    """

    def __init__(self, environ: Mapping[str, str], ears: Ears, passing: bool) -> None:
        self.name = environ.get("SUPERVISOR_TREE_NAME", "")
        self.incarnation = _number(environ.get("SUPERVISOR_TREE_INCARNATION", ""))
        self._token = environ.get("SUPERVISOR_TREE_TOKEN", "")
        self._endpoint = environ.get("SUPERVISOR_TREE_ENDPOINT", "")
        self._ears = ears
        self._passing = passing
        self._carrier: Carrier | None = None
        self._seq = itertools.count(1)
        self._is_ready = False
        self._status: str | None = None
        self._fields: dict[str, Any] = {}
        self._goodbye: str | None = None
        self.interval: float | None = None
        """Seconds between the beats that the worker's loop makes by itself; None: it makes none."""
        self.dump: dict[str, Any] | None = None
        """Where this process writes its stacks when a signal asks for them."""

    @property
    def leads_somewhere(self) -> bool:
        return self._endpoint.startswith("ipc://")

    def open(self, carrier: Carrier) -> None:
        """Connect, and stay connected. ``carrier`` does the waiting."""
        self._carrier = carrier
        if self.leads_somewhere:
            carrier.carry(Dealer(self._endpoint, self._hello, self._heard, stays=not self._passing))

    def close(self, linger: float) -> None:
        """Say what is unsaid, for ``linger`` seconds at most, then nothing more."""
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            carrier.close(linger)

    def abandon(self) -> None:
        """In a fork: this is the parent's."""
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            carrier.abandon()

    # --- what it says

    def hello(self) -> None:
        """How things stand now: something of it has changed."""
        self._say(self._hello())

    def ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            self._say(encode("ready"))

    def keep(self, status: str | None, fields: Mapping[str, Any]) -> None:
        """What the next beats say, until they are told otherwise: what is not given stays; None takes a field out."""
        if status is not None:
            self._status = str(status)
        if fields:
            both = {**self._fields, **fields}
            self._fields = {key: value for key, value in both.items() if value is not None}

    def beat(self, detail: str | None = None) -> None:
        values = {"status": self._status, "detail": detail, "fields": self._fields}
        self._say_aged("beat", values)

    def unwell(self, detail: str) -> None:
        """In place of a beat: it lives, but its own check says that something is wrong."""
        self._say_aged("unwell", {"detail": detail})

    def activity(self, name: str, fields: Mapping[str, Any]) -> None:
        self._say_aged("activity", {"name": str(name), "fields": fields})

    def reply(self, id_: int, ok: bool, result: Any = None, error: str | None = None) -> None:
        self._say(encode("reply", id=id_, ok=ok, result=result, error=error))

    def goodbye(self, reason: str) -> None:
        """It is on its way out. Said once to each root, and only if that hears it: an end is seen without it."""
        if self._goodbye is None:
            self._goodbye = reason
            self._say_goodbye(reason)

    def _say_goodbye(self, reason: str) -> None:
        self._say(encode("goodbye", reason=reason), now=True)

    def _say_aged(self, kind: str, values: dict[str, Any]) -> None:
        if self._carrier is not None and self.leads_somewhere:
            self._carrier.send(aged(encode(kind, seq=next(self._seq), **values)))

    def _say(self, message: bytes, now: bool = False) -> None:
        if self._carrier is not None and self.leads_somewhere:
            self._carrier.send(message, now)

    def _hello(self) -> bytes:
        return encode(
            "hello",
            protocol=PROTOCOL,
            name=self.name,
            incarnation=self.incarnation,
            token=self._token,
            pid=os.getpid(),
            interval=self.interval,
            ready=self._is_ready,
            status=self._status,
            dump=self.dump,
            passing=self._passing,
        )

    # --- what it hears

    def _heard(self, data: bytes) -> None:
        """Whatever is no message that this version knows is ignored."""
        try:
            message = json.loads(data)
            kind = message["type"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        if kind == "welcome":
            self._ears.welcomed(_seconds(message.get("limit")))
            if self._goodbye is not None:
                # This root may be a new one, which waits for beats that will not come.
                self._say_goodbye(self._goodbye)
        elif kind == "who":
            self.hello()
        elif kind == "refused":
            self._ears.refused(str(message.get("reason")))
        elif kind == "ping":
            self._ears.pinged()
        elif kind == "stop":
            self._ears.stop_asked(_seconds(message.get("grace")))
        elif kind == "command" and isinstance(message.get("id"), int) and isinstance(message.get("name"), str):
            args = message.get("args")
            self._ears.commanded(message["id"], message["name"], args if isinstance(args, dict) else {})


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None
