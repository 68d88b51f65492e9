"""`ctl events`: what happened, and (`-f`) what happens."""

from __future__ import annotations

import os
import sys

from supervisor_tree.cli import table, times
from supervisor_tree.cli.ask import Root
from supervisor_tree.cli.errors import DONE, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import Any

_ALL = "event."
_BEFORE = 10
"""How many of the past `-f` begins with when nothing else is said, as `tail` and `journalctl` do."""
_SETTLE = 0.3
"""Seconds after a connection within which the publisher has learnt that we listen."""
_LOOK = 1.0
"""Seconds between looks whether the keeper lives, on systems where that can't be waited for."""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-f", dest="follow", action="store_true", help="go on with what happens, until ^C")
    parser.add_argument("-n", dest="newest", metavar="N", help="only the newest N of what has happened")
    parser.add_argument("--since", metavar="T", help="as 10m (ago), 14:05, 2026-11-22, 2026-11-22T14:05:00Z")
    parser.add_argument("--type", dest="kinds", metavar="K", action="append", help="only this kind; may be repeated")


def events(args: Namespace) -> int:
    since = None if args.since is None else times.moment(args.since, times.now())
    newest = _count(args.newest)
    if args.follow and since is None and newest is None:
        newest = _BEFORE
    show = as_json if args.json else as_text
    with Root.of(args) as root:
        if not args.follow:
            for event in root.ask("events", since=since, type=args.kinds or [], n=newest)["events"]:
                show(event)
            return DONE
        follow(root, since, newest, set(args.kinds or []), show)
    return DONE


def follow(
    root: Root, since: float | None, newest: int | None, kinds: set[str], show: Callable[[dict[str, Any]], None]
) -> None:
    """Print what is asked of the past, then everything that happens, each event once and in order."""
    from supervisor_tree.ipc.control import Stream
    from supervisor_tree.system import means

    last = _last(root)
    past = root.ask("events", since=since, type=sorted(kinds), n=newest)["events"]
    last = max([last, *(event["seq"] for event in past)])
    for event in past:
        show(event)
    sys.stdout.flush()

    def caught_up() -> int:
        seen = last
        for event in root.ask("events", after_seq=last)["events"]:
            seen = event["seq"]
            if not kinds or event["event"] in kinds:
                show(event)
        return seen

    ended = means.watch_process(root.target.keeper)
    stream = Stream(root.target.run_dir, _ALL, ended)
    try:
        quiet = True  # whether all that went before is shown
        while root.target.lives():
            sys.stdout.flush()
            told = stream.next((_LOOK if ended is None else None) if quiet else _SETTLE)
            if told is None:
                if not quiet:  # the subscription holds by now: what came before it is asked for
                    last, quiet = caught_up(), True
            elif told[0] == Stream.CONNECTED:
                quiet = False
            elif told[0] != Stream.ENDED and told[1]["seq"] > last:
                if told[1]["seq"] > last + 1:
                    last = caught_up()
                    continue
                last = told[1]["seq"]
                if not kinds or told[1]["event"] in kinds:
                    show(told[1])
    finally:
        stream.close()
        if ended is not None:
            os.close(ended)
    sys.stdout.flush()
    print(f"supervisor-tree: tree {root.target.name} has ended", file=sys.stderr)


def _last(root: Root) -> int:
    newest = root.ask("events", n=1)["events"]
    return newest[-1]["seq"] if newest else 0


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit():
        raise CommandError("usage", f"{text!r} is no number", "write -n 20")
    return int(text)


def as_json(event: dict[str, Any]) -> None:
    import json

    print(json.dumps(event, separators=(",", ":"), ensure_ascii=False))


def as_text(event: dict[str, Any]) -> None:
    from supervisor_tree.root.sentences import sentence

    clock = times.clock(times.unix(event["time"]), times.now())
    room = table.width()
    kind = f"{event['event']:<19}"
    said = table.clip(sentence(event), None if room is None else room - len(clock) - len(kind) - 3)
    print(f"{clock}  {table.paint(kind, 'dim')} {said}")


VERBS: dict[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {"events": (_arguments, events)}
