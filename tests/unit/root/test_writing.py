"""The writer of small files: the newest counts, what fails waits, and nothing keeps others from their turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from supervisor_tree.root import writing
from supervisor_tree.root.background import Background
from supervisor_tree.root.writing import Writer


class _Shell:
    """As much of the root as a writer needs."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.background = Background(cast("Any", self))
        self.flush = lambda: None
        self.errors: list[str] = []
        self.said: list[str] = []

    def internal_error(self, where: str, error: BaseException) -> None:
        self.errors.append(f"{where}: {error!r}")

    def writer(self) -> Writer:
        return Writer(cast("Any", self), lambda error: self.said.append(str(error)), lambda: self.said.append("mended"))


def _run(test: Callable[[_Shell], Any]) -> None:
    async def life() -> None:
        await test(_Shell())

    asyncio.run(life())


def test_of_several_under_one_key_the_last_counts(tmp_path: Path) -> None:
    async def test(shell: _Shell) -> None:
        writer = shell.writer()
        done: list[int] = []
        for text in ("1", "2", "3"):
            writer.put("a", lambda text=text: lambda: (tmp_path / "a").write_text(text), done.append)  # type: ignore[misc]
        await writer.finish(5.0)
        assert ((tmp_path / "a").read_text(), done, shell.errors) == ("3", [1], [])
        writer.put("a", lambda: lambda: (tmp_path / "a").write_text("next"))
        await writer.finish(5.0)
        assert (tmp_path / "a").read_text() == "next"

    _run(test)


def test_one_file_that_cant_be_written_keeps_no_other_from_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "TRY_AGAIN", 0.01)

    async def test(shell: _Shell) -> None:
        writer = shell.writer()
        there = tmp_path / "there"
        writer.put("bad", lambda: lambda: (there / "a").write_text("x"))
        good = asyncio.Event()
        writer.put("good", lambda: lambda: (tmp_path / "b").write_text("x"), lambda _: good.set())
        await asyncio.wait_for(good.wait(), 5.0)
        assert not there.exists()
        there.mkdir()
        await writer.finish(5.0)
        assert (there / "a").exists()
        assert shell.said[-1] == "mended"
        assert "No such file" in shell.said[0]
        assert not shell.errors

    _run(test)


def test_an_error_of_ours_is_said_and_the_next_is_written(tmp_path: Path) -> None:
    async def test(shell: _Shell) -> None:
        writer = shell.writer()
        writer.put("bad", lambda: cast("Any", SimpleNamespace()).nothing)
        writer.put("good", lambda: lambda: (tmp_path / "b").write_text("x"))
        await writer.finish(5.0)
        assert (tmp_path / "b").exists()
        assert [error.partition(":")[0] for error in shell.errors] == ["file bad"]

    _run(test)


def test_what_is_begun_in_the_background_is_kept_and_its_error_is_said() -> None:
    async def test(shell: _Shell) -> None:
        async def fail() -> None:
            await asyncio.sleep(0)
            raise ValueError("ours")

        task = shell.background.begin("a test", fail())
        await asyncio.wait([task])
        await asyncio.sleep(0)
        assert shell.errors == ["a test: ValueError('ours')"]
        asleep = shell.background.begin("a sleeper", asyncio.sleep(1000))
        asleep.cancel()
        await asyncio.wait([asleep])
        assert len(shell.errors) == 1

    _run(test)
