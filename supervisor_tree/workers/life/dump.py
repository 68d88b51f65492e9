"""The stack dump of this process, written when the root asks: a hung worker is explained before it is ended.

Two writers, one file, because neither sees all:

* `faulthandler` runs in the signal handler itself, in C. It needs neither the interpreter's lock nor a main thread that
  gets anywhere, so it shows every thread's stack also while C code holds that lock.
* A Python handler runs behind it, if the main thread still comes to its next bytecode: names and numbers of the
  threads, and the tasks of asyncio with where each of them waits. That it did not run is itself an answer.

No values are written, only places: a dump holds no secrets. The text is for people; `root/hangs` reads it, too.
Standard library only; no thread, nothing imported by the handlers (the hung thread may hold the import lock).
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType
    from typing import Any

END = "End of the dump."
"""The last line, of the Python handler. Without it, the main thread did not come to its next bytecode in time."""
_FRAMES = 60
"""Frames of one task."""
_TASKS = 100
_LONGEST = 128 * 1024
"""Characters that the Python handler writes at most."""

_fd = -1
_busy = False


def install(environ: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """Have this process write its stacks to a file of its own whenever a signal asks for it.

    Returns:
        ``{"signal": number, "file": path}`` as `hello` tells it, or None: not started by a tree, or the file can't be
        made. A worker runs without.
    """
    global _fd
    path = _path(os.environ if environ is None else environ)
    if path is None:
        return None
    number = signal_number()
    try:
        fd = _create(path)
    except OSError:
        return None
    # First ours: faulthandler calls what was there before it. (Not in the main thread: only faulthandler's half.)
    with contextlib.suppress(ValueError):
        signal.signal(number, _on_signal)
    faulthandler.register(number, fd, all_threads=True, chain=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    _fd = fd
    return {"signal": int(number), "file": path}


def file_name(name: str, incarnation: int | str) -> str:
    """Of this incarnation's dump, which lies beside the heartbeat socket, in a folder that is its user's alone."""
    return f"dump-{name}-{incarnation}"


def _path(env: Mapping[str, str]) -> str | None:
    endpoint, name, incarnation = (
        env.get(f"SUPERVISOR_TREE_{each}", "") for each in ("ENDPOINT", "NAME", "INCARNATION")
    )
    if not endpoint.startswith("ipc:///") or not name or "/" in name or not incarnation.isdecimal():
        return None
    return os.path.join(os.path.dirname(endpoint.removeprefix("ipc://")), file_name(name, incarnation))


def signal_number() -> int:
    """At which a dump is written, unless a worker tells otherwise (`hello`).

    A real-time signal that nobody uses; where there are none, SIGINFO, which is ignored where it is not caught."""
    first = getattr(signal, "SIGRTMIN", None)
    if first is not None:
        return int(first) + 16
    return int(getattr(signal, "SIGINFO", None) or signal.SIGUSR2)


def _create(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        # Of a life of the tree that was killed: incarnations are counted anew in each.
        os.unlink(path)
        return os.open(path, flags, 0o600)


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Whatever goes wrong in here must not reach the program."""
    global _busy
    if _busy:
        return
    _busy = True
    try:
        text = "\n".join(_lines())[:_LONGEST]
    except Exception as error:
        text = f"The rest could not be written: {error!r}"
    finally:
        _busy = False
    data = f"\n{text}\n{END}\n".encode(errors="backslashreplace")
    try:
        while data:
            data = data[os.write(_fd, data) :]
    except OSError:
        return


def _lines() -> Iterator[str]:
    frames = sys._current_frames()
    threading = sys.modules.get("threading")
    if threading is not None:
        yield "Threads:"
        for thread in threading.enumerate():
            # As faulthandler writes the number.
            ident = f"0x{thread.ident or 0:0{2 * (sys.maxsize.bit_length() + 1) // 8}x}"
            yield f'  {ident} is "{_one_line(thread.name)}" ({thread.native_id})'
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return
    left = _TASKS
    for loop in _loops(asyncio, frames):
        tasks = sorted(asyncio.all_tasks(loop), key=_name)
        yield ""
        yield f"Event loop with {len(tasks)} task{'' if len(tasks) == 1 else 's'}:"
        current = asyncio.current_task(loop)
        for task in tasks[:left]:
            yield from _task(task, task is current)
        if len(tasks) > left:
            yield f"  … and {len(tasks) - left} more"
        left = max(0, left - len(tasks))


def _loops(asyncio: Any, frames: dict[int, FrameType]) -> list[Any]:
    """The loops that run: of the main thread, which is the one that handles signals, then of the others."""
    found = []
    with contextlib.suppress(RuntimeError):
        found.append(asyncio.get_running_loop())
    for frame in frames.values():
        here: FrameType | None = frame
        while here is not None:
            if here.f_code.co_name == "run_forever":
                loop = here.f_locals.get("self")
                if isinstance(loop, asyncio.AbstractEventLoop) and loop not in found:
                    found.append(loop)
            here = here.f_back
    return found


def _task(task: Any, current: bool) -> Iterator[str]:
    state = "running" if current else "waiting"
    yield f'  Task "{_name(task)}", {state} (most recent call first):'
    places, last = _awaits(task.get_coro())
    for place in places:
        yield f"    {place}"
    waits_for = getattr(task, "_fut_waiter", None)
    if waits_for is not None:
        yield f"    waits for {_awaited(waits_for)}"
    elif last is not None and not current:
        yield f"    waits for {_awaited(last)}"


def _awaits(coro: Any) -> tuple[list[str], Any]:
    """Where a suspended coroutine stands, innermost first, through all that it awaits; and what that awaits."""
    places: list[str] = []
    while coro is not None and len(places) < _FRAMES:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None) or getattr(coro, "ag_frame", None)
        if frame is None:
            break
        places.append(f'File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}')
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None) or getattr(coro, "ag_await", None)
    places.reverse()
    return places, coro


def _awaited(thing: Any) -> str:
    """Never its repr: that is the program's code."""
    kind = type(thing).__name__
    named = getattr(thing, "get_name", None)
    if named is not None and hasattr(thing, "get_coro"):
        return f'task "{_name(thing)}"'
    return f"a {kind}"


def _name(task: Any) -> str:
    return _one_line(str(task.get_name()))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:100].replace('"', "'")
