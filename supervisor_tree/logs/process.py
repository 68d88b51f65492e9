"""The logger's main thread: the link to the keeper, the keeper's death, disks that do not answer.

It never blocks: whatever touches a disk is asked of the writer thread (`mover.Mover`).
"""

from __future__ import annotations

import os
import select
import time
from collections import deque

from supervisor_tree.ipc.link import Link, LinkClosed, LinkError
from supervisor_tree.keeper.deathwatch import DeathWatch
from supervisor_tree.logs.files import LogFile
from supervisor_tree.logs.mover import Mover
from supervisor_tree.logs.streams import Stream
from supervisor_tree.logs.table import Table
from supervisor_tree.logs.waiting import Wake
from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.logs.carry import Carry
    from supervisor_tree.logs.memo import Memo
    from supervisor_tree.logs.spill import Spills
    from supervisor_tree.logs.waiting import Waiter

STALL = 2.0
"""Seconds after which a write counts as stuck."""
LEFT = 0.2
"""Seconds that a pipe may stay open after its group is empty before its output is called complete."""
_PROOF = 5.0
"""Seconds after an end of file on the link in which the keeper's death is still waited for: a dying process closes its
descriptors before it can be seen dead."""
_LAST_BYTES = 1.0
"""Seconds for what is in the pipes after everything was killed."""


class LoggerError(Exception):
    """This logger can't go on; the keeper starts another, which goes on where it was."""


