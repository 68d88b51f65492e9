"""When the jobs are told the time: at an instant of either clock, with and without a timer on the wall clock."""

from __future__ import annotations

import asyncio
import time

import pytest

from supervisor_tree.root.jobs.clock import JobClock
from supervisor_tree.system import means
from supervisor_tree.system.portable import PortableMeans


@pytest.fixture(params=["here", "portable"])
def _road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "portable":
        monkeypatch.setattr(means, "wall_timer", PortableMeans().wall_timer)


@pytest.mark.usefixtures("_road")
@pytest.mark.parametrize("which", ["wall", "mono"])
def test_a_time_is_told_once_it_has_come(which: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = asyncio.Event()

        def ticked() -> None:
            if (time.time() if which == "wall" else loop.time()) >= at:
                told.set()
                clock.set(None, None)

        clock = JobClock(loop, ticked)
        at = 0.05 + (time.time() if which == "wall" else loop.time())
        clock.set(*((None, at) if which == "wall" else (at, None)))
        await asyncio.wait_for(told.wait(), 10)
        told.clear()
        clock.set(*((None, at) if which == "wall" else (at, None)))  # past: at once
        await asyncio.wait_for(told.wait(), 10)
        clock.close()

    asyncio.run(main())


@pytest.mark.usefixtures("_road")
def test_a_time_that_nobody_takes_is_told_again_and_not_without_a_pause() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        done = asyncio.Event()

        def ticked() -> None:
            times.append(loop.time())
            if len(times) == 4:
                done.set()

        clock = JobClock(loop, ticked)
        clock.set(None, time.time())
        await asyncio.wait_for(done.wait(), 10)
        clock.close()
        clock.set(None, None)  # by a round that ends after it
        assert times[3] - times[0] >= 0.1
        return len(times)

    assert asyncio.run(main()) == 4
