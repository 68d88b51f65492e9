"""The stack dump of a Python worker (`workers/life/dump.py`), read back: threads, tasks, and where each of them is."""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import PurePath
from typing import BinaryIO

from msgspec import Struct, structs

from supervisor_tree.system import SystemMeansError, means
from supervisor_tree.system.watch import FileWatcher, StatWatcher
from supervisor_tree.workers.life.dump import END

_MOST = 256 * 1024
"""Bytes of a dump that are read."""
_LINE = 300
"""Characters of a source line that are shown."""
_SOURCE = 4 * 1024 * 1024
"""Bytes of a source file in which a line is looked up."""

_HEAD = re.compile(r"(?:Current )?[Tt]hread (0x[0-9a-f]+)\b.*\(most recent call first\):")
_FRAME = re.compile(r'\s*File "(.*)", line (\d+|\?\?\?) in (.+)')
_NAMED = re.compile(r'  (0x[0-9a-f]+) is "(.*)" \((\d+|None)\)')
_TASK = re.compile(r'  Task "(.*)", (running|waiting) \(most recent call first\):')
_AWAITED = re.compile(r"    waits for (.+)")
_STANDARD = re.compile(r"/(?:lib|lib64|Lib)/python3\.\d+t?/|/python3\d*\.zip/|^<frozen ")
_OTHERS = re.compile(r"/(?:site|dist)-packages/")
_OURS = re.compile(r"/supervisor_tree/workers/(?!example/)")


class Frame(Struct, frozen=True):
    file: str
    line: int
    function: str
    text: str = ""
    """The source line, where it could be read."""

    @property
    def is_standard(self) -> bool:
        """Of the standard library."""
        return _STANDARD.search(self.file) is not None and _OTHERS.search(self.file) is None

    @property
    def is_users(self) -> bool:
        """Of the program itself: neither the standard library, nor a package that is installed, nor ours."""
        known = self.is_standard or _OTHERS.search(self.file) or _OURS.search(self.file) or self.file[:1] == "<"
        return not known


class Stack(Struct, frozen=True):
    """Of one thread or task; the frames innermost first."""

    name: str
    frames: tuple[Frame, ...]
    tid: int | None = None
    """Of a thread: its number for the system."""
    running: bool = False
    awaits: str = ""
    """Of a task: what it waits for."""

    def culprit(self) -> Frame | None:
        """The frame that people know: the innermost of the program itself, else of an installed package, else any."""
        for wanted in (_users, _not_standard):
            found = next((frame for frame in self.frames if wanted(frame)), None)
            if found is not None:
                return found
        return self.frames[0] if self.frames else None


def _users(frame: Frame) -> bool:
    return frame.is_users


def _not_standard(frame: Frame) -> bool:
    return not frame.is_standard and _OURS.search(frame.file) is None and frame.file[:1] != "<"


class Dump(Struct, frozen=True):
    text: str
    """As it was written."""
    threads: tuple[Stack, ...]
    """The main thread first."""
    tasks: tuple[Stack, ...] = ()
    complete: bool = False
    """The main thread came to its next bytecode: C code neither holds the interpreter's lock nor keeps it."""

    @property
    def main(self) -> Stack | None:
        return self.threads[0] if self.threads else None

    @property
    def shows_a_shim(self) -> bool:
        """A `ShimWorker`, or a class made from it: it watches over another program."""
        return any("/supervisor_tree/workers/shim/" in frame.file for task in self.tasks for frame in task.frames)


