"""A keeper, real workers, and the test as its root."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor_tree.ipc.link import Link, LinkClosed, pack_items
from supervisor_tree.keeper.sweep import kill_all
from supervisor_tree.system import means

HERE = Path(__file__).parent
ROOM = HERE.parents[2]
TIMEOUT = 30.0


class Root:
    """One relayed root: what the keeper says to it, what it says to the keeper."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(TIMEOUT)
        self.pid = int.from_bytes(sock.recv(4), "big")
        self._sock = sock
        self.link = Link(sock)
        self._frames: list[tuple[dict[str, Any], bytes]] = []
        self.closed = False

    def next(self, timeout: float = TIMEOUT) -> tuple[dict[str, Any], bytes] | None:
        """The next frame; None: the root has ended."""
        end = time.monotonic() + timeout
        while not self._frames:
            if self.closed:
                return None
            left = end - time.monotonic()
            assert left > 0, "the keeper said nothing"
            select.select([self.link], [self.link] if self.link.wants_write else [], [], left)
            try:
                self.link.flush()
                self._frames += self.link.receive()
            except LinkClosed:
                self.closed = True
        return self._frames.pop(0)

    def leave(self) -> None:
        """The relay ends."""
        self._sock.shutdown(socket.SHUT_WR)

    def quiet(self, seconds: float) -> list[dict[str, Any]]:
        """What arrives within that time (pings aside)."""
        end = time.monotonic() + seconds
        found = []
        while (left := end - time.monotonic()) > 0:
            if not self._frames and not select.select([self.link], [], [], left)[0]:
                break
            frame = self.next()
            if frame is None:
                break
            if frame[0]["t"] != "ping":
                found.append(frame[0])
        return found


