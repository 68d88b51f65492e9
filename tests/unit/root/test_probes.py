"""Questions that do not end, `verify`, and what a probe's table becomes."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from supervisor_tree.root.outputs.runs import Piece, RunOutput
from supervisor_tree.root.probes.probes import Probes
from supervisor_tree.root.probes.schedule import Schedule
from supervisor_tree.root.probes.threads import AllStuck, Threads
from tests.support.shells import LoneShell


def test_one_question_is_not_asked_twice_at_a_time_and_threads_have_a_bound() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        threads = Threads(loop, 2)
        go = threading.Event()
        asked: list[str] = []

        def stuck() -> str:
            asked.append("stuck")
            go.wait()
            return "answer"

        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await threads.ask("path", stuck)
        assert asked == ["stuck"]
        since = threads.since("path")
        assert since is not None
        assert loop.time() - since > 0.05
        assert await threads.ask("other", lambda: "fine") == "fine"
        waits = asyncio.create_task(threads.ask("third", stuck))
        await asyncio.sleep(0.02)
        with pytest.raises(AllStuck):
            await threads.ask("fourth", lambda: "never")
        both = [asyncio.create_task(threads.ask("path", stuck)) for _ in range(2)]
        await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(*both, waits) == ["answer"] * 3
        assert threads.since("path") is None
        with pytest.raises(FileNotFoundError):
            await threads.ask("wrong", lambda: os.stat("/nonexistent"))
        before = threading.active_count()
        for number in range(20):
            assert await threads.ask(number, lambda: 1) == 1
        assert threading.active_count() <= before  # used again

    asyncio.run(main())


class Times:
    """A loop's clock and its timers, moved on by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Any) -> asyncio.TimerHandle:
        self._timers.append(asyncio.TimerHandle(when, call, (), cast("Any", self)))
        return self._timers[-1]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._timers.remove(handle)

    def get_debug(self) -> bool:
        return False

    def pass_by(self, seconds: float) -> None:
        """So many seconds in which nothing could be done, then all that is due by now."""
        self.now += seconds
        for each in [each for each in self._timers if each.when() <= self.now]:
            self._timers.remove(each)
            each._run()


def test_a_pause_is_seen_also_while_all_that_there_is_to_ask_is_under_way() -> None:
    async def main() -> None:
        times, paused = Times(), list[float]()
        answered = asyncio.Event()
        tasks: list[asyncio.Task[Any]] = []

        def ask(each: Any) -> None:
            each.task = asyncio.get_running_loop().create_task(answered.wait())
            tasks.append(each.task)
            schedule.asked(each.task)

        schedule = Schedule(cast("asyncio.AbstractEventLoop", times), ask, paused.append)
        for _ in range(2):
            schedule.at(0.5, cast("Any", SimpleNamespace(ended=False, task=None, entry=0)))
        times.pass_by(0.5)
        assert len(tasks) == 2
        times.pass_by(1.0)
        assert paused == []
        times.pass_by(30.0)
        assert paused == [31.5]
        answered.set()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)
        times.pass_by(1.0)
        times.pass_by(30.0)
        assert paused == [31.5]  # nobody is asked any more: nobody looks

    asyncio.run(main())


def verified(folder: Path, verify: str, output: RunOutput | None = None) -> str | None:
    """What `verify` of a worker in a tree file comes to."""

    async def main() -> str | None:
        lone = LoneShell(folder, folder, f'[workers.a]\ncommand = "x"\nrequire = [{verify}]\n')
        try:
            probes: Probes = lone.shell.probes
            async with asyncio.timeout(20):
                return await probes.verify("a", lone.plan.workers["a"].require, output)
        finally:
            lone.close()

    return asyncio.run(main())


def test_verify_asks_for_what_a_run_has_left_behind_once(tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    latest = tmp_path / "predictions" / "latest.parquet"
    probe = '{ file = "predictions/latest.parquet", fresh = "6h", status = "NO_PREDICTIONS", every = "1h" }'
    assert verified(tmp_path, probe) == "NO_PREDICTIONS: predictions/latest.parquet is not there"
    latest.touch()
    assert verified(tmp_path, probe) is None
    os.utime(latest, (1, 1))
    assert "has not changed for" in str(verified(tmp_path, probe))
    both = '{ env = ["NOT_SET"] }, { disk_free = "900TB" }'
    assert str(verified(tmp_path, both)).startswith("env NOT_SET: not set; disk_free ")


def test_what_is_free_is_asked_once_for_all_but_each_has_its_own_least(tmp_path: Path) -> None:
    both = '{ disk_free = "1kB" }, { disk_free = "900TB", path = "." }'
    assert str(verified(tmp_path, both)).endswith(" free, 900 TB wanted")


def test_verify_of_what_may_come_is_asked_as_often_as_failures_says(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        probe = f'{{ tcp = "127.0.0.1:{port}", every = "100ms", failures = 3 }}'
        assert verified(tmp_path, probe) == f"tcp 127.0.0.1:{port} refuses connections"
        timer = threading.Timer(0.15, bound.listen)
        timer.start()
        assert verified(tmp_path, probe.replace("failures = 3", "failures = 100")) is None
        timer.join()


def test_verify_of_output(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text("a\nCOMPLETED SUCCESSFULLY\n")

    async def main() -> list[str | None]:
        lone = LoneShell(tmp_path, tmp_path, '[workers.a]\ncommand = "x"\nready = { output = "^COMPLETED" }\n')
        try:
            probes = lone.plan.workers["a"].ready
            outputs = [None, RunOutput(()), RunOutput((Piece(str(tmp_path / "run.log")),))]
            return [await lone.shell.probes.verify("a:stage", probes, output) for output in outputs]
        finally:
            lone.close()

    assert asyncio.run(main()) == ['output "^COMPLETED" has not come'] * 2 + [None]


def test_a_socket_with_a_full_queue_accepts_nobody(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as full:
        full.bind(str(path))
        full.listen(0)
        waiting = []
        for _ in range(10):
            one = socket.socket(socket.AF_UNIX)
            one.setblocking(False)
            waiting.append(one)
            try:
                one.connect(str(path))
            except BlockingIOError:
                break
        try:
            probe = '{ unix = "s", timeout = "300ms", failures = 1 }'
            assert verified(tmp_path, probe) == "unix s has not answered within 300ms"
        finally:
            for one in waiting:
                one.close()


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    said = verified(tmp_path, '{ tcp = "nobody.invalid:80", failures = 1, timeout = "10s" }')
    assert said is not None
    assert said.startswith("tcp nobody.invalid:80 ")
