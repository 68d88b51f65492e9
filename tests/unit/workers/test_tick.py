"""`TickWorker`: when ticks fall, what a failing one costs, how it ends. On a loop whose time only passes in pauses."""

from __future__ import annotations

import asyncio
import logging
import selectors
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_tree.workers import ArgsError, TickWorker
from supervisor_tree.workers.tick import _next


class _Selector(selectors.SelectSelector):
    """Waits by moving the loop's clock."""

    loop: PassingLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing is due, ever"
            self.loop.now += timeout
        return ready


class PassingLoop(asyncio.SelectorEventLoop):
    now = 1000.0

    def __init__(self) -> None:
        selector = _Selector()
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        return self.now


class Ticks(TickWorker):
    """Notes when each tick began, and ends itself after so many."""

    interval = 10.0
    backoff_jitter = 0.0
    count = 5

    def __init__(self, takes: Callable[[int], float] = lambda n: 0.0, fails: Callable[[int], bool] = lambda n: False):
        self.began: list[float] = []
        self.takes = takes
        self.fails = fails

    async def tick(self) -> None:
        self.began.append(asyncio.get_running_loop().time() - PassingLoop.now)
        if len(self.began) >= self.count:
            self.stopping.set()
        await asyncio.sleep(self.takes(self.ticks))
        if self.fails(self.ticks):
            raise ValueError(f"tick {self.ticks}")


def run(worker: TickWorker) -> float:
    """To its end; the seconds that it took."""

    async def within() -> float:
        worker._begin()
        await worker.run()
        return asyncio.get_running_loop().time() - PassingLoop.now

    with asyncio.Runner(loop_factory=PassingLoop) as runner:
        return runner.run(within())


def at(*times: float) -> Any:
    return pytest.approx(list(times))


def test_the_first_tick_is_at_once_and_the_others_keep_to_the_grid() -> None:
    worker = Ticks(takes=lambda n: 3.0 * (n % 2))
    assert run(worker) == pytest.approx(43)
    assert worker.began == at(0, 10, 20, 30, 40)
    assert (worker.ticks, worker.errors, worker.missed) == (5, 0, 0)


def test_a_late_tick_is_served_late_and_lost_ones_are_counted() -> None:
    worker = Ticks(takes=lambda n: 35.0 if n == 2 else 1.0)
    run(worker)
    # The second is done at 45: the slot of 40 is served then, those of 20 and 30 are lost.
    assert worker.began == at(0, 10, 45, 50, 60)
    assert worker.missed == 2


def test_ticks_that_always_take_too_long_follow_one_another() -> None:
    worker = Ticks(takes=lambda n: 25.0)
    run(worker)
    assert worker.began == at(0, 25, 50, 75, 100)
    assert worker.ticks + worker.missed == 12  # the last one ended at 125: slots from 0 to 110 are over


def test_a_failure_ends_nothing_and_slows_down(caplog: pytest.LogCaptureFixture) -> None:
    worker = Ticks(fails=lambda n: n <= 3)
    worker.count = 6
    run(worker)
    # 20, 40 and 80 s after the first three; then by the grid again.
    assert worker.began == at(0, 20, 60, 140, 150, 160)
    assert (worker.errors, worker.failures, worker.missed) == (3, 0, 0)
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.ERROR, f"tick {n} failed ({n} in a row)") for n in (1, 2, 3)
    ]
    assert "ValueError: tick 1" in caplog.text
    assert "supervisor_tree/workers/tick.py" not in caplog.text


def test_backoff_has_a_cap_and_never_less_than_an_interval() -> None:
    worker = Ticks(fails=lambda n: True)
    worker.backoff_max = 45.0
    run(worker)
    assert worker.began == at(0, 20, 60, 105, 150)
    worker = Ticks(fails=lambda n: True)
    worker.backoff_max = 0.0
    run(worker)
    assert worker.began == at(0, 10, 20, 30, 40)


def test_jitter_spreads_the_tries() -> None:
    pauses = set()
    for _ in range(20):
        worker = Ticks(fails=lambda n: True)
        worker.count = 2
        worker.backoff_jitter = 0.5
        run(worker)
        pauses.add(worker.began[1])
    assert len(pauses) > 10
    assert all(10 <= pause <= 30 for pause in pauses)


def test_a_failure_for_years_is_no_overflow() -> None:
    worker = Ticks()
    worker.failures = 100_000
    worker.backoff_max = float("inf")
    assert worker._pause() > 1e20


def test_the_grid_holds_through_a_backoff() -> None:
    worker = Ticks(fails=lambda n: n == 1)
    worker.backoff_factor = 1.25
    run(worker)
    assert worker.began == at(0, 12.5, 20, 30, 40)
    assert worker.missed == 0