def parse(text: str, pid: int) -> Dump:
    """What is not understood is passed over: it is in ``text`` for people."""
    complete = f"\n{END}\n" in text
    threads: dict[str, list[Frame]] = {}
    names: dict[str, tuple[str, int | None]] = {}
    tasks: list[Stack] = []
    frames: list[Frame] = []
    for line in text.splitlines():
        if found := _HEAD.match(line):
            frames = threads[found[1]] = []
        elif found := _TASK.match(line):
            frames = []
            tasks.append(Stack(found[1], (), running=found[2] == "running"))
        elif found := _FRAME.match(line):
            frames.append(Frame(found[1], int(found[2]) if found[2].isdigit() else 0, found[3]))
            if tasks:
                tasks[-1] = structs.replace(tasks[-1], frames=tuple(frames))
        elif tasks and (found := _AWAITED.match(line)):
            tasks[-1] = structs.replace(tasks[-1], awaits=found[1])
        elif found := _NAMED.match(line):
            names[found[1]] = found[2], int(found[3]) if found[3].isdigit() else None
    # faulthandler lists the youngest first; the main thread is the oldest.
    stacks = [
        Stack(name, tuple(stack), tid)
        for place, (ident, stack) in enumerate(reversed(threads.items()))
        for name, tid in [_named(names, ident, last=place == 0, pid=pid)]
    ]
    stacks.sort(key=lambda stack: stack.tid != pid)
    return Dump(text, tuple(stacks), tuple(tasks), complete)


def _named(names: dict[str, tuple[str, int | None]], ident: str, *, last: bool, pid: int) -> tuple[str, int | None]:
    if ident in names:
        return names[ident]
    return ("MainThread", pid) if last and not names else (ident, None)


class Expected:
    """A dump that a worker is about to be asked for. Made before the signal is sent; `wait` ends it.

    Raises:
        OSError: there is no dump file, or it is not the worker's own plain file: a link there could lead anywhere.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.uid = os.lstat(os.path.dirname(path)).st_uid
        with self._open() as file:
            self._start = file.seek(0, os.SEEK_END)
        self._watcher: FileWatcher = means.watch_files()
        try:
            self._watcher.add(path)
        except SystemMeansError:
            self._watcher.close()
            self._watcher = StatWatcher()
            self._watcher.add(path)

    def wait(self, pid: int, within: float) -> Dump | None:
        """What was written within so many seconds; None: nothing.

        Raises:
            OSError: as above.
        """
        until = time.monotonic() + within
        with self._watcher:
            while True:
                with self._open() as file:
                    file.seek(self._start)
                    text = file.read(_MOST).decode(errors="replace")
                left = until - time.monotonic()
                if text.endswith(f"{END}\n") or left <= 0:
                    break
                self._watcher.wait(left)
        return with_source(parse(text, pid), self.uid) if text else None

    def _open(self) -> BinaryIO:
        fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        file = os.fdopen(fd, "rb")
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode) or seen.st_uid != self.uid or seen.st_nlink != 1:
            file.close()
            raise PermissionError(f"{self._path} is not the dump file of user {self.uid}")
        return file


def with_source(dump: Dump, uid: int) -> Dump:
    """The same with the source lines of the frames that are told about: those of programs, of packages."""
    lines = _Source(uid)

    def filled(stack: Stack) -> Stack:
        frames = tuple(
            frame if frame.is_standard else structs.replace(frame, text=lines.line(frame.file, frame.line))
            for frame in stack.frames
        )
        return structs.replace(stack, frames=frames)

    return structs.replace(
        dump, threads=tuple(map(filled, dump.threads[:16])) + dump.threads[16:], tasks=tuple(map(filled, dump.tasks))
    )


class _Source:
    """Lines of files that user ``uid`` may read: a dump must not make us show him others."""

    def __init__(self, uid: int) -> None:
        self._uid = uid
        self._files: dict[str, list[bytes]] = {}

    def line(self, path: str, number: int) -> str:
        lines = self._files.get(path)
        if lines is None:
            lines = self._files[path] = self._read(path)
        text = lines[number - 1] if 0 < number <= len(lines) else b""
        return text.decode(errors="replace").strip()[:_LINE]

    def _read(self, path: str) -> list[bytes]:
        if PurePath(path).suffix != ".py" or not os.path.isabs(path):
            return []
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(fd, "rb") as file:
                seen = os.fstat(fd)
                his = self._uid == os.geteuid() or seen.st_uid == self._uid or seen.st_mode & 0o004
                return file.read(_SOURCE).splitlines() if stat.S_ISREG(seen.st_mode) and his else []
        except OSError:
            return []
