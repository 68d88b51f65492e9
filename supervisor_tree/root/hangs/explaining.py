"""Why a worker does not answer, in one sentence that a person understands at three in the morning.

Pure: from the facts of its processes and the dump of its stacks to a state and words.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from msgspec import Struct

from supervisor_tree.root.hangs.facts import Facts, Thread
from supervisor_tree.root.hangs.stacks import Dump, Frame, Stack

_THRASHES = 10
"""Waits for memory from a disk, between two looks, from which that is what holds a process up."""
_SWAPPED = 1_000_000
"""Bytes in the swap below which that is not worth a word."""
_TEXT = 80
"""Characters of a source line in a sentence."""
_NAMED = 2
"""Further threads or tasks that are named."""

_DOES = {
    "lock": "waits for a lock",
    "read": "reads from {what}, where nothing comes",
    "write": "writes to {what}, from which nobody reads",
    "receive": "waits for an answer from {what}",
    "send": "sends to {what}, which takes nothing",
    "connect": "tries to connect to {what}",
    "accept": "waits for a connection on {what}",
    "events": "waits for events (poll)",
    "sleep": "sleeps",
    "child": "waits for {what} to end",
    "signal": "waits for a signal",
    "file lock": "waits for the lock on {what}, which somebody else holds",
    "file": "waits for the file system",
}


class Explained(Struct, frozen=True):
    state: str
    """stopped, traced, frozen, disk, swapping, busy, waiting, idle (its loop is fine, nothing in it is due), unwell
    (its own check says so), unheard (it has no connection to us), unknown"""
    text: str
    pid: int | None = None
    """Of the process that it is about."""


class Case(Struct, frozen=True, kw_only=True):
    """All that is known."""

    facts: Sequence[Facts] = ()
    """Its processes, the leader first."""
    dump: Dump | None = None
    asked: bool = False
    """A dump was asked for: None says that even the signal was not handled."""
    connected: bool = True
    """To us, over the heartbeat channel."""
    deaf: bool = False
    """It had told that it writes one, and handles that signal no more."""
    lost: bool = False
    """It had told that it writes one, and the file for it is gone."""
    subject: int | None = None
    """pid of the process that matters where that is not the leader: `MAINPID`, the program of a `ShimWorker`."""
    runs_another: bool = False
    """The leader only watches over another program (`ShimWorker`), of which it tells."""
    peers: dict[tuple[int, int], str] = {}
    """What is at the other end of a process's descriptors, where that could be told."""
    unwell: str | None = None
    """What its own check says, in place of beats."""


def explain(case: Case) -> Explained:
    """The most telling of all that is known."""
    if not case.facts:
        return Explained("unknown", "nothing could be learnt of its processes")
    facts = _subject(case)
    return (
        _from_outside(facts, case)
        or _from_itself(facts, case)
        or _from_the_dump(facts, case)
        or _from_the_system(facts, case)
    )


def _subject(case: Case) -> Facts:
    """The process that the sentence is about."""
    known = {facts.pid: facts for facts in case.facts}
    leader = case.facts[0]
    if leader.state in "Tt":
        return leader
    if case.subject in known:
        return known[case.subject]
    if case.runs_another or not _is_python(case):
        # A shell that waits for its child is no answer, nor is a watcher: whom they wait for is.
        here = leader
        while (child := _waited_for(here, case)) is not None:
            here = child
        return here
    return leader


def _is_python(case: Case) -> bool:
    return case.dump is not None


def _waited_for(parent: Facts, case: Case) -> Facts | None:
    children = [facts for facts in case.facts if facts.parent == parent.pid and facts.pid != parent.pid]
    main = parent.threads[0] if parent.threads else None
    watches = case.runs_another and parent is case.facts[0]
    if not children or not (watches or (main is not None and main.does in ("child", "signal"))):
        return None
    return max(children, key=lambda facts: (facts.busy, facts.pid))


def _who(facts: Facts, case: Case) -> str:
    """Whom a sentence about ``facts`` begins with."""
    if facts is case.facts[0]:
        return "it"
    return f"its process {_command(facts)} (pid {facts.pid})"


def _command(facts: Facts) -> str:
    command = facts.command if len(facts.command) <= _TEXT else f"{facts.command[:_TEXT]}…"
    return f"`{command or facts.name}`"


def _from_itself(facts: Facts, case: Case) -> Explained | None:
    """Its loop turns, and its own check says what is wrong; of a watcher, what it watches is told of, too."""
    if case.unwell is None:
        return None
    says = f"its own check says: {case.unwell}"
    if facts is case.facts[0]:
        return Explained("unwell", says, facts.pid)
    return Explained("unwell", f"{says}; {_from_the_system(facts, case).text}", facts.pid)


