"""`beat`: a sign of life, from a script that runs in a worker. Says it to the root itself, over the heartbeat channel.

Who speaks is told by the worker's own environment, which its children inherit. A script must not hang because of us:
within a second it is told, or an error says that it is not. That it was taken is proved by the root's `welcome`: it
answers the hello that goes before the rest over the same connection, and a stream keeps its order.
"""

from __future__ import annotations

import json
import os
import select
import time

from supervisor_tree.cli.errors import FAILED, CommandError
from supervisor_tree.ipc.zmtp import MAX_MESSAGE, Dealer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping
    from typing import Any

_PROTOCOL = 1
_WITHIN = 1.0
"""Seconds."""
_SET_BY_THE_TREE = ("ENDPOINT", "NAME", "INCARNATION", "TOKEN")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--status", metavar="TEXT", help="what it is doing, shown by `ctl status`")
    parser.add_argument("--activity", metavar="NAME", help="it has done something useful, of this name")
    parser.add_argument("--ready", action="store_true", help="it can do its work now (`ready = { heartbeat = true }`)")
    parser.add_argument("fields", metavar="KEY=VALUE", nargs="*", help="more to say: JSON values, or else text")


def run(args: Namespace) -> int:
    told: list[dict[str, Any]] = [{"type": "ready"}] if args.ready else []
    fields = _fields(args.fields)
    told.append({"type": "beat", "seq": 1, "age": 0.0, "status": args.status, "detail": None, "fields": fields})
    if args.activity is not None:
        told.append({"type": "activity", "seq": 2, "age": 0.0, "name": args.activity, "fields": fields})
    _tell(_hello(os.environ), [_encode(each) for each in told], os.environ["SUPERVISOR_TREE_ENDPOINT"])
    return 0


def _fields(words: list[str]) -> dict[str, Any]:
    fields = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise CommandError("failed", f"{word} is no KEY=VALUE", "as in `supervisor-tree beat done=12`")
        try:
            fields[key] = json.loads(value)
        except ValueError:
            fields[key] = value
    return fields


def _hello(environ: Mapping[str, str]) -> bytes:
    """Who we are: a worker of the tree, only passing by."""
    missing = [f"SUPERVISOR_TREE_{name}" for name in _SET_BY_THE_TREE if not environ.get(f"SUPERVISOR_TREE_{name}")]
    if missing:
        raise CommandError(
            "failed",
            f"this does not run in a worker of a tree: {missing[0]} is not set",
            "call it from a worker's own script (`sudo` and `env -i` take its environment away)",
        )
    return _encode(
        {
            "type": "hello",
            "protocol": _PROTOCOL,
            "name": environ["SUPERVISOR_TREE_NAME"],
            "incarnation": _number(environ["SUPERVISOR_TREE_INCARNATION"]),
            "token": environ["SUPERVISOR_TREE_TOKEN"],
            "pid": os.getpid(),
            "passing": True,
        }
    )


def _number(text: str) -> int:
    if not text.isdecimal():
        raise CommandError(
            "failed", f"SUPERVISOR_TREE_INCARNATION is {text!r}, no number", "leave it as the tree has set it"
        )
    return int(text)


def _encode(message: dict[str, Any]) -> bytes:
    data = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    if len(data) > MAX_MESSAGE:
        raise CommandError("failed", f"too much to say: {len(data)} bytes", f"a message has at most {MAX_MESSAGE}")
    return data


def _tell(hello: bytes, messages: list[bytes], endpoint: str) -> None:
    """Return once the root has it.

    Raises:
        CommandError: it has not, in time; or it refused.
    """
    answers: list[dict[str, Any]] = []
    try:
        dealer = Dealer(endpoint, lambda: hello, lambda data: answers.append(_decode(data)))
    except ValueError as error:
        raise CommandError("failed", f"SUPERVISOR_TREE_ENDPOINT: {error}", "leave it as the tree has set it") from error
    for message in messages:
        dealer.send(message)
    end = time.monotonic() + _WITHIN
    verdict = None
    try:
        dealer.pump()
        while (verdict := _verdict(answers)) is None or dealer.wants_write:
            if time.monotonic() >= end:
                raise CommandError("failed", f"not told: the tree's root did not answer within {_WITHIN:g} s")
            _wait(dealer, end)
            dealer.pump()
    finally:
        dealer.abandon()
    if verdict["type"] == "refused":
        raise CommandError("failed", f"refused by the tree: {verdict.get('reason')}")


def _decode(data: bytes) -> dict[str, Any]:
    """What is no message means nothing."""
    try:
        message = json.loads(data)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _verdict(answers: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((each for each in answers if each.get("type") in ("welcome", "refused")), None)


def _wait(dealer: Dealer, end: float) -> None:
    now = time.monotonic()
    until = end if dealer.retry_at is None else min(end, dealer.retry_at)
    poll = select.poll()
    if dealer.fileno() >= 0:
        poll.register(dealer.fileno(), select.POLLIN | (select.POLLOUT if dealer.wants_write else 0))
    poll.poll(max(0.0, until - now) * 1000 + 0.5)


OUR_STATUS = FAILED
"""Of every error: a script asks whether it was told, not why not."""
