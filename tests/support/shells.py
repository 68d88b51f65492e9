"""A root's shell without a keeper: whatever it asks for is noted, and spawns succeed when the test says so."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from supervisor_tree import config
from supervisor_tree.core import events as ev
from supervisor_tree.core.tree import Tree
from supervisor_tree.ipc.link import unpack_items
from supervisor_tree.root.boot import resume
from supervisor_tree.root.keeper_link import KeeperLink
from supervisor_tree.root.shell import Shell


class NotedLink:
    """Stands in for the link: takes commits, and keeps what they carried."""

    wants_write = False

    def __init__(self) -> None:
        self.commits = 0
        self.effects: list[dict[str, Any]] = []
        self.journal: list[dict[str, Any]] = []
        self.state: dict[str, bytes] = {}

    def send(self, head: dict[str, Any]) -> None:
        pass

    def send_bytes(self, data: bytes) -> None:
        self.commits += 1
        _, size = struct.unpack_from(">II", data)
        head, blob = json.loads(data[8 : 8 + size]), data[8 + size :]
        self.effects += head["effects"]
        items, at = unpack_items(head["state"], blob)
        for key, value in items:
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        lines, _ = unpack_items(head["journal"], blob, at)
        self.journal += [json.loads(line) for _, line in lines if line is not None]


class LoneShell:
    """A started tree; must be made where a loop runs. ``text``: its tree file."""

    def __init__(self, folder: Path, run_dir: Path, text: str, *, start: bool = True) -> None:
        self.file = folder / "tree.toml"
        self.file.write_text(text)
        self.link = NotedLink()
        self._numbers = 0
        self.plan = config.load([str(self.file)], {"PATH": "/usr/bin:/bin"})
        self._run_dir = run_dir
        self.shell = self._make(Tree(self.plan.root))
        if start:
            self.shell.state("secret", self.shell.tokens.secret)
            self.shell.tell(ev.TreeStarted())
            self.shell.flush()

    def _make(self, tree: Tree) -> Shell:
        hello = {"id": "x", "keeper": 1, "keeper_start": 1, "table": [], "events": []}
        link = KeeperLink(self.link)  # type: ignore[arg-type]
        return Shell(keeper=link, tree=tree, plan=self.plan, hello=hello, run_dir=str(self._run_dir))

    def replaced(self) -> Shell:
        """The next root's shell, made of what this one has handed to the keeper; this one is over."""
        self.shell.close()
        state = dict(self.link.state)
        core = [(key.removeprefix("core/"), value) for key, value in state.items() if key.startswith("core/")]
        self.shell = self._make(Tree.load(core))
        resume(self.shell, state, [], {"table": [], "events": []})
        self.shell.flush()
        return self.shell

    def event(self, kind: str, name: str | None, incarnation: int, **fields: Any) -> None:
        """One event of the keeper's."""
        self._numbers += 1
        frame = {"t": "event", "n": self._numbers, "at": 0.0, "kind": kind, "name": name, "inc": incarnation, **fields}
        self.shell.on_event_frame(frame)
        self.shell.flush()

    def spawned(self, name: str, incarnation: int = 1) -> None:
        self.event("spawned", name, incarnation, pid=1000 + self._numbers, start=1)

    def exited(self, name: str, incarnation: int = 1, code: int = 0) -> None:
        self.event("exited", name, incarnation, pid=1, code=code, signal=None)

    def noted(self, event: str) -> list[dict[str, Any]]:
        """The journal's lines of one kind."""
        return [line for line in self.link.journal if line["event"] == event]

    def close(self) -> None:
        self.shell.close()
