"""Patterns in what workers write, told as the lines come.

One thread follows the log files of all workers that somebody watches, woken by the system's file events; there is
none while nobody watches. Of a line only the first `LONGEST` bytes are looked at: a pattern such as `.*a.*b` takes the
square of the length, and no other thread of ours runs meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from supervisor_tree.root import last_output

if TYPE_CHECKING:
    from supervisor_tree.logs.follow import Follower
    from supervisor_tree.logs.read import Cursor, Line
    from supervisor_tree.root.shell import Shell

LONGEST = 8192
"""Bytes of a line."""
_BATCH = 500
"""Lines that are told at once at most; the next ones wait until these were heard."""
_AGAIN = 60.0
"""Seconds after an error of ours until it is tried again."""

OnLine = Callable[[str, float], None]
"""Told a line that matches, without its end, and when it was written (wall clock, seconds)."""


class Watch:
    """One pattern in one worker's output, until `end`."""

    def __init__(self, outputs: Outputs, name: str, pattern: re.Pattern[str], on_line: OnLine, since: float) -> None:
        self.name = name
        self.pattern = pattern
        self.on_line = on_line
        self.since = since
        self.trouble: str | None = None
        """Why nothing can be seen, in words."""
        self.current = False
        """What had been written when the watch began was looked at."""
        self.ended = False
        self.files: dict[str, str | None] = {}
        """What is followed, and what its bytes are where the index does not say."""
        self._outputs = outputs

    def end(self) -> None:
        """Nothing more is told."""
        if not self.ended:
            self.ended = True
            self._outputs.forget(self)


class _Found(NamedTuple):
    watch: Watch
    text: str
    time: float


class Outputs:
    """All watches of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._watches: list[Watch] = []
        self._thread: _Thread | None = None

    def watch(self, name: str, pattern: re.Pattern[str], on_line: OnLine, since: float | None = None) -> Watch:
        """Tell ``on_line``, on the loop, of each line of this worker's output that matches.

        Args:
            since: also those written from this time on (wall clock, seconds); None: from now on. Who goes on after a
                root's death says here how far he was.
        """
        watch = Watch(self, name, pattern, on_line, time.time() if since is None else since)
        self._watches.append(watch)
        self._begin(watch, self._files(name))
        return watch

    def _files(self, name: str) -> dict[str, str | None]:
        return last_output.streams(self._shell.spawning.log_file(name))

    def _begin(self, watch: Watch, files: dict[str, str | None]) -> None:
        watch.files = files
        device = next((path for path in files if path.startswith("/dev/")), None)
        watch.trouble = None
        if device is not None:
            watch.trouble = f"its output goes to {device} and can't be read back"
            return
        if self._thread is None:
            self._thread = _Thread(self._shell, self)
        self._thread.add(watch, files)

    def forget(self, watch: Watch) -> None:
        """No longer followed; the thread ends with the last watch."""
        if watch in self._watches:
            self._watches.remove(watch)
        if self._thread is not None:
            self._thread.drop(watch)
            if not self._watches:
                self._thread.close()
                self._thread = None

    def replan(self) -> None:
        """The plan has changed: log files may be other ones now."""
        for watch in self._watches:
            files = self._files(watch.name)
            if files != watch.files:
                self._anew(watch, files)

    def _anew(self, watch: Watch, files: dict[str, str | None]) -> None:
        if self._thread is not None:
            self._thread.drop(watch)
        watch.since = time.time()
        self._begin(watch, files)

    def lost(self, thread: _Thread, error: Exception) -> None:
        """An error of ours has ended the thread: said, and begun anew in a while."""
        self._shell.internal_error("outputs", error)
        self._shell.flush()
        if self._thread is thread:
            self._thread = None
            for watch in self._watches:
                watch.trouble = "it can't be followed at present, for an error of ours"
            self._shell.loop.call_later(_AGAIN, self._all_anew)

    def _all_anew(self) -> None:
        for watch in list(self._watches):
            self._anew(watch, self._files(watch.name))

    def close(self) -> None:
        """Let go of thread and files."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None

    def tell(self, found: list[_Found]) -> None:
        """These lines match. On the loop."""
        for watch, text, when in found:
            if watch.ended:
                continue
            try:
                watch.on_line(text, when)
            except Exception as error:
                self._shell.internal_error(f"output of {watch.name}", error)
        self._shell.flush()


