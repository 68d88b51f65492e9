"""How a `TickWorker` ends, by the clock: at once in a pause, after the tick under way (requirements 4.5 to 4.7)."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support.router import Router
from tests.system.workers.harness.conftest import Run

TICKS = """
    import asyncio
    from supervisor_tree import TickWorker

    class Ticks(TickWorker):
        interval = 10

        async def tick(self):
            print("tick")
            await asyncio.sleep(self.args["takes"])
            print("done")

        async def teardown(self):
            print("teardown")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_a_pause_it_ends_at_once(run: Run, number: int) -> None:
    worker = run(TICKS).start("Ticks", {"takes": 0})
    assert [worker.line(), worker.line()] == ["tick", "done"]
    began = time.monotonic()
    worker.process.send_signal(number)
    assert worker.rest() == ["teardown"]
    assert worker.wait() == 0
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_tick_under_way_is_finished(run: Run, number: int) -> None:
    worker = run(TICKS).start("Ticks", {"takes": 0.5})
    assert worker.line() == "tick"
    worker.process.send_signal(number)
    assert worker.rest() == ["done", "teardown"]
    assert worker.wait() == 0


def test_a_second_signal_skips_no_teardown(run: Run, router: Router) -> None:
    worker = run(TICKS, router).start("Ticks", {"takes": 1000})
    assert worker.line() == "tick"
    worker.process.terminate()
    router.until("goodbye")
    worker.process.terminate()
    assert worker.rest() == ["teardown"]
    assert worker.wait() == 0
