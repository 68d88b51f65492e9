"""The journal's view as the root sees it: one that hangs is told of by somebody else than itself."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor_tree.root.journaling import store as room
from supervisor_tree.root.journaling.store import Store
from supervisor_tree.store.journal import Journal
from supervisor_tree.store.view import view as views
from supervisor_tree.store.view.connections import Sqlite
from tests.support.waiting import eventually
from tests.unit.store.writing import line


class FakeShell:
    """What the store needs of a shell."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.get_running_loop()
        settings = SimpleNamespace(url=None, max_age=None)
        self.plan = SimpleNamespace(state_dir=str(folder), dir=str(folder), store=settings)
        self.over = True
        self.noted: list[str] = []
        self.kept: dict[str, bytes | None] = {}
        self.store = Store(self)  # type: ignore[arg-type]
        self.journal = Journal(folder / "journal", lambda _: self.store.written())
        self.lines = SimpleNamespace(journal=self.journal)

    def note(self, kind: str, name: str | None, **fields: Any) -> None:
        self.noted.append(kind)

    def state(self, key: str, value: bytes | None) -> None:
        self.kept[key] = value

    def flush(self) -> None:
        pass

    async def until(self, kinds: list[str]) -> None:
        await asyncio.to_thread(eventually, lambda: self.noted == kinds, f"{kinds} are noted")


def test_a_database_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stalled disk: the view's thread hangs in the kernel and can say nothing."""
    go_on = threading.Event()

    class Stalled(Sqlite):
        def __init__(self, path: str) -> None:
            go_on.wait(20)
            super().__init__(path)

    monkeypatch.setattr(views, "Sqlite", Stalled)
    monkeypatch.setattr(room, "_STUCK", 0.1)

    async def life() -> None:
        shell = FakeShell(tmp_path)
        shell.store.begin()
        shell.journal.append([line(1)])
        view = await asyncio.to_thread(eventually, lambda: shell.store._view, "the view is there")
        assert view is not None
        await asyncio.to_thread(eventually, lambda: view.busy, "the database is asked")
        shell.store.look()
        await shell.until(["view_behind"])
        assert shell.store.trouble()["view"] == "behind: no answer for 0.1 s"
        assert shell.kept["store/behind"] == b"no answer for 0.1 s"
        go_on.set()
        await shell.until(["view_behind", "view_caught_up"])
        assert shell.store.trouble()["view"] is None
        assert shell.kept == {"store/behind": None}
        shell.journal.close()
        shell.store.close()

    asyncio.run(life())


def test_what_the_root_before_has_said_is_not_said_again(tmp_path: Path) -> None:
    async def life() -> None:
        shell = FakeShell(tmp_path)
        (tmp_path / "events.db").mkdir()
        shell.store.resume({"store/behind": b"it is a folder"})
        shell.store.begin()
        shell.journal.append([line(1)])
        await asyncio.to_thread(
            eventually, lambda: "events.db" in (shell.store.trouble()["view"] or ""), "the reason of now is shown"
        )
        assert shell.noted == []
        (tmp_path / "events.db").rmdir()
        await shell.until(["view_caught_up"])
        shell.journal.close()
        shell.store.close()

    asyncio.run(life())