def test_the_end_comes_at_once_in_a_pause_and_after_the_tick_under_way() -> None:
    async def ended(worker: Ticks, after: float) -> tuple[float, int]:
        worker._begin()
        loop = asyncio.get_running_loop()
        loop.call_later(after, worker.stopping.set)
        await worker.run()
        return loop.time() - PassingLoop.now, worker.ticks

    with asyncio.Runner(loop_factory=PassingLoop) as runner:
        assert runner.run(ended(Ticks(takes=lambda n: 4.0), 7.0)) == (7.0, 1)
    with asyncio.Runner(loop_factory=PassingLoop) as runner:
        assert runner.run(ended(Ticks(takes=lambda n: 4.0), 11.0)) == (14.0, 2)


def test_a_tick_that_waits_for_too_long_is_cancelled_and_has_failed() -> None:
    worker = Ticks(takes=lambda n: 1000.0 if n == 2 else 0.0)
    worker.tick_timeout = 4.0
    run(worker)
    assert worker.began == at(0, 10, 34, 40, 50)  # 14, and 20 s of backoff
    assert (worker.errors, worker.failures) == (1, 0)


def test_a_plain_method_is_a_tick_too_and_the_loop_turns_between_two() -> None:
    class Plain(TickWorker):
        interval = 0.01

        def __init__(self) -> None:
            self.turned = 0

        def tick(self) -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, PassingLoop)
            loop.now += 0.05  # blocks, for longer than an interval
            loop.call_soon(self.turn)

        def turn(self) -> None:
            self.turned += 1
            if self.turned == 3:
                self.stopping.set()

    worker = Plain()
    run(worker)
    assert worker.ticks == 3


def test_system_exit_ends_it() -> None:
    class Leaves(TickWorker):
        def tick(self) -> None:
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        run(Leaves())


@given(slot=st.floats(0, 1e6), interval=st.floats(0.01, 1e5), late=st.floats(0, 1e6), more=st.floats(0, 1e6))
def test_no_slot_is_served_twice_and_every_lost_one_is_counted(
    slot: float, interval: float, late: float, more: float
) -> None:
    first, lost = _next(slot, interval, slot + late)
    second, lost_more = _next(first, interval, max(first, slot + late) + more)
    assert slot < first < second
    assert lost >= 0
    assert first - slot == pytest.approx((lost + 1) * interval, rel=1e-6)
    assert second - first == pytest.approx((lost_more + 1) * interval, rel=1e-6)
    # At most one tick late, or the next one.
    assert first > slot + late - interval * (1 + 1e-6)


# --- its interval


class Args(msgspec.Struct):
    tick_interval: float = 7.0


class WithArgs(TickWorker):
    args: Args


class WithOtherArgs(TickWorker):
    interval = 3

    class Other(msgspec.Struct):
        n: int = 0

    args: Other


@pytest.mark.parametrize(
    ("kind", "args", "interval"),
    [
        (TickWorker, {}, 60.0),
        (TickWorker, {"tick_interval": 0.01}, 0.01),
        (TickWorker, {"tick_interval": "30"}, 30.0),
        (TickWorker, None, 60.0),
        (WithArgs, Args(), 7.0),
        (WithOtherArgs, WithOtherArgs.Other(), 3.0),
    ],
)
def test_the_interval_is_the_arguments_or_else_the_class_s(
    kind: type[TickWorker], args: object, interval: float
) -> None:
    worker = kind()
    worker.args = args
    worker._begin()
    assert worker.interval == interval


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        (0, "Expected seconds, 0.01 at least, got 0.0"),
        (0.009, "Expected seconds, 0.01 at least, got 0.009"),
        (-1, "Expected seconds, 0.01 at least, got -1.0"),
        (float("nan"), "Expected seconds, 0.01 at least, got nan"),
        (float("inf"), "Expected seconds, 0.01 at least, got inf"),
        ("often", "Expected `float`, got `str`"),
        (True, "Expected `float`, got `bool`"),
    ],
)
def test_an_interval_that_is_none_is_one_line(interval: object, said: str) -> None:
    worker = TickWorker()
    worker.args = {"tick_interval": interval}
    with pytest.raises(ArgsError) as caught:
        worker._begin()
    assert str(caught.value) == f"args.tick_interval: {said}"

    class Own(TickWorker):
        pass

    Own.interval = interval  # type: ignore[assignment]
    with pytest.raises(ArgsError) as caught:
        Own()._begin()
    assert str(caught.value) == f"Own.interval: {said}"