class Brain:
    """The test's side: starts the keeper, is its root, gathers events."""

    def __init__(self, folder: Path, limits: dict[str, float], environ: dict[str, str], logger: list[str]) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.state_dir = folder / "state"
        self.state_dir.mkdir(exist_ok=True)
        self.run_dir = folder / "r"
        self.run_dir.mkdir(exist_ok=True)
        self._limits = limits
        self._logger = logger
        self._environ = {**os.environ, "PYTHONPATH": str(ROOM), **environ}
        self._listener: socket.socket | None = None
        self.root: Root = None  # type: ignore[assignment]
        self.seq = 0
        self.ack = 0
        self.events: list[dict[str, Any]] = []
        self.seen: set[int] = set()
        self.keeper: subprocess.Popen[bytes] = None  # type: ignore[assignment]
        self.id = ""
        self.starts = 0
        self.syncs = 0
        self._open: list[Any] = []

    # --- beginning

    def start(
        self, *, prepare: bool = True, wrap: list[str] | None = None, session: bool = False, **popen: Any
    ) -> Brain:
        self.starts += 1
        path = self.folder / f"s{self.starts}"
        self._listener = socket.socket(socket.AF_UNIX)
        cwd = os.getcwd()
        os.chdir(self.folder)  # a short path, whatever the length of tmp_path
        try:
            self._listener.bind(path.name)
        finally:
            os.chdir(cwd)
        self._open.append(self._listener)
        self._listener.listen(8)
        self._listener.settimeout(TIMEOUT)
        self.said = open(self.folder / "said", "ab")  # noqa: SIM115
        self._open.append(self.said)
        self.keeper = subprocess.Popen(
            [
                *(wrap or []),
                sys.executable,
                str(HERE / "start_keeper.py"),
                json.dumps(self._limits),
                path.name,
                *self._logger,
            ],
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=self.said,
            stderr=self.said,
            start_new_session=session,
            **popen,
        )
        self.seq = self.ack = 0
        self.seen = set()
        self.accept()
        hello = self.hello("first")
        self.id = hello["id"]
        if prepare:
            self.prepare()
            self.sync()
        return self

    def accept(self, timeout: float = TIMEOUT) -> Root:
        """The next root."""
        assert self._listener is not None
        self._listener.settimeout(timeout)
        sock, _ = self._listener.accept()
        self._open.append(sock)
        self.root = Root(sock)
        return self.root

    def hello(self, mode: str) -> dict[str, Any]:
        frame = self.root.next()
        assert frame is not None
        head, self.blob = frame
        assert head["t"] == "hello"
        assert head["mode"] == mode, head
        return head

    def prepare(self) -> dict[str, Any]:
        self.send(
            {
                "t": "prepare",
                "state_dir": str(self.state_dir),
                "run_dir": str(self.run_dir),
                "name": "t",
                "file": "t.toml",
            }
        )
        head = self.frame("locked")
        self.able()
        return head

    def able(self) -> None:
        self.send({"t": "able", "version": "test"})

    def take_over(self, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Accept the next root and take over with it, acknowledging what its hello holds."""
        self.accept(timeout)
        hello = self.hello("takeover")
        # What had not left the old relay when it was killed was never committed.
        assert hello["commit"] <= self.seq
        self.seq = hello["commit"]
        self.able()
        for event in hello["events"]:
            self._note(event)
        self.commit()
        return hello

    # --- talking

    def send(self, head: dict[str, Any], blob: bytes = b"") -> None:
        self.root.link.send(head, blob)

    def frame(self, kind: str, timeout: float = TIMEOUT) -> dict[str, Any]:
        """The next frame of that kind; pings are answered, events noted, on the way."""
        end = time.monotonic() + timeout
        while True:
            frame = self.root.next(max(0.01, end - time.monotonic()))
            assert frame is not None, f"the root ended before {kind}: {self.output()}"
            head, self.blob = frame
            if head["t"] == "ping":
                self.send({"t": "pong", "n": head["n"]})
            elif head["t"] == "event":
                self._note(head)
            if head["t"] == kind:
                return head

    def _note(self, event: dict[str, Any]) -> None:
        if event["n"] not in self.seen:
            assert event["n"] > self.ack or event["n"] in self.seen
            self.seen.add(event["n"])
            self.events.append(event)
        self.ack = max(self.ack, event["n"])

    def commit(
        self,
        *effects: dict[str, Any],
        state: dict[str, bytes | None] | None = None,
        journal: list[tuple[int, bytes]] | None = None,
        written: int = 0,
        ack: int | None = None,
    ) -> None:
        self.seq += 1
        sizes, values = pack_items((state or {}).items())
        lines, texts = pack_items(journal or [])
        self.send(
            {
                "t": "commit",
                "seq": self.seq,
                "ack": self.ack if ack is None else ack,
                "written": written,
                "effects": list(effects),
                "state": sizes,
                "journal": lines,
            },
            values + texts,
        )

    def sync(self) -> None:
        """Returns once the keeper has carried out everything sent before: a start that must fail says so."""
        self.syncs += 1
        self.commit(self.spec("sync", "", inc=self.syncs))
        self.event("spawn_failed", name="sync", inc=self.syncs)

    def event(self, kind: str, timeout: float = TIMEOUT, *, acknowledge: bool = True, **fields: Any) -> dict[str, Any]:
        """The next event of that kind with these fields; others are kept in `events`. It is taken out."""
        end = time.monotonic() + timeout
        while True:
            for event in self.events:
                if event["kind"] == kind and all(event.get(key) == value for key, value in fields.items()):
                    self.events.remove(event)
                    if acknowledge:
                        self.commit()
                    return event
            left = end - time.monotonic()
            assert left > 0, f"no event {kind} {fields}; there were {self.events}; {self.output()}"
            self.frame("event", left)

    # --- workers

    def spec(self, name: str, *argv: str, inc: int = 1, **more: Any) -> dict[str, Any]:
        """A spawn effect."""
        path = str(self.state_dir / f"{name}.log")
        file = {"path": path, "max_size": 0, "keep": 5, "max_age": None, "on_full": "block"}
        effect: dict[str, Any] = {
            "op": "spawn",
            "name": name,
            "inc": inc,
            "argv": list(argv),
            "cwd": str(self.folder),
            "env": {},
            "inherit": True,
            "user": None,
            "group": None,
            "umask": None,
            "nice": None,
            "limits": None,
            "stop": {"signal": "TERM", "to": "group", "grace": 5, "command": None},
            "sweep": True,
            "notify": False,
            "log": {"out": file, "err": None, "merge": False},
        }
        effect.update(more)
        effect["env"] = {"SUPERVISOR_TREE_NAME": name, "SUPERVISOR_TREE_INCARNATION": str(inc), **effect["env"]}
        return effect

    def spawn(self, name: str, *argv: str, **more: Any) -> int:
        """Spawn and wait for `spawned`; the pid."""
        effect = self.spec(name, *argv, **more)
        self.commit(effect)
        return int(self.event("spawned", name=name, inc=effect["inc"])["pid"])

    def shell(self, name: str, script: str, **more: Any) -> int:
        return self.spawn(name, "/bin/sh", "-c", script, **more)

    def stop(self, name: str, grace: float | None = 5, inc: int = 1) -> None:
        self.commit({"op": "stop", "name": name, "inc": inc, "grace": grace})

    def log(self, name: str) -> str:
        path = self.state_dir / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def await_file(self, name: str, timeout: float = TIMEOUT) -> str:
        """The text of a file in the folder, once it has some ending in a newline."""
        path = self.folder / name
        found = [""]

        def there() -> bool:
            found[0] = path.read_text() if path.exists() else ""
            return found[0].endswith("\n")

        eventually(there, f"{name} is written", timeout)
        return found[0]

    # --- ending

    def exit(self, status: int = 0, timeout: float = TIMEOUT) -> int:
        """Ask for the end, and end with the link, as a root does; the keeper's exit status."""
        self.commit({"op": "exit", "status": status})
        end = time.monotonic() + timeout
        while (frame := self.root.next(max(0.01, end - time.monotonic()))) is not None:
            head, self.blob = frame
            if head["t"] == "ping":
                self.send({"t": "pong", "n": head["n"]})
            elif head["t"] == "event":
                self._note(head)
        self.root.leave()
        return self.ended(timeout)

    def ended(self, timeout: float = TIMEOUT) -> int:
        try:
            return self.keeper.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the keeper did not end: {self.output()}")

    def output(self) -> str:
        return (self.folder / "said").read_text()

    def left(self) -> list[str]:
        """Command lines of what lives with this tree's id."""
        return [f"{each.pid} {means.command(each.pid)}" for each in means.processes_of(self.id)] if self.id else []

    def close(self) -> None:
        if self.keeper is not None:
            if self.keeper.poll() is None:
                self.keeper.kill()
            self.keeper.wait()
        for each in self._open:
            each.close()
        if self.id:
            # How fast is test_death.py's business; here that it happens at all, on however loaded a machine.
            eventually(lambda: not self.left(), "everything is dead", failing=self._really_kill)

    def _really_kill(self) -> None:
        left = self.left()
        kill_all(self.id)
        pytest.fail(f"left alive: {left}; " + self.output().replace(chr(10), " | "))


def eventually(
    what: Callable[[], object], said: str, timeout: float = TIMEOUT, failing: Callable[[], object] | None = None
) -> None:
    """Wait for a condition of which the system tells no event."""
    end = time.monotonic() + timeout
    pause = 0.002
    while not what():
        if time.monotonic() > end:
            if failing is not None:
                failing()
            pytest.fail(f"not within {timeout} s: {said}")
        time.sleep(pause)  # noqa: TID251 - of these the system tells no event
        pause = min(pause * 1.5, 0.1)


def lives(pid: int) -> bool:
    seen = means.process(pid)
    return seen is not None and not seen.dead


MakeBrain = Callable[..., Brain]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeBrain]:
    """``make(ping=1, …)``: a keeper (not started) with these limits; ``environ``, ``logger``: for it and its logger."""
    made: list[Brain] = []

    def build(
        environ: dict[str, str] | None = None, logger: list[str] | None = None, folder: str = "t", **limits: float
    ) -> Brain:
        brain = Brain(tmp_path / folder, limits, environ or {}, logger or [])
        made.append(brain)
        return brain

    yield build
    for brain in made:
        brain.close()


@pytest.fixture
def brain(make: MakeBrain) -> Brain:
    """A keeper with default limits, prepared and able."""
    return make().start()


KILL = signal.SIGKILL