def _from_outside(facts: Facts, case: Case) -> Explained | None:
    """What holds it up is not in its program."""
    who = _who(facts, case)
    main = facts.threads[0] if facts.threads else None
    if facts.state == "T":
        text = f"{who} is stopped by a signal (SIGSTOP, or ^Z): it does nothing until a SIGCONT"
        return Explained("stopped", text, facts.pid)
    if facts.state == "t":
        debugger = f" ({facts.tracer_name}, pid {facts.tracer})" if facts.tracer else ""
        return Explained("traced", f"{who} is stopped by a debugger{debugger}", facts.pid)
    if any(thread.does == "frozen" for thread in facts.threads):
        return Explained("frozen", f"{who} is frozen (cgroup freezer, as by `docker pause`)", facts.pid)
    if facts.faults >= _THRASHES:
        swap = f", {_size(facts.swapped)} of it are in the swap" if facts.swapped >= _SWAPPED else ""
        text = (
            f"{who} is swapping: it waited {facts.faults} times within a moment for memory to come from the disk"
            f"{swap}; the machine, or its cgroup, is short of memory"
        )
        return Explained("swapping", text, facts.pid)
    if main is not None and main.state == "D":
        where = f", in {main.where}" if main.where else ""
        what = f" for {_what(facts.pid, main, case)}" if main.fd is not None else ""
        text = f"{who} waits in the kernel{what} (state D{where}): as for a disk or a network file system"
        return Explained("disk", text, facts.pid)
    return None


def _from_the_dump(facts: Facts, case: Case) -> Explained | None:
    """A Python worker: what its stacks tell."""
    dump = case.dump
    if dump is None or dump.main is None or facts is not case.facts[0]:
        return None
    main = facts.threads[0] if facts.threads else None
    frame = dump.main.culprit()
    if frame is None:
        return None
    busy = main.busy if main is not None else facts.busy
    if not dump.complete:
        return _in_c(facts, dump, frame, main, busy, case)
    loop = _loop_in(dump.main)
    if loop == "idle":
        return _idle(facts, dump, case)
    begin = "its event loop is blocked" if loop == "blocked" else "its main thread does not go on"
    others = _other_threads(facts, dump, main)
    if busy:
        return Explained("busy", f"{begin}: at {place(frame)} it computes without a pause{others}", facts.pid)
    if main is None or not main.does:
        return Explained("waiting", f"{begin}: it is at {place(frame)}", facts.pid)
    return Explained("waiting", f"{begin}: at {place(frame)} it {_does(facts.pid, main, case)}{others}", facts.pid)


def _in_c(facts: Facts, dump: Dump, frame: Frame, main: Thread | None, busy: bool, case: Case) -> Explained:
    """The interpreter did not get a turn: C code that holds its lock, or that keeps the main thread."""
    text = f"it does not come back from C code that was called at {place(frame)}"
    if busy:
        return Explained("busy", f"{text} and computes without a pause; no other Python code has its turn", facts.pid)
    if any(thread.busy for thread in facts.threads[1:]):
        # Which of them it is can't be told: nobody could write down the threads' numbers.
        stacks = dump.threads[1:]
        where = [place(other) for stack in stacks if (other := stack.culprit()) is not None and other.is_users]
        text = (
            f"its main thread, at {place(frame)}, has no turn: C code called in another thread computes without a pause"
        )
        return Explained("busy", f"{text} ({' or '.join(where[:_NAMED]) or 'where is not known'})", facts.pid)
    does = f" and {_does(facts.pid, main, case)}" if main is not None and main.does else ""
    return Explained("waiting", f"{text}{does}; no other Python code has its turn", facts.pid)


def _loop_in(main: Stack) -> str | None:
    """asyncio's loop in this thread: ``idle`` (in its own poll), ``blocked`` (in what it called), or None."""
    frames = main.frames
    for depth, frame in enumerate(frames):
        if frame.function == "_run_once" and frame.file.endswith("asyncio/base_events.py"):
            return "idle" if depth == 0 or (depth == 1 and frames[0].function == "select") else "blocked"
        if frame.function == "run" and frame.file.endswith("asyncio/runners.py"):
            return "idle" if depth == 0 else "blocked"  # a loop in C (uvloop) has no frames of its own
    return None


def _idle(facts: Facts, dump: Dump, case: Case) -> Explained:
    """The loop itself is fine: whom its tasks wait for is the question, if it would be heard at all."""
    if not case.connected:
        text = "its event loop runs, but it has no connection to the tree any more and gets none"
        return Explained("unheard", f"{text}: has it changed its user, or closed its descriptors?", facts.pid)
    begin = "its event loop runs, but the program does not go on"
    told = [(task, frame) for task in dump.tasks if (frame := task.culprit()) is not None and frame.is_users]
    locked = [pair for pair in told if _waits_for_a_lock(pair[0])]
    if len(locked) > 1:
        text = f"{begin}: {len(locked)} tasks wait for locks or queues, perhaps for one another: {_tasks(locked)}"
    elif told:
        text = f"{begin}: {_tasks(locked or told)}"
    else:
        text = f"{begin}: none of its {len(dump.tasks)} tasks is in the program's own code"
    return Explained("idle", text, facts.pid)


