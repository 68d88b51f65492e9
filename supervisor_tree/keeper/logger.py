"""The succession of loggers; what each new one is handed: pipes, staging pipe, memo, table (`processes.md` 14, 16)."""

from __future__ import annotations

import os
import sys

from supervisor_tree.ipc.link import encode
from supervisor_tree.keeper import record
from supervisor_tree.keeper.peer import Ladder, Peer, describe
from supervisor_tree.keeper.spawn import SpawnError
from supervisor_tree.keeper.sweep import ROLE
from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.keeper.keeper import Keeper
    from supervisor_tree.keeper.loop import Timer
    from supervisor_tree.keeper.table import Child, Writer

_MEMO_SIZE = 64
_SOON = 0.01
"""Seconds that news of ends may wait for company."""
_COMPACT_AFTER = 2000
"""Lines beyond the living ones before `keeper.log` is written anew."""


_FDS_AT_ONCE = 32
"""Descriptors that travel with one write; the receiver takes at most 64."""


class Stream:
    """One pipe whose read end the keeper keeps (and never reads) until the logger has all of it."""

    __slots__ = ("emptied", "fd", "file", "id", "inc", "kind", "name", "pid")

    def __init__(self, number: int, writer: Writer, kind: str, fd: int, file: dict[str, Any]) -> None:
        self.id = number
        self.name = writer.name
        self.inc = writer.inc
        self.pid = writer.pid
        self.kind = kind
        self.fd = fd
        self.file = file
        self.emptied = False

    def head(self) -> dict[str, Any]:
        return {
            "t": "stream",
            "id": self.id,
            "name": self.name,
            "inc": self.inc,
            "stream": self.kind,
            "pid": self.pid,
            "file": self.file,
        }