class Logger:
    """Everything that one logger process is."""

    def __init__(self, link: Link, watch: DeathWatch, carry: Carry, memo: Memo, spills: Spills, waiter: Waiter) -> None:
        self._link: Link | None = link
        self._watch = watch
        self._said: deque[dict[str, Any]] = deque()
        self._wake = Wake()
        self._memo = memo
        self._mover = Mover(carry, memo, spills, waiter, self._hear)
        self._table = Table()
        self._tree_id = os.environ.get("SUPERVISOR_TREE_ID", "")
        self._streams: dict[Any, Stream] = {}
        self._of: dict[tuple[str, int], list[Stream]] = {}
        """The streams of each incarnation that has not been emptied."""
        self._files: dict[str, LogFile] = {}
        self._emptied: deque[tuple[float, Stream]] = deque()
        self._over_at: float | None = None
        """Monotonic time at which the wait for the proof of the keeper's death ends."""
        self._stuck: list[Stream] | None = None
        """While the disk does not answer: the streams whose bytes are dropped."""
        self._noticed: set[Any] = set()
        self._poll = select.poll()

    def run(self) -> int:
        """Until the keeper closes the link or dies; the exit status."""
        if self._link is not None:
            self._poll.register(self._link.fileno(), select.POLLIN)
        self._poll.register(self._wake.fd, select.POLLIN)
        death = self._watch.fileno()
        if death is not None:
            self._poll.register(death, select.POLLIN)
        self._mover.thread.start()
        try:
            self._loop()
        finally:
            # Whatever made it end: where the keeper is dead nobody else may be left to kill its tree.
            if self._watch.proved():
                self._sweep()
        return 0

    def _loop(self) -> None:
        while True:
            ready = self._poll.poll(self._timeout())
            if self._watch.proved():
                return
            for fd, _ in ready:
                if fd == self._wake.fd:
                    self._wake.clear()
            if self._link is not None:
                self._talk(self._link)
            elif self._over_at is not None and time.monotonic() >= self._over_at:
                return
            self._listen()
            self._complete()
            self._look_at_writer({fd for fd, _ in ready})

    def _timeout(self) -> float | None:
        """Milliseconds until something is due; None when nothing is: an idle logger sleeps."""
        due = [self._emptied[0][0]] if self._emptied else []
        now = time.monotonic()
        if self._over_at is not None:
            # Where the system tells no death, asking is all there is.
            due.append(self._over_at if self._watch.fileno() is not None else min(self._over_at, now + 0.05))
        if self._mover.disk.watched:
            due.append(now + STALL / 4)
        return max(0.0, min(due) - now) * 1000 + 1 if due else None

    # The keeper

    def _talk(self, link: Link) -> None:
        try:
            link.flush()
            for head, _ in link.receive():
                self._handle(link, head)
        except (LinkClosed, LinkError):
            self._cut_off()
        else:
            if self._link is not None:
                self._poll.modify(link.fileno(), select.POLLIN | (select.POLLOUT if link.wants_write else 0))

    def _cut_off(self) -> None:
        """End of the link proves nothing: touch no pipe, wait a little for the keeper's death, harm nobody."""
        if self._link is None:
            return
        self._poll.unregister(self._link.fileno())
        self._link.close()
        self._link = None
        self._mover.ask(self._mover.halt)
        self._over_at = time.monotonic() + _PROOF

    def _send(self, head: dict[str, Any]) -> None:
        if self._link is None:
            return
        try:
            self._link.send(head)
        except LinkClosed:
            self._cut_off()

    def _handle(self, link: Link, head: dict[str, Any]) -> None:
        kind = head.get("t")
        if kind == "stream":
            self._attach(link, head)
        elif kind == "table":
            self._table_line(head["line"])
        elif kind == "emptied":
            self._await_end(head["name"], head["inc"])
        elif kind == "limits":
            self._limit(head["log"])
        elif kind == "hello":
            self._tree_id = head["id"]
            self._table.path = head["table"]
            self._mover.ask(lambda: self._mover.finish(self._file))
            self._send({"t": "able"})
        elif kind == "table_new":
            self._table.lines = list(head["lines"])
            lines = list(head["lines"])
            self._mover.ask(lambda: self._mover.call_on_disk(lambda: self._table.replace(lines)))
        elif kind == "drain":
            self._mover.ask(lambda: self._mover.flush(self._mover.all(), lambda: self._hear({"t": "drained"})))

    def _table_line(self, line: str) -> None:
        if self._table.add(line):
            self._mover.ask(lambda: self._mover.call_on_disk(self._table.write))

    def _attach(self, link: Link, head: dict[str, Any]) -> None:
        # The link may have been cut off by the answer to a frame before this one: what came with it is here.
        fd = link.take_fd()
        if head["id"] in self._streams:
            os.close(fd)
            return
        file = self._file(head["file"]["path"])
        file.limit(head["file"])
        stream = self._streams[head["id"]] = Stream(head, fd, file)
        file.attached += 1
        self._of.setdefault((stream.name, stream.inc), []).append(stream)
        self._mover.ask(lambda: self._mover.attach(stream))

    def _file(self, path: str) -> LogFile:
        """The log file of this path; one of its own for each path."""
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = LogFile({"path": path, "max_size": 0, "keep": 0, "on_full": "block"}, self._memo)
        return file

    def _limit(self, log: dict[str, Any]) -> None:
        for settings in (log["out"], log["err"]):
            file = self._files.get(settings["path"]) if settings else None
            if file is not None:
                self._mover.ask(lambda file=file, settings=settings: file.limit(settings))  # type: ignore[misc]

    # Ends of output

    def _await_end(self, name: str, inc: int) -> None:
        at = time.monotonic() + LEFT
        self._emptied.extend((at, stream) for stream in self._of.pop((name, inc), ()))

    def _complete(self) -> None:
        """The group has been empty long enough: call the output complete and say who holds the pipe open."""
        now = time.monotonic()
        while self._emptied and self._emptied[0][0] <= now:
            _, stream = self._emptied.popleft()
            if stream.id in self._streams and not stream.reported and stream.fd >= 0:
                self._mover.ask(
                    lambda s=stream: self._mover.flush([s], lambda: self._hear({"t": "complete", "stream": s}))  # type: ignore[misc]
                )

    def _listen(self) -> None:
        """Take what the writer thread has said."""
        while self._said:
            head = self._said.popleft()
            kind = head["t"]
            if kind == "ended":
                stream = head["stream"]
                del self._streams[stream.id]
                stream.file.attached -= 1
                if not stream.file.attached:
                    self._files.pop(stream.file.path, None)
                self._done(stream, None)
            elif kind == "complete":
                stream = head["stream"]
                if stream.fd >= 0:
                    held_by = means.holders(stream.fd)
                    self._send(stream.notice("held_open", pids=held_by))
                    self._done(stream, held_by)
            elif kind == "broken":
                raise LoggerError("the writer thread has ended")
            else:
                self._send(head)

    def _done(self, stream: Stream, held_by: list[int] | None) -> None:
        if not stream.reported:
            stream.reported = True
            self._send(
                {"t": "done", "id": stream.id, "bytes": stream.moved, "dropped": stream.dropped, "held_by": held_by}
            )

    # The writer thread

    def _hear(self, head: dict[str, Any]) -> None:
        """Called in the writer thread: something to say, or (empty) only to be looked at."""
        if head:
            self._said.append(head)
        # Behind another it is heard with that, whose coming has been told.
        if len(self._said) < 2:
            self._wake.set()

    def _look_at_writer(self, ready: set[int]) -> None:
        disk = self._mover.disk
        since = disk.busy_since
        stuck = since is not None and time.monotonic() - since > STALL
        if not stuck:
            if self._stuck is not None:
                self._end_of_stall()
            # Only when nothing else has woken us: else writer and main thread would wake each other at each chunk.
            if disk.watched and since is None and not ready:
                disk.look_away()
            return
        if self._stuck is None:
            self._send({"t": "notice", "what": "stalled", "reason": f"the disk has not answered for {STALL:g} s"})
            self._stuck = []
        self._watch_pipes()
        hot = [s for s in self._stuck if s.fd in ready]
        if not hot:
            return
        before = [s.dropped for s in hot]
        if not self._mover.drop_all(hot):
            return
        for stream, dropped in zip(hot, before, strict=True):
            if stream.dropped == dropped:
                # End of file: the writer thread will see it too.
                self._poll.unregister(stream.fd)
                self._stuck.remove(stream)
                self._noticed.add(stream.id)
            elif stream.id not in self._noticed:
                self._noticed.add(stream.id)
                self._send(stream.notice("dropping", reason="the disk does not answer"))

    def _watch_pipes(self) -> None:
        """While the disk is stuck wait for the pipes of those that prefer a gap to waiting."""
        assert self._stuck is not None
        for stream in self._streams.values():
            known = stream in self._stuck or stream.id in self._noticed
            if not known and not stream.file.block and stream.fd >= 0:
                self._stuck.append(stream)
                self._poll.register(stream.fd, select.POLLIN)

    def _end_of_stall(self) -> None:
        for stream in self._stuck or ():
            self._poll.unregister(stream.fd)
        self._stuck = None
        self._noticed.clear()
        self._send({"t": "notice", "what": "answers", "reason": "the disk answers again"})

    # The keeper's death

    def _sweep(self) -> None:
        """Kill everything of the tree, then write what is still in the pipes."""
        from supervisor_tree.keeper import record, sweep

        if self._link is not None:
            # What the keeper handed over last may be on its way still: pipes with last words.
            self._talk(self._link)
            self._cut_off()
        self._mover.ask(self._mover.go_on)
        if self._tree_id:
            sweep.kill_all(self._tree_id, record.rows(self._table.lines), heir=True)
        end = time.monotonic() + _LAST_BYTES
        poll = select.poll()
        poll.register(self._wake.fd, select.POLLIN)
        while self._streams and time.monotonic() < end:
            poll.poll((end - time.monotonic()) * 1000 + 1)
            self._wake.clear()
            self._listen()
