"""`ctl start|stop|restart|hold|release|signal|wait`: what is done to children."""

from __future__ import annotations

from supervisor_tree.cli import results, times
from supervisor_tree.cli.ask import Root
from supervisor_tree.cli.errors import CommandError, did_you_mean
from supervisor_tree.cli.parser import add_names, need_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import Any

_PAST = {
    "start": ("starting", "started"),
    "stop": ("stopping", "stopped"),
    "restart": ("restarting", "restarted"),
    "hold": ("holding", "held"),
    "release": ("releasing", "released"),
    "signal": ("signalling", "signalled"),
}
_STATES = (
    "scheduled", "idle", "removed",
    "held", "waiting", "starting", "running", "stopping", "stopped", "backoff", "completed", "failed", "degraded",
)  # fmt: skip


def _names(parser: ArgumentParser) -> None:
    add_names(parser, "workers, supervisors (all below them), instance sets or jobs")


def _reason(parser: ArgumentParser) -> None:
    parser.add_argument("--reason", metavar="TEXT", help="why, for the journal and `ctl why`")


def _start_arguments(parser: ArgumentParser) -> None:
    _names(parser)
    parser.add_argument("--tied", action="store_true", help="also those that the strategy ties to it")
    parser.add_argument(
        "--force", action="store_true", help="start although processes of it are left that can't be killed"
    )
    _reason(parser)


def _stop_arguments(parser: ArgumentParser) -> None:
    _start_arguments(parser)
    parser.add_argument("--all", action="store_true", help="everything; the tree itself lives on")


def _hold_arguments(parser: ArgumentParser) -> None:
    _names(parser)
    _reason(parser)


def _signal_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("signal", metavar="SIG", help="as HUP, SIGUSR1 or 10")
    _names(parser)


def _wait_arguments(parser: ArgumentParser) -> None:
    add_names(parser, "whom to wait for (default: all workers)")
    parser.add_argument("--for", dest="state", metavar="STATE", default="running", help="a state (default: running)")
    parser.add_argument("--timeout", metavar="T", type=str, help="as 30s; exit status 124 when it runs out")


def _start(args: Namespace) -> int:
    names = need_names(args, "which are to be started? `supervisor-tree ctl status` lists them")
    return _operate(args, names=names, tied=args.tied, force=args.force, reason=args.reason)


def _stop(args: Namespace) -> int:
    if args.all and args.names:
        raise CommandError("usage", "--all and names exclude each other", "give one of them")
    names = [] if args.all else need_names(args, "name what is to be stopped, or say --all")
    return _operate(args, names=names, all=args.all, tied=args.tied, force=args.force, reason=args.reason)


def _restart(args: Namespace) -> int:
    names = need_names(args, "which are to be restarted? `supervisor-tree ctl status` lists them")
    return _operate(args, names=names, tied=args.tied, force=args.force, reason=args.reason)


def _hold(args: Namespace) -> int:
    names = need_names(args, "`supervisor-tree ctl status` lists them")
    return _operate(args, names=names, reason=args.reason)


def _signal(args: Namespace) -> int:
    names = need_names(args, f"write `ctl signal {args.signal} NAME`")
    return _operate(args, signal=args.signal, names=names)


def _wait(args: Namespace) -> int:
    if args.state not in _STATES:
        mend = did_you_mean(args.state, _STATES) or f"one of {' '.join(_STATES)}"
        raise CommandError("usage", f"no such state: {args.state}", mend)
    timeout = None if args.timeout is None else times.duration(args.timeout)
    with Root.of(args) as root:
        # the root keeps the time and says who is late; over a root's death only our own clock goes on
        within = None if timeout is None else timeout + 1
        data = root.ask("wait", within=within, names=args.names, timeout=timeout, **{"for": args.state})
    return results.tell({"operation": None, **data}, args.state, args.json)


def _operate(args: Namespace, **asked: Any) -> int:
    doing, done = _PAST[args.verb]
    with Root.of(args) as root:
        progress = results.Progress(root.target, doing)
        try:
            data = root.ask(args.verb, idle=progress, **asked)
        finally:
            progress.clear()
    return results.tell(data, done, args.json)


VERBS: dict[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {
    "start": (_start_arguments, _start),
    "stop": (_stop_arguments, _stop),
    "restart": (_start_arguments, _restart),
    "hold": (_hold_arguments, _hold),
    "release": (_hold_arguments, _hold),
    "signal": (_signal_arguments, _signal),
    "wait": (_wait_arguments, _wait),
}
