"""Programs are made in threads of their own: a file system that is gone holds up nobody else's."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from supervisor_tree import config
from supervisor_tree.root.errands import errands
from supervisor_tree.root.errands.errands import Errands


def test_a_program_that_cant_be_made_in_time_is_held_and_others_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "_MAKING", 2.0)
    gone = threading.Event()

    async def life() -> None:
        those = Errands(cast("Any", SimpleNamespace(loop=asyncio.get_running_loop())))
        stuck = [asyncio.ensure_future(those.make(gone.wait)) for _ in range(errands._AT_ONCE)]
        assert await those.make(lambda: "made") == "made"  # when its turn has come
        for one in stuck:
            with pytest.raises(config.Held, match=r"could not be read within 2 s"):
                await one

    try:
        asyncio.run(life())  # and nobody waits for them at the end
    finally:
        gone.set()


def test_what_is_wrong_with_a_program_is_told_as_it_is() -> None:
    def held() -> None:
        raise config.Held("env X: no such file")

    async def life() -> None:
        those = Errands(cast("Any", SimpleNamespace(loop=asyncio.get_running_loop())))
        with pytest.raises(config.Held, match="no such file"):
            await those.make(held)

    asyncio.run(life())
