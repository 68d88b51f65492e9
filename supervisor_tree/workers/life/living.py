"""From a target and its arguments to an exit status."""

from __future__ import annotations

import contextlib
import inspect
import signal
import sys

from supervisor_tree.workers import args as arguments
from supervisor_tree.workers.args import ArgsError
from supervisor_tree.workers.life import dump, present
from supervisor_tree.workers.life import target as targets
from supervisor_tree.workers.life.ending import CRASHED, UNABLE, exit_status, in_words, show
from supervisor_tree.workers.life.target import TargetError
from supervisor_tree.workers.worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(target: str | None, code: bytes | None, args: dict[str, Any]) -> int:
    """See `supervisor_tree.workers.life.live`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)  # a log is read while it is written
    try:
        return _live(target, code, args)
    except (TargetError, ArgsError) as error:
        print(error, file=sys.stderr)
        return UNABLE
    except SystemExit as error:
        return exit_status(error.code)
    except BaseException as error:
        show(error)
        return CRASHED
    finally:
        _end()


def _live(target: str | None, code: bytes | None, args: dict[str, Any]) -> int:
    # First: an import that hangs is worth a dump, too.
    where = dump.install()
    found = targets.find(target, code)
    called = target or str(getattr(found, "__qualname__", type(found).__qualname__))
    if isinstance(found, type):
        if not issubclass(found, Worker):
            raise TargetError(f"{called} is a class, but no Worker: derive it from supervisor_tree.workers.Worker")
        return _on_a_loop(_made(found, args), called, where)
    if not callable(found):
        raise TargetError(f"{called} is neither a Worker class nor a function, but of the type {type(found).__name__}")
    keywords = arguments.of_function(found, args)
    if _is_async(found):
        return _on_a_loop(_AsyncFunction(lambda: found(**keywords)), called, where)
    return _called(lambda: found(**keywords), called, where)


def _made(kind: type[Worker], args: dict[str, Any]) -> Worker:
    """An instance whose own ``__init__``, if it has one, finds ``self.args``."""
    worker = kind.__new__(kind)
    worker.args = arguments.of_class(kind, args)
    kind.__init__(worker)
    worker._begin()
    return worker


class _AsyncFunction(Worker):
    """A coroutine function, as the Worker whose `run` it is."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function

    async def run(self) -> Any:
        return await self._function()


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _on_a_loop(worker: Worker, called: str, where: dict[str, Any] | None) -> int:
    from supervisor_tree.workers.life.looping import Looping

    return Looping(worker, called, where).live()


def _called(function: Callable[[], Any], called: str, where: dict[str, Any] | None) -> int:
    """A function without a loop: ready when it is entered, and interrupted where it just is."""
    from supervisor_tree.workers.life.carrying import ThreadCarrier

    life = present.Life(called)
    life.channel.dump = where
    signalled = False

    def asked(number: int, frame: object) -> None:
        nonlocal signalled
        again, signalled = signalled, True
        life.end.ask(signal.Signals(number).name)
        if again or not life.end.looked_at:
            raise SystemExit(0)

    for number in SIGNALS:
        signal.signal(number, asked)
    present.begin(life)
    life.channel.ready()
    life.connect(ThreadCarrier())
    try:
        status = exit_status(function())
        reason = life.end.by or f"{called} has returned"
    except SystemExit as error:
        status = exit_status(error.code)
        reason = life.end.by or f"exit status {status}"
    except BaseException as error:
        show(error)
        status, reason = CRASHED, in_words(error)
    life.channel.goodbye(reason)
    return status


def _end() -> None:
    """What was said and printed is out; signals have their own meaning again."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    if present.life is not None:
        present.life.close()
    for stream in (sys.stdout, sys.stderr):
        # Nobody reads it any more, or it was never there.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
