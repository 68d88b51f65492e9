"""Workers run alone, with a ROUTER in the root's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.router import Router
from tests.support.running import Running

Run = Callable[..., Running]


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as one:
        yield one


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """``run('''text of app.py''')``, or with ``router=router``; then `start`."""
    made: list[Running] = []

    def make(text: str, router: Router | None = None) -> Running:
        one = Running(tmp_path, text, router=router)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()