class _Thread:
    """Follows files, away from the loop."""

    def __init__(self, shell: Shell, outputs: Outputs) -> None:
        self._shell = shell
        self._outputs = outputs
        self._lock = threading.Lock()
        self._orders: list[tuple[Watch, dict[str, str | None] | None]] = []
        """Watches to begin (with their files) and to end (without)."""
        self._closed = False
        self._gone = False
        self._heard = threading.Event()
        self._heard.set()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        threading.Thread(target=self._run, name="outputs", daemon=True).start()

    # From the loop

    def add(self, watch: Watch, files: dict[str, str | None]) -> None:
        self._order(watch, files)

    def drop(self, watch: Watch) -> None:
        self._order(watch, None)

    def close(self) -> None:
        self._closed = True
        self._heard.set()
        self._rouse()

    def _order(self, watch: Watch, files: dict[str, str | None] | None) -> None:
        with self._lock:
            self._orders.append((watch, files))
        self._rouse()

    def _rouse(self) -> None:
        with self._lock, contextlib.suppress(OSError):  # it is full: it wakes anyway
            if not self._gone:
                os.write(self._wake, b"!")

    # In the thread

    def _run(self) -> None:
        from supervisor_tree.logs.follow import Follower
        from supervisor_tree.logs.read import Choice

        followed: dict[str, tuple[Watch, list[Cursor]]] = {}
        follower: Follower | None = None
        try:
            follower = Follower(Choice())
            poll = select.poll()
            poll.register(follower.fileno(), select.POLLIN)
            poll.register(self._woken, select.POLLIN)
            while not self._closed:
                every = follower.every
                poll.poll(None if every is None else every * 1000)
                with contextlib.suppress(OSError):
                    os.read(self._woken, 4096)
                self._round(follower, followed)
        except Exception as error:  # supervision goes on without us
            self._call(self._outputs.lost, self, error)
        finally:
            if follower is not None:
                follower.close()
            for _, cursors in followed.values():
                for cursor in cursors:
                    cursor.close()
            with self._lock:
                self._gone = True
                os.close(self._woken)
                os.close(self._wake)

    def _round(self, follower: Follower, followed: dict[str, tuple[Watch, list[Cursor]]]) -> None:
        try:
            with self._lock:
                orders, self._orders = self._orders, []
            for watch, files in orders:
                key = str(id(watch))
                for cursor in followed.pop(key, (watch, []))[1]:
                    follower.remove(cursor)
                if files is not None and not watch.ended:
                    followed[key] = watch, self._begin(follower, watch, key, files)
            self._tell(follower.lines(), {key: watch for key, (watch, _) in followed.items()})
        except OSError as error:
            self._call(self._shell.internal_error, "outputs", error)

    def _begin(self, follower: Follower, watch: Watch, key: str, files: dict[str, str | None]) -> list[Cursor]:
        """What has been written since the beginning of the watch, then what comes."""
        from supervisor_tree.logs.read import Choice, Cursor

        cursors = []
        for path, stream in files.items():
            cursor = Cursor(key, path, stream, LONGEST)
            cursors.append(cursor)
            self._tell(cursor.all(Choice(since=watch.since)), {key: watch})
            follower.add(cursor)
        watch.current = True
        return cursors

    def _tell(self, lines: Iterable[Line], watches: dict[str, Watch]) -> None:
        found: list[_Found] = []
        for line in lines:
            if self._closed:
                return
            watch = watches.get(line.name)
            text = _text(line)
            if watch is None or watch.ended or text is None or not watch.pattern.search(text):
                continue
            found.append(_Found(watch, text, line.time))
            if len(found) >= _BATCH:
                self._post(found)
                found = []
        if found:
            self._post(found)

    def _post(self, found: list[_Found]) -> None:
        """Hand over to the loop, once it has heard the ones before."""
        self._heard.wait()
        self._heard.clear()
        self._call(self._take, found)

    def _take(self, found: list[_Found]) -> None:
        self._outputs.tell(found)
        self._heard.set()

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone
            self._shell.loop.call_soon_threadsafe(function, *arguments)


def _text(line: Line) -> str | None:
    """A line without its end; None where bytes were dropped."""
    return None if line.dropped else line.data[:LONGEST].rstrip(b"\r\n").decode(errors="replace")