class LogKeeper:
    """Keeps a logger running; all calls queue, `flush` sends."""

    def __init__(self, keeper: Keeper, argv: list[str] | None) -> None:
        self._keeper = keeper
        self._argv = argv or [sys.executable, "-S", "-P", "-m", "supervisor_tree.logs"]
        self.peer: Peer | None = None
        self._ladder = Ladder(keeper)
        self._streams: dict[int, Stream] = {}
        self._of: dict[tuple[str, int], list[Stream]] = {}
        self._awaited: set[tuple[str, int]] = set()
        """Whose end the root has been told and the end of their output has not."""
        self._next = 1
        self._lines: list[str] = []
        self._said = 0
        self._out: list[dict[str, Any]] = []
        self._fds: list[int] = []
        self._processes: dict[Peer, tuple[str, int]] = {}
        self._staging: tuple[int, int] | None = None
        self._memo = -1
        self._table_path = ""
        self._state_dir = ""
        self._first = True
        self._later: Timer | None = None
        self._over = False
        self._draining = False

    # --- succession

    def begin(self, state_dir: str) -> None:
        """Start the first logger. Call it with the lock held.

        Raises:
            OSError: out of descriptors.
        """
        self._state_dir = state_dir
        self._table_path = os.path.join(state_dir, "keeper.log")
        self._staging = os.pipe()
        self._memo = means.memory_file("supervisor-tree-memo", _MEMO_SIZE)
        self._start()

    def _start(self) -> None:
        keeper = self._keeper
        if self._over or keeper.lock is None or self._staging is None:
            return
        read, write = self._staging
        # The package, wherever this process has it from; without `site`, which costs time and memory.
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        env = {**keeper.spawner.environ, "SUPERVISOR_TREE_ID": keeper.tree_id, ROLE: "logger", "PYTHONPATH": package}
        try:
            self.peer = Peer(
                keeper,
                lambda link: [
                    *self._argv,
                    *("--link", str(link), "--lock", str(keeper.lock.fd if keeper.lock else -1)),
                    *("--staging", str(read), str(write), "--memo", str(self._memo)),
                    *("--keeper", str(os.getpid()), str(keeper.start)),
                ],
                env,
                (keeper.lock.fd, read, write, self._memo),
                self._frame,
                self._ended,
            )
        except (SpawnError, OSError) as error:
            keeper.kept.event("logger", what="not_started", reason=str(error))
            keeper.loop.later(self._ladder.delay(False), self._start)
            return
        self._out.clear()
        self._fds = []
        self.peer.send(
            {
                "t": "hello",
                "id": keeper.tree_id,
                "state_dir": self._state_dir,
                "table": self._table_path,
                "staged": not self._first,
            }
        )
        self.note_process("logger", keeper.next_role_number(), self.peer)
        self._write_anew()
        for stream in self._streams.values():
            self.peer.send(stream.head(), fds=(stream.fd,))
        for key in {(each.name, each.inc) for each in self._streams.values() if each.emptied}:
            self.peer.send({"t": "emptied", "name": key[0], "inc": key[1]})
        if self._draining:
            self.peer.send({"t": "drain"})
        self._first = False

    def _ended(self, peer: Peer, status: int) -> None:
        self._processes.pop(peer, None)
        if peer is not self.peer:
            return
        self.peer = None
        keeper = self._keeper
        if self._over:
            keeper.logger_is_gone()
            return
        keeper.kept.event("logger", what="restarted", reason=describe(peer, status), pid=peer.pid)
        delay = self._ladder.delay(peer.able)
        if delay == 0:
            self._start()
        else:
            keeper.loop.later(delay, self._start)

    def look_stopped(self) -> None:
        if self.peer is not None:
            self.peer.look_stopped()

    def limits_start_again(self) -> None:
        if self.peer is not None:
            self.peer.limits_start_again()

    # --- streams

    def attach(self, writer: Writer, kind: str, fd: int, file: dict[str, Any]) -> None:
        """Hand over the read end of a pipe of a new child; from now on it is this object's."""
        stream = Stream(self._next, writer, kind, fd, file)
        self._next += 1
        self._streams[stream.id] = stream
        self._of.setdefault((writer.name, writer.inc), []).append(stream)
        if self.peer is not None:
            if len(self._fds) >= _FDS_AT_ONCE:
                self.flush()
            self._out.append(stream.head())
            self._fds.append(fd)

    def emptied(self, writer: Writer) -> None:
        """Nothing is left of a child: its output is complete at end of file or shortly after."""
        streams = self._of.get((writer.name, writer.inc))
        if streams:
            for stream in streams:
                stream.emptied = True
            self._queue({"t": "emptied", "name": writer.name, "inc": writer.inc})

    def tell_complete(self, child: Child) -> bool:
        """Whether the output of one that has ended is complete; if not, `output_complete` will tell."""
        if child.key not in self._of:
            return True
        self._awaited.add(child.key)
        return False

    def own_file(self, name: str) -> str:
        """Path of the log of one that no configuration names one for."""
        return os.path.join(self._state_dir, "logs", f"{name}.log")

    def limit(self, name: str, log: dict[str, Any]) -> None:
        """New settings of a worker's log files, for those that run too."""
        for stream in self._streams.values():
            if stream.name == name:
                stream.file = (log.get("err") if stream.kind == "err" else None) or log["out"]
        self._queue({"t": "limits", "name": name, "log": log})

    def reopen(self, child: Child) -> int | None:
        """A write end of a child's first pipe, for a program that belongs to it; None where that is not to be had."""
        for stream in self._of.get(child.key, ()):
            try:
                return os.open(f"/proc/self/fd/{stream.fd}", os.O_WRONLY | os.O_CLOEXEC)
            except OSError:
                break
        return None

    def _done(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        os.close(stream.fd)
        key = stream.name, stream.inc
        rest = self._of[key]
        rest.remove(stream)
        if not rest:
            del self._of[key]
            if key in self._awaited:
                self._awaited.discard(key)
                self._keeper.kept.event("output_complete", name=key[0], inc=key[1])

    # --- the table on disk

    def note(self, child: Child) -> None:
        self._lines.append(record.process(child.name, child.inc, child.pid, child.start))

    def forget(self, child: Child) -> None:
        self._lines.append(record.gone(child.name, child.inc))

    def note_process(self, role: str, number: int, peer: Peer) -> None:
        self._processes[peer] = role, number
        self._lines.append(record.process(role, number, peer.pid, peer.start))

    def note_gone(self, peer: Peer) -> None:
        role = self._processes.pop(peer, None)
        if role is not None:
            self._lines.append(record.gone(*role))

    def _write_anew(self) -> None:
        self._lines.clear()
        self._said = 0
        keeper = self._keeper
        lines = [record.life(keeper.tree_id, keeper.boot, keeper.namespace, os.getpid(), keeper.start)]
        lines += [record.process(*role, peer.pid, peer.start) for peer, role in self._processes.items()]
        lines += [record.process(each.name, each.inc, each.pid, each.start) for each in keeper.table.children.values()]
        self._queue({"t": "table_new", "lines": lines})
        self.flush()

    # --- frames

    def _queue(self, head: dict[str, Any]) -> None:
        if self.peer is not None:
            self._out.append(head)

    def flush_soon(self) -> None:
        """Send new pipes now, all else with them or a moment later.

        Woken for each end of a child, the logger would take a processor just when the root decides what follows."""
        if self.peer is None:
            return
        if self._fds:
            self.flush()
        elif (self._out or self._lines) and self._later is None:
            self._later = self._keeper.loop.later(_SOON, self.flush)

    def flush(self) -> None:
        """Send what was queued, in one write."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self.peer is None:
            return
        if self._lines:
            self._said += len(self._lines)
            self._queue({"t": "table", "line": "\n".join(self._lines)})
            self._lines.clear()
            if self._said > _COMPACT_AFTER + 4 * len(self._keeper.table.children):
                self._write_anew()
        if self._out:
            frames, fds = b"".join([encode(head) for head in self._out]), self._fds
            self._out.clear()
            self._fds = []
            self.peer.send_bytes(frames, fds)

    def _frame(self, peer: Peer, head: dict[str, Any], blob: bytes) -> None:
        kind = head.get("t")
        if kind == "able":
            peer.became_able()
        elif kind == "done":
            self._done(int(head["id"]))
        elif kind == "notice":
            fields = {key: each for key, each in head.items() if key not in ("t", "n", "kind", "at")}
            self._keeper.kept.event("logger", **fields)
        elif kind == "drained" and self._draining:
            self._draining = False
            self._keeper.logs_are_written()

    # --- the end

    def drain(self) -> None:
        """Ask for all that is in the pipes to be written; `Keeper.logs_are_written` follows."""
        self._draining = True
        self._queue({"t": "drain"})
        self.flush()
        if self.peer is None:
            self._start()

    def end(self) -> None:
        """No logger follows. What it was to write is written: nothing is left for it to do in peace."""
        self._over = True
        if self.peer is not None:
            self.peer.kill("the tree ends")