_WAITS_IN = {
    "locks.py": {"acquire": "for a lock", "wait": "for an event", "wait_for": "for a condition"},
    "queues.py": {"get": "for a queue to hold something", "put": "for room in a queue", "join": "for a queue's end"},
    "tasks.py": {"sleep": "in asyncio.sleep"},
    "streams.py": {"_wait_for_data": "for data from a connection", "drain": "for a connection to take its data"},
}


def _waits_for_a_lock(task: Stack) -> bool:
    return any(frame.file.endswith(("asyncio/locks.py", "asyncio/queues.py")) for frame in task.frames)


def _tasks(pairs: Sequence[tuple[Stack, Frame]]) -> str:
    words = []
    for task, frame in pairs[: _NAMED + 1]:
        inner = next((_WAITS_IN[file][each.function] for each in task.frames if (file := _asyncio(each))), "")
        waits = inner or (f"for {task.awaits}" if task.awaits else "")
        words.append(f'task "{task.name}" waits {waits} at {place(frame)}'.replace("  ", " "))
    more = len(pairs) - len(words)
    return ", ".join(words) + (f", and {more} more" if more else "")


def _asyncio(frame: Frame) -> str:
    """The file of asyncio in which a frame waits in a way that has a name."""
    folder, file = os.path.split(frame.file)
    known = folder.endswith("asyncio") and frame.function in _WAITS_IN.get(file, {})
    return file if known else ""


def _other_threads(facts: Facts, dump: Dump, main: Thread | None) -> str:
    """Where the other threads are that wait for a lock, too: two of them may wait for one another."""
    if main is None or main.does != "lock":
        return ""
    by_number = {thread.tid: thread for thread in facts.threads}
    found = []
    for stack in dump.threads[1:]:
        thread = by_number.get(stack.tid or 0)
        frame = stack.culprit()
        if thread is not None and thread.does == "lock" and frame is not None and frame.is_users:
            found.append(f'thread "{stack.name}" waits for a lock at {place(frame)}')
    more = len(found) - _NAMED
    return "".join(f"; {each}" for each in found[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _from_the_system(facts: Facts, case: Case) -> Explained:
    """No stacks: what /proc, or psutil, tells."""
    who = _who(facts, case)
    silent = ""
    if case.asked and facts is case.facts[0]:
        silent = " (no stacks: it did not even handle the signal that asks for them)"
    elif case.lost and facts is case.facts[0]:
        silent = " (no stacks: somebody has removed the file for them from the run directory)"
    elif case.deaf and facts is case.facts[0]:
        silent = f" (no stacks: it gave up the handler of the signal that asks for them, and is {_command(facts)} now)"
    if facts.busy or any(thread.busy for thread in facts.threads):
        cores = f"{max(facts.cpu, 0.0):.1f}".removesuffix(".0")
        core = "a whole processor" if cores == "1" else f"{cores} processors"
        return Explained("busy", f"{who} computes without a pause ({core}){silent}", facts.pid)
    main = facts.threads[0] if facts.threads else None
    if main is None or not main.does:
        where = f" (in the kernel: {main.where})" if main is not None and main.where else ""
        return Explained("waiting", f"{who} lives and does nothing{where}{silent}", facts.pid)
    return Explained("waiting", f"{who} lives and {_does(facts.pid, main, case)}{silent}", facts.pid)


def _does(pid: int, thread: Thread | None, case: Case) -> str:
    if thread is None or not thread.does:
        return "waits"
    return _DOES.get(thread.does, "waits").format(what=_what(pid, thread, case))


def _what(pid: int, thread: Thread, case: Case) -> str:
    """What it waits for: a child, or what a descriptor is, for people."""
    if thread.does == "child":
        children = [facts for facts in case.facts if facts.parent == pid]
        return f"its child {_command(children[-1])} (pid {children[-1].pid})" if children else "a child process"
    if thread.fd is None:
        return "somewhere"
    target = thread.target
    peer = case.peers.get((pid, thread.fd))
    if peer:
        return peer
    if target.startswith("socket:"):
        return f"a socket (descriptor {thread.fd})"
    if target.startswith("pipe:"):
        return {0: "its standard input", 1: "its standard output", 2: "its standard error"}.get(
            thread.fd, f"a pipe (descriptor {thread.fd})"
        )
    return target or f"descriptor {thread.fd}"


def place(frame: Frame) -> str:
    """``app.py:19 in work (`time.sleep(1000)`)``."""
    text = frame.text if len(frame.text) <= _TEXT else f"{frame.text[:_TEXT]}…"
    return f"{_short(frame.file)}:{frame.line} in {frame.function}" + (f" (`{text}`)" if text else "")


def _short(path: str) -> str:
    """The last two parts of a path: enough to know a file by."""
    return os.path.join(*path.split("/")[-2:]) if path.count("/") > 1 else path


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
