"""A keeper played by the test, with a logger that is a real process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.logs.playing import Keeper


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    played = Keeper(tmp_path)
    yield played
    played.close()
