"""The writer thread: waits for pipes and moves what is in them to files.

Everything that may block on a disk happens here, by way of `Disk.call`. When that takes too long, the main thread drops
what must not wait (`drop_all`).

Whole lines: where two streams share a file, one waits a moment for the end of the other's line; a file is rotated at
the end of a line.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections import deque

from supervisor_tree.logs.disk import Disk
from supervisor_tree.logs.files import LogFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from supervisor_tree.logs.carry import Carry
    from supervisor_tree.logs.memo import Memo
    from supervisor_tree.logs.spill import Spills
    from supervisor_tree.logs.streams import Stream
    from supervisor_tree.logs.waiting import Waiter

    Tell = Callable[[dict[str, Any]], None]

PATIENCE = 0.1
"""Seconds that a stream waits for the end of another's line in the same file."""
RETRY = 1.0
"""Seconds between two tries at a disk that refused bytes."""
_TOGETHER = 0.01
"""Seconds for which ends of file are gathered."""
_DRAIN = 3.0
"""Seconds that a drain may take while workers go on writing."""


class Mover:
    """The thread, and what the main thread may ask of it (`ask` and `drop_all`, nothing else)."""

    def __init__(self, carry: Carry, memo: Memo, spills: Spills, waiter: Waiter, tell: Tell) -> None:
        self._carry = carry
        self._memo = memo
        self._waiter = waiter
        self._tell = tell
        self._streams: dict[Any, Stream] = {}
        self._ready: deque[Stream] = deque()
        self._blocked: set[LogFile] = set()
        self._spills = spills
        self._held: dict[Stream, float] = {}
        self._dirty: set[LogFile] = set()
        self._ended: dict[Stream, None] = {}
        self._finish_at = 0.0
        self._asked: deque[Callable[[], None]] = deque()
        self._halted = False
        self.disk = Disk(lambda: tell({}))
        self._disk = self.disk.call
        self.thread = threading.Thread(target=self._live, name="writer", daemon=True)

    # Asked by the main thread

    def ask(self, what: Callable[[], None]) -> None:
        """Have ``what`` called in the writer thread, in order."""
        self._asked.append(what)
        # Behind another it is taken with that, whose asker has woken the thread.
        if len(self._asked) == 1:
            self._waiter.wake()

    def drop_all(self, streams: list[Stream]) -> bool:
        """Main thread, while the writer is stuck: throw away what these pipes hold. False: it is stuck no more."""

        def drop() -> None:
            for stream in streams:
                with contextlib.suppress(BlockingIOError):
                    stream.count_dropped(self._carry.discard(stream))

        return self.disk.meanwhile(drop)

    # Called in the writer thread, through `ask`

    def attach(self, stream: Stream) -> None:
        self._carry.attach(stream)
        self._streams[stream.id] = stream
        stream.file.streams.append(stream)
        self._waiter.add(stream)

    def finish(self, files: Callable[[str], LogFile]) -> None:
        """Write what the logger before had taken and not yet written; ``files`` gives the log file of a path."""
        for spill in self._spills.left(self._carry.staged):
            file = files(spill.path)
            file.spills.append(spill)
            self._blocked.add(file)
        whose = self._memo.staged()
        if whose and self._carry.staged:
            path, kind, block = whose
            file = files(path)
            file.block = block
            size = self._carry.staged
            try:
                if file.spills:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self._disk(file.open)
                self._disk(self._carry.store, file.fd)
            except OSError as error:
                lost = self._put_aside(file, kind, error)
                if lost:
                    reason = error.strerror
                    self._tell({"t": "notice", "what": "dropped", "file": path, "bytes": lost, "reason": reason})
            else:
                file.note(kind, size)
                self._close_unused(file)
        self._try_space()

    def flush(self, streams: list[Stream], then: Callable[[], None]) -> None:
        """Take all that these pipes hold now, half lines too; call ``then`` when it is in the files."""
        for stream in streams:
            stream.flush = True
        end = time.monotonic() + _DRAIN
        left = list(streams)
        while left and time.monotonic() < end:
            left = [stream for stream in left if self._step(stream)]
        for stream in streams:
            stream.flush = False
            self._queue(stream)
        self._finish_ended()
        self._write_indexes()
        then()

    def all(self) -> list[Stream]:
        return list(self._streams.values())

    def halt(self) -> None:
        """Touch no pipe any more: another logger may have taken over."""
        self._halted = True

    def go_on(self) -> None:
        self._halted = False

    def call_on_disk(self, what: Callable[[], None]) -> None:
        """Something else that writes to the disk."""
        try:
            self._disk(what)
        except OSError as error:
            self._tell({"t": "notice", "what": "error", "reason": str(error)})

    # The thread

    def _live(self) -> None:
        self.disk.hands.acquire()
        try:
            self._run()
        finally:
            # Only a bug comes here. Another logger has to take over.
            self._tell({"t": "broken"})

    def _run(self) -> None:
        while True:
            while self._asked:
                self._asked.popleft()()
            if self._ended and time.monotonic() >= self._finish_at:
                self._finish_ended()
            if self.disk.dropped_meanwhile:
                # Each has to be looked at again, and to say what it lost.
                self.disk.dropped_meanwhile = False
                for each in self._streams.values():
                    self._queue(each)
            if self._ready and not self._halted:
                self._take_events(0.0)
                for _ in range(len(self._ready)):
                    stream = self._ready.popleft()
                    stream.queued = False
                    if self._step(stream):
                        self._queue(stream)
                    if self._held:
                        self._release(stream.file)
                continue
            self._write_indexes()
            timeout = None
            if self._held:
                self._release(None)
                timeout = min(self._held.values(), default=0.0) - time.monotonic()
            if self._blocked:
                self._try_space()
            if self._blocked:
                timeout = RETRY if timeout is None else min(timeout, RETRY)
            if self._ended:
                left = self._finish_at - time.monotonic()
                timeout = left if timeout is None else min(timeout, left)
            if not self.disk.dropped_meanwhile:
                self._take_events(None if timeout is None else max(0.0, timeout))

    def _take_events(self, timeout: float | None) -> None:
        for stream in self._waiter.wait(timeout):
            self._queue(stream)

    def _queue(self, stream: Stream) -> None:
        if not stream.queued and stream.fd >= 0:
            stream.queued = True
            self._ready.append(stream)

    def _step(self, stream: Stream) -> bool:
        """Move one chunk of one pipe. True: look at it again, there may be more."""
        if stream.fd < 0 or stream in self._ended:
            return False
        file = stream.file
        try:
            if stream.unmarked and file.trouble is None:
                self._mark(stream)
            if file.trouble is not None and (file.block or time.monotonic() < file.retry_at):
                return self._hold_or_discard(stream)
            if file.fd < 0:
                if not self._carry.available(stream):
                    # Who never wrote anything gets no file.
                    if stream.ended:
                        self._end(stream)
                    return False
                self._disk(file.open)
            if file.last not in (-1, stream.kind) and not self._let_end(stream):
                return False
            if file.room >= self._carry.chunk + file.margin:
                return self._move(stream, self._carry.chunk)
            return self._step_near_end(stream)
        except BlockingIOError:
            return False
        except OSError as error:
            self._refused(stream, error)
            return True

    def _step_near_end(self, stream: Stream) -> bool:
        """As `_step`, for a file that may have to be rotated: so that no line begins in one file and ends in another.

        What is left in the pipe is taken at once afterwards: a pipe that is not empty may tell nobody that it fills up.
        """
        file = stream.file
        have = self._carry.available(stream)
        if not have:
            if stream.ended:
                self._end(stream)
            return False
        if have <= file.room - file.margin:
            return self._move(stream, have)
        window = min(have, self._carry.chunk, max(file.room, 0))
        length, _ = self._carry.last_newline(stream, window) if window else (0, 0)
        if length:
            self._move(stream, length)
            return self._rotate(stream)
        if have <= file.room:
            return self._move(stream, have)
        if file.size and self._disk(file.at_line_start):
            return self._rotate(stream)
        # A line is longer than the file has room: let one that began before end here, cut one that has no end.
        beyond = file.margin + file.room if file.size else 0
        if beyond > 0:
            window = min(have, beyond, self._carry.chunk)
            length = self._carry.first_newline(stream, window)
            self._move(stream, length or window)
            return self._rotate(stream) if length else True
        if file.room > 0:
            self._move(stream, min(have, file.room))
        if file.room <= 0:
            self._tell(stream.notice("cut", bytes=file.size))
            return self._rotate(stream)
        return True

    def _let_end(self, stream: Stream) -> bool:
        """Two streams share a file: let the line of the other one end first. False: ``stream`` has to wait for that."""
        file = stream.file
        if stream.flush or self._disk(file.at_line_start):
            return True
        for other in file.streams:
            have = self._carry.available(other) if other.kind == file.last else 0
            length, _ = self._carry.last_newline(other, min(have, self._carry.chunk)) if have else (0, 0)
            if length:
                self._move(other, length)
                self._queue(other)
                return True
        now = time.monotonic()
        if file.open_line != file.size:
            file.open_line, file.open_until = file.size, now + PATIENCE
        if now >= file.open_until:
            return True
        self._waiter.remove(stream)
        self._held[stream] = file.open_until
        return False

    def _release(self, file: LogFile | None) -> None:
        """Look again at streams that waited for the end of another's line, if it may have come."""
        now = time.monotonic()
        for stream, until in list(self._held.items()):
            if stream.file is file or until <= now:
                del self._held[stream]
                self._waiter.add(stream)

    def _move(self, stream: Stream, size: int) -> bool:
        """Take up to ``size`` bytes and write them. False at end of file."""
        file = stream.file
        got = self._carry.take(stream, size)
        if not got:
            self._end(stream)
            return False
        stream.moved += got
        try:
            self._disk(self._store, file)
        except OSError as error:
            file.note(stream.kind, got - self._carry.staged)
            self._dirty.add(file)
            self._refused(stream, error)
            return True
        if file.trouble is not None:
            self._recovered(file)
        file.note(stream.kind, got)
        self._dirty.add(file)
        if self._memo.full:
            self._write_indexes()
        return True

    def _store(self, file: LogFile) -> None:
        if file.fd < 0:
            file.open()
        else:
            file.check()
        self._carry.store(file.fd)

    def _rotate(self, stream: Stream) -> bool:
        try:
            self._disk(stream.file.rotate)
        except OSError as error:
            self._tell(stream.notice("not_rotated", reason=error.strerror or str(error)))
        return True

    # Trouble

    def _refused(self, stream: Stream, error: OSError) -> None:
        """The disk took nothing, or not all of what was taken."""
        file = stream.file
        now = time.monotonic()
        if file.trouble is None:
            what = "blocking" if file.block else "dropping"
            self._tell(stream.notice(what, reason=error.strerror or str(error)))
        file.trouble = error
        file.retry_at = now + RETRY
        lost = self._put_aside(file, stream.kind, error)
        stream.dropped += lost
        stream.unmarked += lost

    def _put_aside(self, file: LogFile, kind: int, error: OSError) -> int:
        """Free the staging pipe of what the disk did not take; how many bytes were dropped."""
        if file.block:
            file.trouble = error
            self._blocked.add(file)
            spill = self._spills.take(file.path, kind, self._carry.staged) if self._carry.staged else None
            if spill is not None:
                spill.fill(self._carry)
                file.spills.append(spill)
        return self._carry.drop()

    def _hold_or_discard(self, stream: Stream) -> bool:
        if stream.file.block:
            if stream not in stream.file.waiting:
                stream.file.waiting.append(stream)
                self._waiter.remove(stream)
            return False
        got = self._carry.discard(stream)
        if not got:
            self._end(stream)
            return False
        stream.count_dropped(got)
        return True

    def _try_space(self) -> None:
        """Try again the files that may not drop."""
        now = time.monotonic()
        for file in [file for file in self._blocked if file.retry_at <= now]:
            try:
                self._disk(self._write_spills, file)
            except OSError as error:
                file.trouble = error
                file.retry_at = now + RETRY
                continue
            self._blocked.discard(file)
            self._recovered(file)
            self._close_unused(file)
            for stream in file.waiting:
                self._waiter.add(stream)
            file.waiting.clear()

    def _write_spills(self, file: LogFile) -> None:
        file.open()
        self._dirty.add(file)
        while file.spills:
            spill = file.spills[0]
            while written := spill.write(file.fd, file.size):
                file.note(spill.kind, written)
            self._spills.free(file.spills.pop(0))

    def _recovered(self, file: LogFile) -> None:
        """The disk takes bytes again; called before the first of them are noted."""
        file.trouble = None
        marked = False
        for stream in self._streams.values():
            if stream.file is file and stream.unmarked:
                self._mark(stream)
                marked = True
        if not marked:
            self._tell({"t": "notice", "what": "recovered", "file": file.path, "bytes": 0})

    def _mark(self, stream: Stream) -> None:
        stream.file.note_dropped(stream.kind, stream.unmarked)
        self._dirty.add(stream.file)
        self._tell(stream.notice("recovered", bytes=stream.unmarked))
        stream.unmarked = 0

    # Ends

    def _end(self, stream: Stream) -> None:
        """End of file. All else is done a moment later, for many at once: now, at a worker's death, the keeper and the
        root need the processors."""
        if stream.unmarked:
            self._mark(stream)
        if stream.file.last == stream.kind:
            stream.file.last = -1
        self._held.pop(stream, None)
        self._waiter.remove(stream)
        if not self._ended:
            self._finish_at = time.monotonic() + _TOGETHER
        self._ended[stream] = None

    def _finish_ended(self) -> None:
        if not self._ended:
            return
        self._write_indexes()
        ended, self._ended = self._ended, {}
        for stream in ended:
            self._finish_stream(stream)

    def _finish_stream(self, stream: Stream) -> None:
        file = stream.file
        self._carry.forget(stream)
        os.close(stream.fd)
        stream.fd = -1
        self._streams.pop(stream.id, None)
        file.streams.remove(stream)
        self._close_unused(file)
        self._tell({"t": "ended", "stream": stream})

    def _close_unused(self, file: LogFile) -> None:
        if not file.streams:
            self._disk(file.close)

    def _write_indexes(self) -> None:
        for file in self._dirty:
            self._disk(file.write_index)
        if self._dirty:
            self._dirty.clear()
            self._memo.clear()
